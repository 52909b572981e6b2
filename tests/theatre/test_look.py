"""Sheets and false colours."""

import numpy as np
import pytest

from diorama.errors import UsageError
from diorama.theatre.look import GAP, PAPER, contact_sheet, depth_picture, flow_picture, number_picture


def test_pictures_lie_in_rows() -> None:
    images = [np.full((4, 6, 3), 10 * i, np.uint8) for i in range(1, 6)]
    sheet = contact_sheet(images, 3)
    assert sheet.shape == (2 * (4 + GAP) + GAP, 3 * (6 + GAP) + GAP, 3)
    assert (sheet[GAP : GAP + 4, GAP : GAP + 6] == 10).all()
    assert (sheet[2 * GAP + 4, 2 * GAP + 6] == 50).all()
    assert (sheet[-GAP - 1, -GAP - 1] == PAPER).all()
    for bad in ([], [images[0], images[0][:2]]):
        with pytest.raises(UsageError, match="pictures"):
            contact_sheet(bad, 2)


def test_false_colours_say_what_they_mean() -> None:
    depth = np.array([[1, 2], [4, np.inf]], np.float32)
    grey = depth_picture(depth)[..., 0]
    assert grey[0, 0] > grey[0, 1] > grey[1, 0] >= grey[1, 1]
    numbers = number_picture(np.array([[-1, 0], [1, 2]]))
    assert not numbers[0, 0].any()
    assert len(np.unique(numbers.reshape(-1, 3), axis=0)) == 4
    flow = np.array([[[0, 0], [5, 0]], [[-5, 0], [np.nan, 0]]], np.float32)
    colors = flow_picture(flow)
    assert (colors[0, 0] == 255).all()
    assert not colors[1, 1].any()
    assert (colors[0, 1] != colors[1, 0]).any()
