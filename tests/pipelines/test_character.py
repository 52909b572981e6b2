"""A character from a picture file: cut out as the picture shows it, told what is made up; bad pictures are refused."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from diorama.core.camera import Cameras
from diorama.core.extras import available
from diorama.core.person import LANDMARKS
from diorama.errors import MediaError, ModelError, UsageError
from diorama.figures.cast import load_cast
from diorama.figures.observation import guessed_camera
from diorama.media.images import save_image
from diorama.perception.matting import refined
from diorama.perception.people_frames import Sighting
from diorama.pipelines import _character_photo
from diorama.pipelines._character_photo import Portrait
from diorama.pipelines.character import (
    Subject,
    character_of_photo,
    character_sheet,
    likeness,
    made_up,
    standing,
    turned_away,
    write_character_sheet,
)
from diorama.theatre.actor import canonical_picture
from diorama.theatre.dressing import dress
from diorama.theatre.wardrobe import random_outfit

needs_mediapipe = pytest.mark.skipif(not available("mediapipe"), reason="extra people not installed")
SIDE = 300
"""Pixels of a portrait; texels are as fine as the photo shows, and so cheap."""


def actor(size: int, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    cast = load_cast()
    dressed = dress(cast, cast.figure(cast.names[3 * seed]), random_outfit(np.random.default_rng(seed)), size=64)
    return canonical_picture(dressed, size)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A photo of an actor before a wall with a floor, turned by EXIF; and where the actor is."""
    image, alpha = actor(SIDE)
    y, x = np.mgrid[:SIDE, :SIDE]
    wall = np.stack([170 + 20 * np.sin(x / 40), 180 + y / 10, 190 - y / 12], -1).astype(np.uint8)
    photo = np.where(alpha[..., None], image, wall)
    path = tmp_path_factory.mktemp("stage") / "photo.jpg"
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(photo, 1)))  # lies on its side; 6: turn it clockwise
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(path, quality=95, exif=exif)
    return path, alpha


@pytest.fixture(scope="module")
def subject(stage: tuple[Path, np.ndarray]) -> Subject:
    return character_of_photo(stage[0], side=SIDE)


def on_portrait(alpha: np.ndarray, camera: Cameras) -> np.ndarray:
    """A mask of the whole picture in the part of it that a camera shows."""
    whole = guessed_camera(*alpha.shape).Ks[0]
    way = (camera.Ks[0] @ np.linalg.inv(whole))[:2]
    way[:, 2] += way[:, :2].sum(axis=1) / 2 - 0.5  # OpenCV counts from middles of pixels
    values = alpha.astype(np.float32)
    return np.asarray(cv2.warpAffine(values, way, (camera.width, camera.height), flags=cv2.INTER_LINEAR) > 0.5)


@needs_mediapipe
def test_an_actor_of_the_theatre_is_cut_out_fitted_and_drawn_again(
    stage: tuple[Path, np.ndarray], subject: Subject, tmp_path: Path
) -> None:
    mask, height = subject.sight.mask > 0.5, subject.photo.shape[0]
    there = on_portrait(stage[1], subject.sight.camera)
    assert (mask & there).sum() > 0.96 * (mask | there).sum()
    assert subject.fit.error[0] < 0.03 * height
    assert likeness(subject) > 20
    (note,) = subject.notes
    assert "% of the body's surface" in note
    write_character_sheet(tmp_path / "sheet.png", subject, height=96)
    assert Image.open(tmp_path / "sheet.png").height == 192
    with pytest.raises(UsageError, match="64"):
        character_sheet(subject, height=5)
    with pytest.raises(UsageError, match="end with"):
        write_character_sheet(tmp_path / "sheet.txt", subject)


