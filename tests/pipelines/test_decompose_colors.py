"""The look of a body's surface: the median of the frames, how much it changes, and hands without what they hold."""

import numpy as np
import pytest

from diorama.core.camera import Cameras
from diorama.core.figure import Figure
from diorama.figures.cast import load_cast
from diorama.geometry.raster import interpolate, rasterize
from diorama.perception.peel import lab_of
from diorama.pipelines.decompose_colors import BodyView, surface_look

HIGH, WIDE = 240, 160
GREY, RED, GREEN = (130, 120, 110), (190, 30, 30), (20, 200, 40)


@pytest.fixture(scope="module")
def figure() -> Figure:
    cast = load_cast()
    return cast.figure(cast.person(cast.people[0].name))


def camera() -> Cameras:
    """Before the figure, three metres away."""
    viewmats = np.diag([1.0, -1.0, -1.0, 1.0]).astype(np.float32)[None]
    viewmats[0, :3, 3] = [0, 0.9, 3.0]
    intrinsics = np.array([[[300, 0, WIDE / 2], [0, 300, HIGH / 2], [0, 0, 1]]], np.float32)
    return Cameras(viewmats, intrinsics, HIGH, WIDE)


def view(figure: Figure, colors: np.ndarray) -> BodyView:
    """The resting figure in the colours of its vertices, before grey."""
    vertices = figure.mesh.vertices.astype(np.float32)
    found = rasterize(vertices, figure.mesh.faces, camera())
    shown = np.rint(interpolate(found, figure.mesh.faces, colors.astype(np.float32))).clip(0, 255).astype(np.uint8)
    shown[found.face_ids < 0] = GREY
    return BodyView(shown, (found.face_ids >= 0).astype(np.float32), vertices, camera())


def painted(figure: Figure, color: tuple[int, int, int] = GREY) -> np.ndarray:
    return np.tile(np.array(color, np.float32), (len(figure.mesh.vertices), 1))


def hand(figure: Figure, end: str) -> np.ndarray:
    names = figure.skeleton.names
    wanted = [
        k for k, name in enumerate(names) if name.startswith(("wrist", "finger", "metacarpal")) and name.endswith(end)
    ]
    return np.isin(figure.skin_joints[:, 0], wanted)


def lab(color: tuple[int, int, int]) -> np.ndarray:
    return lab_of(np.full((4, 4, 3), color, np.uint8))[1, 1]


def test_an_even_body_has_its_colour_and_changes_little(figure: Figure) -> None:
    look = surface_look([view(figure, painted(figure)) for _ in range(5)], figure)
    assert np.median(np.abs(look[:, :3] - lab(GREY)), axis=0).max() < 2
    assert np.median(look[:, 3]) < 0.1


def test_what_changes_from_frame_to_frame_is_loose(figure: Figure) -> None:
    chest = figure.mesh.vertices[:, 1] > 0.6 * figure.mesh.vertices[:, 1].max()
    views = []
    for number in range(6):
        colors = painted(figure)
        colors[chest] = (RED, GREEN)[number % 2]
        views.append(view(figure, colors))
    look = surface_look(views, figure)
    assert np.median(look[chest, 3]) > 10 * np.median(look[~chest, 3]) + 0.5


@pytest.mark.parametrize("end", [".L", ".R"])
def test_a_hand_that_holds_something_takes_the_look_of_the_other(figure: Figure, end: str) -> None:
    colors = painted(figure)
    colors[hand(figure, end)] = RED
    look = surface_look([view(figure, colors) for _ in range(5)], figure)
    assert np.abs(np.median(look[hand(figure, end), :3], axis=0) - lab(GREY)).max() < 6


def test_gloves_stay(figure: Figure) -> None:
    colors, both = painted(figure), hand(figure, ".L") | hand(figure, ".R")
    colors[both] = RED
    look = surface_look([view(figure, colors) for _ in range(5)], figure)
    assert np.abs(np.median(look[both, :3], axis=0) - lab(RED)).max() < 25
