"""Objects from all around: one colour a part in every view and frame, and depth that agrees between views."""

import numpy as np
import pytest

from diorama.core.figure import Motion
from diorama.errors import UsageError
from diorama.figures.cast import load_cast
from diorama.figures.part_colors import part_colors
from diorama.theatre.choreography import Dance, perform
from diorama.theatre.style import random_style
from diorama.theatre.turntable import Turntable, film


@pytest.fixture(scope="module")
def seen() -> Turntable:
    cast = load_cast()
    figure = cast.figure(cast.people[0].name)
    motion = perform(Dance(("dance",), (2.0,), random_style(np.random.default_rng(0))), figure, 3, 3.0)
    return film(figure, motion, views=8, size=72, elevation=5.0)


def test_the_whole_object_is_in_every_picture(seen: Turntable) -> None:
    assert seen.images.shape == (8, 3, 72, 72, 3)
    edge = np.concatenate([seen.alpha[..., 0, :], seen.alpha[..., -1, :], seen.alpha[..., 0], seen.alpha[..., -1]])
    assert not edge.any()
    assert 0.05 < seen.alpha.mean() < 0.5
    assert (seen.images[~seen.alpha] == 255).all()
    assert ((seen.parts >= 0) == seen.alpha).all()
    assert (np.isfinite(seen.depth) == seen.alpha).all()


def test_parts_are_where_their_centres_are(seen: Turntable) -> None:
    names = load_cast().parts
    pixels, _ = seen.cameras.project(seen.centers.astype(np.float64))
    head = names.index("head")
    for view in range(8):
        y, x = np.nonzero(seen.parts[view, 0] == head)
        assert pixels[view, head] == pytest.approx([x.mean() + 0.5, y.mean() + 0.5], abs=3)
    assert pixels[0, names.index("left_hand"), 0] > pixels[0, names.index("right_hand"), 0]


def test_views_agree(seen: Turntable) -> None:
    first, second = seen.cameras[0:1], seen.cameras[1:2]
    y, x = np.nonzero(seen.alpha[0, 0])
    world = first.unproject(np.stack([x, y], 1)[None] + 0.5, seen.depth[0, 0][y, x].astype(float)[None])[0]
    pixels, depth = second.project(world)
    columns, rows = np.floor(pixels[0]).astype(int).T
    there = seen.depth[1, 0][rows, columns]
    blocks = [np.roll(seen.depth[1, 0], shift, (0, 1)) for shift in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))]
    nearest = np.min(blocks, axis=0)[rows, columns]  # points on the rim fall between pixels
    assert (nearest < depth[0] + 0.03).mean() > 0.99  # the same surface, or one that hides it
    same = np.abs(there - depth[0]) < 0.01
    assert same.mean() > 0.4
    assert (seen.parts[0, 0][y, x] == seen.parts[1, 0][rows, columns])[same].mean() > 0.9


def test_colours_follow_the_input_view(seen: Turntable) -> None:
    colors = [part_colors(seen.centers, seen.low, seen.high, float(a)) for a in (0, 180)]
    left, right = load_cast().parts.index("left_hand"), load_cast().parts.index("right_hand")
    assert colors[0][left, 0] > colors[0][right, 0]
    assert colors[1][left, 0] < colors[1][right, 0]


def test_bad_objects() -> None:
    cast = load_cast()
    figure = cast.figure(cast.people[0].name)
    still = Motion(figure.skeleton, np.tile(np.float32([1, 0, 0, 0]), (1, 61, 1)), np.zeros((1, 3), np.float32), 1.0)
    for wrong in ({"views": 0}, {"size": 2}, {"elevation": 95.0}):
        with pytest.raises(UsageError, match="film"):
            film(figure, still, **wrong)
