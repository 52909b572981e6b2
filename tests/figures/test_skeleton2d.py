"""Skeleton drawings in the convention that networks were trained on."""

import numpy as np

from diorama.figures.skeleton2d import BODY, COLORS, LIMBS, Points2d, draw_skeleton


def person() -> np.ndarray:
    points = {
        "nose": (64, 20),
        "neck": (64, 35),
        "right_shoulder": (50, 36),
        "left_shoulder": (78, 36),
        "right_elbow": (45, 52),
        "right_wrist": (42, 66),
        "left_elbow": (83, 52),
        "left_wrist": (86, 66),
        "right_hip": (56, 68),
        "left_hip": (72, 68),
        "right_knee": (55, 92),
        "left_knee": (73, 92),
        "right_ankle": (54, 116),
        "left_ankle": (74, 116),
        "right_eye": (61, 17),
        "left_eye": (67, 17),
        "right_ear": (57, 19),
        "left_ear": (71, 19),
    }
    return np.array([points[name] for name in BODY], np.float32)


def test_points_have_their_colours_and_limbs_are_dimmed() -> None:
    picture = draw_skeleton([Points2d(person())], 128, 128)
    assert len(LIMBS) == 17
    for point, color in zip(person(), COLORS, strict=True):
        if BODY[COLORS.tolist().index(color.tolist())] in ("right_knee", "left_wrist", "neck"):
            assert (picture[int(point[1]), int(point[0])] == color).all()
    a, b = person()[2], person()[3]
    middle = ((a + b) / 2).astype(int)
    assert np.abs(picture[middle[1], middle[0]].astype(int) - 0.6 * COLORS[2]).max() <= 1


def test_unknown_and_outside_points_leave_the_rest() -> None:
    points = person()
    points[4], points[10] = np.nan, (900, 900)
    picture = draw_skeleton([Points2d(points)], 128, 128)
    assert picture[36, 50].any()
    assert not picture[66, 42].any()
    assert not draw_skeleton([], 20, 30).any()


def test_hands_and_face() -> None:
    hands = np.tile(np.linspace(10, 100, 21, dtype=np.float32)[None, :, None], (2, 1, 2))
    face = np.array([[30, 90]], np.float32)
    picture = draw_skeleton([Points2d(np.full((18, 2), np.nan, np.float32), hands, face)], 128, 128)
    assert (picture[90, 30] == 255).all()
    assert (picture[10, 10] == [0, 0, 255]).all()