@needs_mediapipe
def test_a_transparent_picture_is_its_own_mask(tmp_path: Path, quick: Callable[..., Portrait]) -> None:
    image, alpha = actor(SIDE)
    coverage = (255 * alpha).astype(np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(np.dstack([np.where(alpha[..., None], image, 0), coverage])).save(path)
    portrait = quick(path)
    scale = len(portrait.photo) / SIDE
    assert 0.9 < scale < 1.1
    ratio = (portrait.mask > 0.5).sum() / scale**2 / alpha.sum()
    assert ratio == pytest.approx(1, abs=0.02)
    assert portrait.photo[0, 0].tolist() == [200, 200, 200]  # what is behind is no black
    save_image(tmp_path / "opaque.png", np.where(alpha[..., None], image, 90).astype(np.uint8))
    save_image(tmp_path / "mask.png", np.repeat(coverage[..., None], 3, axis=2))
    given = quick(tmp_path / "opaque.png", mask=str(tmp_path / "mask.png"))
    assert (given.mask > 0.5).sum() == pytest.approx((portrait.mask > 0.5).sum(), rel=0.02)
    Image.fromarray(np.dstack([image, np.zeros_like(coverage)])).save(path)
    with pytest.raises(UsageError, match="transparent everywhere"):
        character_of_photo(path)


@needs_mediapipe
def test_of_two_people_the_larger_or_the_one_asked_for_is_taken(
    tmp_path: Path, quick: Callable[..., Portrait], monkeypatch: pytest.MonkeyPatch
) -> None:
    (small, few), (large, many) = actor(240), actor(300, 1)
    photo = np.full((320, 540, 3), 205, np.uint8)
    for picture, alpha, left in ((small, few, 0), (large, many, 240)):
        photo[10 : 10 + len(alpha), left : left + len(alpha)][alpha] = picture[alpha]
    save_image(tmp_path / "two.png", photo)
    found: list[Sighting] = []
    look = _character_photo._found

    def look_once(*given: Any) -> list[Sighting]:
        found[:] = found or look(*given)
        return list(found)

    monkeypatch.setattr(_character_photo, "_found", look_once)
    portrait = quick(tmp_path / "two.png")
    assert "2 people" in portrait.notes[0]
    assert "2, the largest" in portrait.notes[0]
    other = quick(tmp_path / "two.png", person=1)
    assert not other.notes
    sides = [p.camera.Ks[0, 0, 2] - p.camera.width / 2 for p in (other, portrait)]
    assert sides[0] > 0 > sides[1]  # the middle of the picture lies right of the one and left of the other
    with pytest.raises(UsageError, match=r"no person 3 .* 1, 2"):
        quick(tmp_path / "two.png", person=3)
    monkeypatch.undo()
    (tmp_path / "boxes.csv").write_text("frame,left,top,right,bottom\n0,100,10,130,50\n")
    with pytest.raises(UsageError, match="64 or more"):
        character_of_photo(tmp_path / "two.png", boxes=str(tmp_path / "boxes.csv"))


@needs_mediapipe
def test_pictures_of_nobody_are_refused(tmp_path: Path) -> None:
    y, x = np.mgrid[:240, :320]
    save_image(tmp_path / "sky.png", np.stack([y // 2, y // 2 + 60, 255 - x // 4], -1).astype(np.uint8))
    with pytest.raises(UsageError, match=r"nobody is found .* transparent"):
        character_of_photo(tmp_path / "sky.png")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Portrait]:
    """The portrait alone, at the size of its picture: no body, no texture."""

    def take(path: Path, **options: object) -> Portrait:
        kept: list[Portrait] = []

        def stop(portrait: Portrait, _: str) -> None:
            kept.append(portrait)
            raise InterruptedError

        monkeypatch.setattr(sys.modules["diorama.pipelines.character"], "_fitted", stop)
        with pytest.raises(InterruptedError):
            character_of_photo(path, side=320, **options)  # type: ignore[arg-type]
        return kept[0]

    return take


def test_clips_and_things_that_are_no_pictures_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [Image.new("RGB", (64, 64), (40 * i, 0, 0)) for i in range(3)]
    pages[0].save(tmp_path / "moving.gif", save_all=True, append_images=pages[1:])
    with pytest.raises(UsageError, match="3 frames, where one picture"):
        character_of_photo(tmp_path / "moving.gif")
    (tmp_path / "text.png").write_text("hello")
    for name in ("text.png", "none.png"):
        with pytest.raises(MediaError):
            character_of_photo(tmp_path / name)
    with pytest.raises(UsageError, match="128"):
        character_of_photo(tmp_path / "moving.gif", side=5)
    pages[0].save(tmp_path / "still.png")
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    monkeypatch.setitem(sys.modules, "mediapipe.python.solution_base", None)
    with pytest.raises((ModelError, UsageError), match=r"diorama\[people\]|nobody"):
        character_of_photo(tmp_path / "still.png")


def test_a_mask_finds_back_to_the_edges_of_the_picture() -> None:
    y, x = np.mgrid[:260, :200]
    true = (((x - 100) / 45) ** 2 + ((y - 130) / 95) ** 2 < 1) | ((np.abs(x - 100) < 6) & (y > 12) & (y < 60))
    rng = np.random.default_rng(0)
    wall = 120 + 60 * ((x // 24 + y // 24) % 2)  # squares
    photo = np.where(true[..., None], [180, 60 + y[0, 0], 40], np.stack([wall, wall, wall + 10], -1))
    photo = (photo + rng.normal(0, 4, photo.shape)).clip(0, 255).astype(np.uint8)
    body = ((x - 98) / 45) ** 2 + ((y - 133) / 95) ** 2 < 1  # moved, and without the bun
    rough = cv2.GaussianBlur(body.astype(np.float32), (0, 0), 4)
    nobody = np.zeros_like(rough)

    def overlap(mask: np.ndarray) -> float:
        return float((mask & true).sum() / (mask | true).sum())

    found = refined(photo, rough, nobody, 200.0)
    assert found.min() >= 0
    assert found.max() <= 1
    assert overlap(found > 0.5) > 0.975 > 0.94 > overlap(rough > 0.5)
    assert np.array_equal(found, refined(photo, rough, nobody, 200.0))
    someone = np.where(x > 130, np.float32(1), 0).astype(np.float32)
    assert not (refined(photo, rough, someone, 200.0) > 0.5)[:, 146:].any()


def portrait(beyond: tuple[str, ...] = (), unseen: tuple[str, ...] = (), turn: float = 1.0) -> Portrait:
    points, world = np.ones((33, 3), np.float32), np.zeros((33, 3), np.float32)
    for row, joint in enumerate(("shoulder", "hip", "knee", "ankle", "heel", "toes")):
        for side, x in (("left", 0.2 * turn), ("right", -0.2 * turn)):
            world[LANDMARKS.index(f"{side}_{joint}")] = x, 0.3 * row, 0.4 * (row > 2)
    out = np.array([name.split("_")[-1] in beyond for name in LANDMARKS])
    points[[i for i, name in enumerate(LANDMARKS) if name in unseen], 2] = 0
    photo, mask = np.zeros((64, 64, 3), np.uint8), np.ones((64, 64), np.float32)
    return Portrait(photo, (0, 0, 64, 64), mask, points, world, guessed_camera(64, 64), out, ())


def test_what_is_made_up_is_said() -> None:
    assert made_up(portrait()) == ()
    assert "the feet are" in made_up(portrait(("ankle", "heel", "toes")))[0]
    assert "the lower legs are" in made_up(portrait(("knee", "ankle", "heel", "toes")))[0]
    assert "the left hand is" in made_up(portrait(unseen=("left_wrist",)))[0]
    assert "from behind" in made_up(portrait(turn=-1))[0]
    assert not turned_away(None)


def test_legs_beyond_the_picture_hang_down() -> None:
    whole = portrait()
    assert whole.world is not None
    points, world = standing(whole)
    assert np.array_equal(points, whole.points)
    assert world is not None
    assert np.array_equal(world, whole.world)
    points, world = standing(portrait(("knee", "ankle", "heel", "toes")))
    assert world is not None
    for side in ("left", "right"):
        hip, knee, ankle, toes = (LANDMARKS.index(f"{side}_{joint}") for joint in ("hip", "knee", "ankle", "toes"))
        assert world[knee] - world[hip] == pytest.approx([0, 0.4, 0], abs=1e-5)
        assert world[ankle] - world[knee] == pytest.approx([0, 0.4, 0], abs=1e-5)
        assert not points[[knee, ankle, toes], 2].any()
    nowhere = standing(replace(whole, world=None))
    assert nowhere[1] is None
