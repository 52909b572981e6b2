"""Parts told from painted pictures: blind, blurred, noisy."""

import cv2
import numpy as np
import pytest

from diorama.errors import UsageError
from diorama.figures.part_colors import part_colors
from diorama.rigging.decode import clusters, decode
from diorama.rigging.silhouette import blur_of, silhouette
from diorama.theatre.menagerie import random_creature, random_motion
from diorama.theatre.turntable import Turntable, film


def _filmed(family: str, size: int) -> tuple[Turntable, np.ndarray]:
    rng = np.random.default_rng(5)
    creature = random_creature(rng, family)
    table = film(creature.figure, random_motion(rng, creature, frames=2), views=6, size=size)
    palette = part_colors(table.centers, table.low, table.high)
    return table, np.concatenate([palette, [[255, 255, 255]]]).astype(np.uint8)


def _spoilt(pictures: np.ndarray, blur: float, noise: float) -> np.ndarray:
    rng, out = np.random.default_rng(0), np.empty_like(pictures)
    for place in np.ndindex(pictures.shape[:2]):
        soft = cv2.GaussianBlur(pictures[place].astype(np.float32), (0, 0), blur)
        out[place] = np.clip(soft + rng.normal(0, noise, soft.shape), 0, 255).round()
    return out


def _iou(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean over true parts, each with the part found that overlaps it most."""
    values = []
    for part in np.unique(truth[truth >= 0]):
        own = truth == part
        best = np.bincount(found[own & (found >= 0)]).argmax()
        values.append((own & (found == best)).sum() / (own | (found == best)).sum())
    return float(np.mean(values))


def test_clean_maps_are_read_exactly_and_commonest_first() -> None:
    table, palette = _filmed("robot", 160)
    parts = decode(palette[table.parts])
    shown = len(np.unique(table.parts)) - 1
    assert len(parts.colors) == shown
    assert _iou(parts.labels, table.parts) > 0.97
    assert _iou(np.where(parts.labels >= 0, 0, -1), np.where(table.alpha, 0, -1)) > 0.99
    counts = np.bincount(parts.labels[parts.labels >= 0])
    later = np.maximum.accumulate(counts[::-1])[::-1]
    assert (counts >= 0.6 * later).all(), "numbered by their sure pixels, of which rims have none"


def test_a_silhouette_beyond_flat_colours_makes_no_part_of_the_paper() -> None:
    table, palette = _filmed("robot", 160)
    wide = np.stack([cv2.dilate(each.astype(np.uint8), np.ones((3, 3))) > 0 for each in table.alpha[:, 0]])[:, None]
    parts = decode(palette[table.parts[:, :1]], wide)
    assert (parts.colors.min(axis=1) < 250).all()
    assert np.array_equal(parts.labels >= 0, wide)


def test_blur_and_noise_cost_little() -> None:
    table, palette = _filmed("quadruped", 320)
    parts = decode(_spoilt(palette[table.parts], 1.5, 8.0), table.alpha)
    assert abs(len(parts.colors) - (len(np.unique(table.parts)) - 1)) <= 1
    assert _iou(parts.labels, table.parts) > 0.85


def test_the_blur_is_measured() -> None:
    table, palette = _filmed("biped", 192)
    for blur in (1.0, 2.0):
        pictures = _spoilt(palette[table.parts], blur, 4.0)[:, 0]
        assert blur_of(pictures, table.alpha[:, 0]) == pytest.approx(blur, abs=0.5)


def test_a_silhouette_is_found_through_blur_and_noise() -> None:
    table, palette = _filmed("hand", 192)
    found = np.stack([silhouette(picture) for picture in _spoilt(palette[table.parts], 1.5, 8.0)[:, 0]])
    truth = table.alpha[:, 0]
    assert (found & truth).sum() / (found | truth).sum() > 0.97


def test_colors_nine_levels_apart_are_two() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.normal(middle, 1.5, (4000, 3)) for middle in ((100, 120, 140), (109, 120, 140)))
    found, colors = clusters(np.concatenate([one, other[:1500]]).astype(np.float32))
    assert len(colors) == 2
    assert np.allclose(colors, [[100, 120, 140], [109, 120, 140]], atol=0.5)
    assert (found[:4000] == 0).mean() > 0.98


def test_nothing_and_noise_are_refused() -> None:
    white = np.full((1, 1, 40, 40, 3), 255, np.uint8)
    with pytest.raises(UsageError, match="without an object"):
        decode(white)
    noise = np.random.default_rng(0).integers(0, 255, white.shape, dtype=np.uint8)
    with pytest.raises(UsageError, match="even colour"):
        decode(noise, np.ones(white.shape[:4], bool), blur=0.0)


def test_a_thin_part_is_found_no_wider_than_it_is() -> None:
    picture = np.full((80, 80, 3), 255, np.uint8)
    picture[:, 36:44] = (60, 90, 200)
    soft = _spoilt(picture[None, None], 2.5, 4.0)[0, 0]
    assert silhouette(soft)[10:70].sum(axis=1).mean() == pytest.approx(8, abs=0.5)
