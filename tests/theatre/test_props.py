"""Things in hands, under seats and before feet."""

import numpy as np
import pytest

from diorama.core.figure import Motion
from diorama.core.mesh import Mesh
from diorama.figures.cast import load_cast
from diorama.theatre.actor import Actor
from diorama.theatre.choreography import Dance, perform
from diorama.theatre.dressing import Dressed
from diorama.theatre.props import BALL, held_places, kicked_ball, random_held, random_occluder, seat
from diorama.theatre.shapes import mirrored
from diorama.theatre.style import random_style


def actor(move: str = "", frames: int = 30, heading: float = 0.0) -> Actor:
    cast = load_cast()
    figure = cast.figure(next(p.name for p in cast.people if p.age == "adult"))
    if move:
        style = random_style(np.random.default_rng(3))
        motion = perform(Dance((move,), (frames / 12,), style), figure, frames, 12.0)
    else:
        rest = np.tile(np.float32([1, 0, 0, 0]), (1, len(figure.skeleton), 1))
        motion = Motion(figure.skeleton, rest, np.zeros((1, 3), np.float32), 12.0)
    return Actor("a", Dressed(figure, ()), motion, heading=heading)


def test_both_hands_hold_alike() -> None:
    points = np.random.default_rng(0).normal(0, 0.1, (20, 3)).astype(np.float32)
    left = held_places(actor(), "left", points)
    right = held_places(actor(), "right", points * np.array([-1, 1, 1], np.float32))
    assert np.abs(left - right * [-1, 1, 1]).max() < 2e-3
    palm = held_places(actor(), "left", np.zeros((1, 3), np.float32))[0, 0]
    skeleton = actor().motion.skeleton
    wrist, knuckle = (skeleton.joints[skeleton.index(name)] for name in ("wrist.L", "finger3-1.L"))
    assert np.linalg.norm(palm - (wrist + knuckle) / 2) < 0.06


def test_mirrored_things_look_outwards() -> None:
    mesh = Mesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))
    twice = mirrored(mirrored(mesh))
    assert np.array_equal(twice.vertices, mesh.vertices)
    assert np.array_equal(twice.faces, mesh.faces)
    assert np.array_equal(mirrored(mesh).faces, [[2, 1, 0]])


@pytest.mark.parametrize("heading", [0.0, 1.2])
def test_a_ball_waits_for_the_foot_and_flies_ahead(heading: float) -> None:
    somebody = actor("kick", heading=heading)
    layer = kicked_ball(np.random.default_rng(0), "ball", somebody)
    assert layer is not None
    path = layer.surface.positions.mean(axis=1)
    moved = np.linalg.norm(path - path[0], axis=1)
    met = int((moved > 1e-4).argmax())
    assert 5 < met < 20
    toes = somebody.joints()[met - 1, [somebody.motion.skeleton.index(f"toes{end}") for end in (".L", ".R")]]
    assert np.linalg.norm(toes[:, [0, 2]] - path[met - 1][[0, 2]], axis=1).min() < 0.35
    way = (path[-1] - path[0])[[0, 2]]
    assert way @ [np.sin(heading), np.cos(heading)] > 0.8 * np.linalg.norm(way) > 1
    assert path[:, 1].min() > BALL - 0.01
    assert kicked_ball(np.random.default_rng(0), "ball", actor("stand")) is None


def test_a_seat_is_below_the_hips() -> None:
    somebody = actor("sit", heading=0.7)
    places = seat(np.random.default_rng(0), "seat", somebody).surface.at(0)
    hips = somebody.joints()[-1, 0]
    assert places[:, 1].max() < hips[1]
    assert np.linalg.norm(places.mean(axis=0)[[0, 2]] - hips[[0, 2]]) < 0.2


def test_occluders_keep_their_shape_and_held_things_move() -> None:
    for seed in range(8):
        layer = random_occluder(np.random.default_rng(seed), "o", (1.0, 2.0))
        middle = (layer.surface.at(0).min(axis=0) + layer.surface.at(0).max(axis=0)) / 2
        assert np.linalg.norm(middle[[0, 2]] - [1.0, 2.0]) < 0.5
        held = random_held(np.random.default_rng(seed), "h", actor("wave"))
        assert np.ptp(held.surface.positions.mean(axis=1), axis=0).max() > 0.005
