"""Part colours: one a part in all views, in the axes of the input view."""

import numpy as np
import pytest

from diorama.errors import UsageError
from diorama.figures.part_colors import part_centers, part_colors

RNG = np.random.default_rng(0)
VERTICES = RNG.normal(size=(60, 3)).astype(np.float32)
FACES = RNG.integers(0, 60, (100, 3)).astype(np.int32)
PARTS = RNG.integers(0, 5, 100).astype(np.int32)
LOW, HIGH = VERTICES.min(axis=0), VERTICES.max(axis=0)


def test_centers_are_weighted_by_area_and_absent_parts_have_none() -> None:
    square = np.array([[0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0], [9, 9, 9]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 4, 4]], np.int32)
    centers = part_centers(square, faces, np.array([0, 0, 2], np.int32), 3)
    assert np.allclose(centers[0], [1, 1, 0])
    assert np.isnan(centers[1:]).all()


def test_relabelling_parts_keeps_each_colour() -> None:
    order = np.array([3, 1, 4, 0, 2], np.int32)
    colors = part_colors(part_centers(VERTICES, FACES, PARTS, 5), LOW, HIGH)
    again = part_colors(part_centers(VERTICES, FACES, order[PARTS], 5), LOW, HIGH)
    assert np.array_equal(again[order], colors)


@pytest.mark.parametrize("azimuth", [0, 30, 90, 215])
def test_turning_object_and_camera_together_changes_nothing(azimuth: float) -> None:
    turn = np.radians(azimuth)
    matrix = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    centers = part_centers(VERTICES, FACES, PARTS, 5)
    middle = (LOW + HIGH) / 2
    turned = ((centers - middle) @ matrix.T + middle).astype(np.float32)
    straight = part_colors(centers, LOW, HIGH).astype(int)
    assert np.abs(part_colors(turned, LOW, HIGH, azimuth).astype(int) - straight).max() <= 1


def test_axes_are_red_right_green_up_blue_near() -> None:
    low, high = -np.ones(3, np.float32), np.ones(3, np.float32)
    colors = part_colors(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32), low, high).astype(int)
    assert (colors.argmax(axis=1) == [0, 1, 2]).all()
    with pytest.raises(UsageError, match="size"):
        part_colors(np.zeros((1, 3), np.float32), low, low)
