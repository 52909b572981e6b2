"""Solids carved from silhouettes."""

import numpy as np
import pytest

from diorama.core.camera import Cameras
from diorama.errors import UsageError
from diorama.geometry.orbit import around
from diorama.geometry.raster import rasterize
from diorama.rigging.hull import Silhouettes, visual_hull
from diorama.theatre.menagerie import random_creature, random_motion
from diorama.theatre.turntable import film

LOW, HIGH = np.full(3, -0.8, np.float32), np.full(3, 0.8, np.float32)


def _seen(family: str) -> Silhouettes:
    rng = np.random.default_rng(2)
    creature = random_creature(rng, family)
    table = film(creature.figure, random_motion(rng, creature, frames=1), views=12, size=192)
    return Silhouettes(table.alpha[:, 0], table.cameras)


def _looks(hull: tuple[np.ndarray, np.ndarray], camera: Cameras) -> np.ndarray:
    return rasterize(*hull, camera).face_ids >= 0


def test_the_hull_looks_like_the_object_from_all_around_and_is_closed() -> None:
    seen = _seen("quadruped")
    hull = visual_hull(seen, LOW, HIGH)
    for view in range(0, 12, 4):
        shown, truth = _looks((hull.vertices, hull.faces), seen.cameras[view : view + 1]), seen.inside[view]
        assert (shown & truth).sum() / (shown | truth).sum() > 0.94
    edges = np.sort(np.concatenate([hull.faces[:, [0, 1]], hull.faces[:, [1, 2]], hull.faces[:, [2, 0]]]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    a, b, c = (hull.vertices[hull.faces[:, i]].astype(np.float64) for i in range(3))
    assert (a * np.cross(b, c)).sum() > 0, "faces are seen from outside"


def test_nothing_lies_beside_pictures_that_show_the_whole_object() -> None:
    """Corners of the box that few views frame were kept where those have the object."""
    cameras = around(np.arange(4, dtype=np.float32) * 90, 40.0, 0.72, 64)
    y, x = np.mgrid[:64, :64] + 0.5
    disc = np.broadcast_to(np.hypot(x - 32, y - 32) < 24, (4, 64, 64))
    low, high = np.full(3, -3, np.float32), np.full(3, 3, np.float32)
    assert np.linalg.norm(visual_hull(Silhouettes(disc, cameras), low, high).vertices, axis=1).max() < 1.2
    cut = disc | ((np.abs(x - 32) < 4) & (y > 32))
    longer = visual_hull(Silhouettes(cut, cameras), low, high)
    assert np.linalg.norm(longer.vertices, axis=1).max() > 1.2, "what a picture cuts off may go on"


def test_views_that_agree_on_nothing_are_refused() -> None:
    seen = _seen("furniture")
    apart = seen.inside.copy()
    apart[0], apart[6] = False, False
    apart[0, 60:70, 5:15] = apart[6, 150:160, 150:160] = True
    with pytest.raises(UsageError, match="nothing in common"):
        visual_hull(Silhouettes(apart, seen.cameras), LOW, HIGH)
    with pytest.raises(UsageError, match="view 3"):
        Silhouettes(np.where(np.arange(12)[:, None, None] == 3, False, seen.inside), seen.cameras)
    with pytest.raises(UsageError, match="12 silhouettes, 4 cameras"):
        Silhouettes(seen.inside, seen.cameras[:4])


@pytest.mark.parametrize("low", [np.full(3, 0.9, np.float32), np.array([-0.8, np.nan, -0.8], np.float32)])
def test_a_box_that_is_none_is_refused(low: np.ndarray) -> None:
    with pytest.raises(UsageError, match="span a box"):
        visual_hull(_seen("furniture"), low, HIGH)
