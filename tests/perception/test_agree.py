"""Borrowing what two frames agree on."""

import numpy as np

from diorama.perception.agree import borrow_agreed
from diorama.perception.fill import borrow
from diorama.perception.neighbours import Neighbour

H, W = 24, 48


def scene(kind: type = np.uint8) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A wall of stripes with a hole beside something near, the known pixels, disparity, and the wall itself."""
    top = np.iinfo(kind).max
    wall = np.random.default_rng(0).integers(0, top, (H, W // 4, 3)).repeat(4, axis=1).astype(kind)
    near = np.zeros((H, W), np.float32)
    near[:, 8:20] = 8
    known = np.ones((H, W), bool)
    known[:, 12:20] = False
    return np.where(known[..., None], wall, 0).astype(kind), known, near, wall


def neighbour(picture: np.ndarray) -> Neighbour:
    return Neighbour(picture, np.zeros((H, W), np.float32), np.zeros((H, W, 2), np.float32))


def test_what_two_frames_show_is_taken_and_one_alone_is_not() -> None:
    for kind in (np.uint8, np.uint16):
        view, known, near, wall = scene(kind)
        one = borrow(view, known, near, neighbours=[neighbour(wall)])[1]
        assert one[:, 12:20].mean() > 0.9
        for count in (0, 1):
            picture, done = borrow_agreed(view, known, near, neighbours=[neighbour(wall)] * count)
            assert (done == known).all()
            assert (picture == view).all()
        picture, done = borrow_agreed(view, known, near, neighbours=[neighbour(wall)] * 2)
        assert (done == one).all()
        assert (picture[done] == wall[done]).all()


def test_what_passes_by_is_outvoted_or_left() -> None:
    view, known, near, wall = scene()
    passing = wall.copy()
    passing[:, 14:17] = 255 - wall[:, 14:17]
    wild = np.abs(passing.astype(int) - wall).mean(axis=-1) > 30
    others = [neighbour(passing), neighbour(wall), neighbour(wall)]
    picture, done = borrow_agreed(view, known, near, neighbours=others)
    assert (picture[done & wild] == wall[done & wild]).all()
    assert (done & wild).any()
    done = borrow_agreed(view, known, near, neighbours=others[:2])[1]
    assert not (done & wild & ~known).any()
    assert (done & ~wild & ~known).any()


def test_nothing_to_fill_is_left_alone() -> None:
    view, _, near, wall = scene()
    whole = np.ones((H, W), bool)
    picture, done = borrow_agreed(wall, whole, near, neighbours=[neighbour(wall)] * 3)
    assert (picture == wall).all()
    assert done.all()
    assert picture is not view
