"""Moves: smooth, on the ground, feet that stand stand still, and one move leads into the next."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.core.figure import Figure
from diorama.errors import UsageError
from diorama.figures.cast import load_cast
from diorama.figures.pose import animate, joint_positions
from diorama.theatre.anatomy import motion_of
from diorama.theatre.choreography import Dance, perform, random_dance
from diorama.theatre.easing import ease, keys, pulse
from diorama.theatre.gaits import WALK_STANCE
from diorama.theatre.moves import FLOOR, MOVES
from diorama.theatre.style import Style, random_style


def somebody(age: str = "adult") -> Figure:
    cast = load_cast()
    return cast.figure(next(p.name for p in cast.people if p.age == age))


def style(seed: int = 1) -> Style:
    return random_style(np.random.default_rng(seed))


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("age", ["adult", "child"])
def test_every_move_is_smooth_and_on_the_ground(move: str, age: str) -> None:
    figure = somebody(age)
    motion = perform(Dance((move,), (2.0,), style()), figure, 48, 24.0)
    turns = (motion.rotations[1:] * motion.rotations[:-1]).sum(axis=-1)
    assert 2 * np.degrees(np.arccos(np.abs(turns).clip(0, 1))).max() < 50
    assert np.linalg.norm(np.diff(motion.root, axis=0), axis=1).max() * 24 < 6
    lowest = animate(figure, motion[::4])[..., 1].min(axis=1)
    assert lowest.min() > (-0.002 if move in FLOOR else -0.08)
    assert np.median(np.abs(lowest)) < 0.06 or move == "jump"


def test_a_foot_that_stands_stands_still() -> None:
    figure, walking = somebody(), replace(style(), phase=0.0, tempo=1.0)
    motion = perform(Dance(("walk",), (4.0,), walking), figure, 96, 24.0)
    ankle = joint_positions(motion)[:, figure.skeleton.index("foot.L")]
    share = (0.95 * np.arange(96) / 24) % 1
    flat = (share > 0.2 * WALK_STANCE) & (share < 0.55 * WALK_STANCE)
    still = flat[1:] & flat[:-1]
    assert still.sum() > 15
    assert np.linalg.norm(np.diff(ankle, axis=0), axis=1)[still].max() < 0.002
    assert np.ptp(motion.root[:, 2]) > 3


def test_what_a_move_is_for() -> None:
    figure = somebody()
    hips = {name: perform(Dance((name,), (2.5,), style(3)), figure, 50, 20.0).root for name in MOVES}
    assert hips["run"][-1, 2] > hips["walk"][-1, 2] > 1.5
    assert hips["jump"][:, 1].max() > 0.15
    assert hips["squat"][:, 1].min() < -0.25
    assert hips["sit"][-1, 1] < -0.25
    assert np.ptp(hips["stand"], axis=0).max() < 0.1
    waving = perform(Dance(("wave",), (2.5,), replace(style(3), side="left")), figure, 50, 20.0)
    places = joint_positions(waving)[-1]
    at = figure.skeleton.index
    assert places[at("wrist.L"), 1] > places[at("upperarm01.L"), 1] > places[at("wrist.R"), 1]


def test_one_move_leads_into_the_next() -> None:
    figure = somebody()
    motion = perform(Dance(("walk", "turn", "wave"), (1.5, 1.5, 1.5), style(2)), figure, 135, 30.0)
    steps = np.linalg.norm(np.diff(motion.root[:, [0, 2]], axis=0), axis=1)
    assert steps.max() * 30 < 3
    assert np.linalg.norm(motion.root[-1, [0, 2]]) > 0.8
    assert np.allclose(motion.root[0, [0, 2]], 0, atol=1e-6)


@pytest.mark.parametrize("moves", [("floor_roll", "stand"), ("cartwheel", "walk"), ("turn", "stand")])
def test_whole_turns_are_not_unwound(moves: tuple[str, str]) -> None:
    figure = somebody()
    motion = perform(Dance(moves, (4.0, 2.0), style(4)), figure, 144, 24.0)
    hips = motion.rotations[:, 0].astype(float)
    steps = 2 * np.degrees(np.arccos(np.abs((hips[1:] * hips[:-1]).sum(-1)).clip(0, 1)))
    assert steps.max() * 24 < 1100  # a wheel alone reaches half of that


def test_dances_are_functions_of_the_seed() -> None:
    figure = somebody()
    one, same, other = (perform(random_dance(np.random.default_rng(s), 2.0), figure, 8, 8.0) for s in (5, 5, 6))
    assert np.array_equal(one.rotations, same.rotations)
    assert not np.array_equal(one.rotations, other.rotations)


def test_nothing_bent_is_somebody_who_stands_straight() -> None:
    figure = somebody()
    places = joint_positions(motion_of(figure.skeleton, {"nod": np.zeros(1)}, 10.0))[0]
    at = figure.skeleton.index
    arm, leg = places[at("wrist.L")] - places[at("upperarm01.L")], places[at("foot.L")] - places[at("upperleg01.L")]
    assert arm[1] / np.linalg.norm(arm) < -0.999
    assert leg[1] / np.linalg.norm(leg) < -0.999


def test_easing_has_no_corners() -> None:
    time = np.linspace(-1, 3, 4001)
    assert np.abs(np.diff(ease(time), 2)).max() < 1e-5
    curve = keys(time, (0.0, 1.0), (1.0, 3.0), (2.0, -1.0))
    assert curve[0] == 1
    assert curve[-1] == pytest.approx(-1)
    assert curve[2000] == pytest.approx(3)
    assert pulse(time, 0.0, 0.5, 1.0, 2.0).max() == pytest.approx(1)


@pytest.mark.parametrize(
    ("moves", "seconds", "message"),
    [
        (("fly",), (2.0,), "no move called 'fly'"),
        ((), (), "0 moves"),
        (("walk",), (1.0, 2.0), "1 moves, 2 times"),
        (("walk",), (0.1,), "0.1 seconds"),
    ],
)
def test_bad_dances(moves: tuple[str, ...], seconds: tuple[float, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Dance(moves, seconds, style())


def test_bad_curves() -> None:
    skeleton = somebody().skeleton
    with pytest.raises(UsageError, match="no curve called 'wings'"):
        motion_of(skeleton, {"wings": np.zeros(3)}, 10.0)
    with pytest.raises(UsageError, match="frames"):
        motion_of(skeleton, {"nod": np.zeros(3), "x": np.zeros(4)}, 10.0)
    with pytest.raises(UsageError, match="0 frames"):
        perform(Dance(("walk",), (2.0,), style()), somebody(), 0, 10.0)
