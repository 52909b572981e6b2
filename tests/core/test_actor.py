"""Actors as values: what they refuse."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.core.actor import Actor
from diorama.core.camera import Cameras
from diorama.core.figure import Figure, Motion, Skeleton
from diorama.core.mesh import Mesh
from diorama.core.person import Track
from diorama.errors import UsageError

FRAMES = 5


def actor() -> Actor:
    """Frames 3 to 7 of two joints and four corners, out of sight in frame 5."""
    skeleton = Skeleton(("hips", "head"), np.array([-1, 0], np.int32), np.tile(np.eye(4, dtype=np.float32), (2, 1, 1)))
    corners = np.concatenate([np.zeros((1, 3)), np.eye(3)]).astype(np.float32)
    mesh = Mesh(corners, np.array([[0, 2, 1], [0, 1, 3]], np.int32))
    ones, zeros = np.ones((4, 1), np.float32), np.zeros((4, 1), np.int32)
    figure = Figure(skeleton, mesh, zeros, ones, ("body",), np.zeros(2, np.int32))
    turns = np.tile(np.array([1, 0, 0, 0], np.float32), (FRAMES, 2, 1))
    seen = np.array([3, 4, 6, 7], np.int64)
    boxes = np.tile(np.array([0, 0, 9, 9], np.float32), (4, 1))
    track = Track(1, seen, boxes, np.ones(4, np.float32), np.full((4, 33, 3), 0.5, np.float32))
    cameras = Cameras(np.tile(np.eye(4), (FRAMES, 1, 1)), np.tile(np.diag([50.0, 50, 1]), (FRAMES, 1, 1)), 9, 16)
    error = np.array([1, 2, np.nan, 3, 0], np.float32)
    return Actor(
        *("person-1", 1, "person", None, track, figure),
        Motion(skeleton, turns, np.zeros((FRAMES, 3), np.float32), 25.0),
        cameras,
        np.arange(3, 3 + FRAMES),
        *(error, np.isnan(error), np.zeros((FRAMES, 2), bool), np.zeros(7, np.float32)),
    )


def test_an_actor_leads_over_gaps_of_its_track() -> None:
    made = actor()
    assert len(made) == FRAMES
    assert made.track.gaps == ((5, 6),)
    assert replace(made, occluder="ball", shape=made.shape[:0]).occluder == "ball"


BAD = [
    ({"name": ""}, "0 characters"),
    ({"name": "x" * 201}, "201 characters"),
    ({"layer": "a\0b"}, "NUL"),
    ({"occluder": "\ud800"}, "broken characters"),
    ({"occluder": "person"}, "before itself"),
    ({"number": 0}, "number 0"),
    ({"cameras": actor().cameras[1:]}, "5 motion, 4 cameras, 5 error"),
    ({"motion": actor().motion[:3]}, "3 motion"),
    ({"frames": np.array([3, 4, 6, 7, 8])}, "rise by one"),
    ({"frames": np.arange(-1, 4)}, "rise by one"),
    ({"frames": np.array([2**63 - 1, -(2**63), 1 - 2**63, 2 - 2**63, 3 - 2**63])}, "rise by one"),  # differences wrap
    ({"frames": np.arange(4, 9)}, "seen without a pose"),
    ({"frames": np.arange(2, 7)}, "seen without a pose"),
    ({"error": np.full(5, -1, np.float32)}, "below 0"),
    ({"error": np.full(5, np.inf, np.float32)}, "infinite"),
    ({"shape": np.full(3, np.nan, np.float32)}, "finite"),
]


@pytest.mark.parametrize(("change", "says"), BAD)
def test_values_that_mean_nothing_are_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        replace(actor(), **change)  # type: ignore[arg-type]


def test_the_motion_is_of_the_figure() -> None:
    made = actor()
    skeleton = made.figure.skeleton
    assert replace(made, motion=replace(made.motion, skeleton=replace(skeleton))).name == made.name
    for change in ({"names": ("hips", "tail")}, {"rest": skeleton.rest + np.float32([[0, 0, 0, 1], *[[0] * 4] * 3])}):
        with pytest.raises(UsageError, match="another skeleton"):
            replace(made, motion=replace(made.motion, skeleton=replace(skeleton, **change)))
