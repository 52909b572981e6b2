"""Lessons: what a network that animates people is given, and what it should make."""

import numpy as np
import pytest

from diorama.theatre.clip import Script, random_clip
from diorama.theatre.lesson import Lesson, lesson


@pytest.fixture(scope="module")
def seen() -> Lesson:
    return lesson(random_clip(3, Script(3, 8.0, 96, 96, actors=(1, 1), occluders=1.0, objects=1.0)))


def test_pictures_fit_together(seen: Lesson) -> None:
    assert seen.image.shape == seen.scene.shape == seen.codes.shape == seen.preview.shape == (3, 96, 96, 3)
    assert seen.canonical.shape == seen.canonical_codes.shape == (2, 96, 64, 3)
    assert (seen.canonical[:, :, [0, -1]] == 255).all()  # nobody is cut
    assert seen.person.any()
    assert seen.occluder.any()


def test_preview_and_codes_cover_the_same_body(seen: Lesson) -> None:
    body = seen.codes.any(axis=-1)
    assert (seen.preview.any(axis=-1) <= body).mean() > 0.999
    assert body[~seen.person].mean() < 0.01  # the naked body lies within the dressed one, but for hands before clothes


def test_the_frame_is_the_scene_where_nobody_and_nothing_is(seen: Lesson) -> None:
    free = ~seen.person & ~seen.occluder
    same = np.abs(seen.image.astype(int) - seen.scene).max(axis=-1)[free] == 0
    assert same.mean() > 0.8  # the rest is shadow
    darker = seen.image.astype(int)[free][~same].sum(axis=-1) <= seen.scene.astype(int)[free][~same].sum(axis=-1)
    assert darker.mean() > 0.95


def test_the_preview_shows_the_persons_colours(seen: Lesson) -> None:
    where = seen.person & ~seen.occluder & seen.codes.any(axis=-1)
    true, preview, scene = (x[where].astype(float).ravel() for x in (seen.image, seen.preview, seen.scene))
    assert np.corrcoef(preview, true)[0, 1] > 0.6  # up to the light of the scene
    assert np.corrcoef(preview, true)[0, 1] > np.corrcoef(scene, true)[0, 1]
