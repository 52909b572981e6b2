"""Somebody of a photo in new poses, and characters in scenes in which nobody was."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from diorama.core.camera import Cameras
from diorama.core.figure import Motion
from diorama.core.progress import Silent
from diorama.errors import MediaError, UsageError
from diorama.figures.cast import load_cast
from diorama.figures.observation import guessed_camera
from diorama.figures.pose import animate as pose
from diorama.figures.pose import joint_positions
from diorama.figures.show import box_of, cropped
from diorama.figures.sight import Sight
from diorama.figures.solve import Fit
from diorama.figures.texture import character_from_photos
from diorama.geometry.raster import rasterize
from diorama.media.encoding import Encoding
from diorama.media.motion import write_bvh
from diorama.media.read import open_video
from diorama.pipelines import animate_open
from diorama.pipelines import person as module
from diorama.pipelines.animate import animate
from diorama.pipelines.animate_alone import before_picture, ground_under, standing_at
from diorama.pipelines.animate_config import AnimateConfig
from diorama.pipelines.animate_motion import Driving, driving, on_the_spot
from diorama.pipelines.animate_still import at_most, is_color, is_still, plain, still_video, without
from diorama.pipelines.character import Subject
from diorama.pipelines.person import in_rows, person
from diorama.pipelines.person_config import PersonConfig

HIGH, WIDE = 120, 90
LOSSLESS = Encoding("ffv1")


@pytest.fixture(scope="module")
def subject() -> Subject:
    """A red person before a blue wall."""
    figure = load_cast().figure(np.zeros(len(load_cast().components), np.float32))
    camera = guessed_camera(HIGH, WIDE)
    motion = standing_at(figure, camera, (0.5, 0.95, 0.8))
    (vertices,) = pose(figure, motion)
    shown = rasterize(vertices, figure.mesh.faces, camera).face_ids >= 0
    picture = np.full((HIGH, WIDE, 3), (30, 40, 160), np.uint8)
    picture[shown] = (200, 30, 30)
    crop = box_of(vertices, camera)
    assert crop is not None
    left, top, right, bottom = crop
    photo, mask = (np.ascontiguousarray(a[top:bottom, left:right]) for a in (picture, shown))
    sight = Sight(photo, mask, vertices, cropped(camera, crop))
    one = np.zeros(1, np.float32), np.zeros(1, bool), np.zeros((1, 2), bool)
    fit = Fit(figure, motion, np.zeros(len(load_cast().components), np.float32), camera, *one)
    return Subject(character_from_photos(figure, [sight]), fit, sight, photo, picture, crop, ())


@pytest.fixture
def photo(subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its file; who looks at it finds the subject without a network."""
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.ascontiguousarray(subject.picture[..., ::-1]))
    monkeypatch.setattr(module, "character_of_photos", lambda *_, **__: subject)
    monkeypatch.setattr(animate_open, "character_of_photo", lambda *_, **__: subject)
    return path


def frames(path: Path) -> np.ndarray:
    return open_video(path).stack()


def test_a_film_of_somebody_who_waves(photo: Path, tmp_path: Path) -> None:
    config = PersonConfig(motion="wave", seconds=1.0, fps=6.0, encoding=LOSSLESS)
    made = person([photo], tmp_path / "out.mkv", config)
    film = frames(tmp_path / "out.mkv").astype(int)
    assert made.frames == len(film) == 6
    assert film.shape[1:] == (HIGH, WIDE, 3)
    red = (film[..., 0] > film[..., 2] + 60).sum(axis=(1, 2))
    assert (red > 300).all()  # it is there in each of them
    assert (film[0] != film[3]).any()  # and moves
    corner = film[:, :8, :8]
    assert np.abs(corner - [30, 40, 160]).max() == 0  # the wall stays, bit for bit
    with pytest.raises(UsageError, match="exists"):
        person([photo], tmp_path / "out.mkv", config)


def test_a_sheet_has_the_poses_asked_for_and_one_pose_is_a_picture(photo: Path, tmp_path: Path) -> None:
    made = person([photo], tmp_path / "sheet.png", PersonConfig(motion="walk", poses=4, background="white"))
    assert made.frames == 4
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[0] % HIGH == 0
    assert sheet.shape[1] % WIDE == 0
    assert (tmp_path / "sheet.png.diorama.json").is_file()
    person([photo], tmp_path / "one.png", PersonConfig(motion="walk", poses=1, background="#102030", size=64))
    one = cv2.imread(str(tmp_path / "one.png"))
    assert max(one.shape) == 64
    assert one[0, 0].tolist() == [0x30, 0x20, 0x10]


def test_a_character_before_a_colour_and_before_a_picture(photo: Path, tmp_path: Path) -> None:
    short = AnimateConfig((str(photo),), motion="jump", seconds=1.0, fps=2.0, encoding=LOSSLESS)
    film = animate("green", tmp_path / "a.mkv", short)
    first = frames(tmp_path / "a.mkv")[0]
    assert film.frames == 2
    assert first.shape == (720, 1280, 3)
    assert first[0, 0].tolist() == [0, 0xB1, 0x40]
    beach = tmp_path / "beach.png"
    cv2.imwrite(str(beach), np.full((60, 80, 3), 128, np.uint8))
    animate(beach, tmp_path / "b.mkv", replace(short, at=(0.25, 0.9, 0.8), relight=False))
    made = frames(tmp_path / "b.mkv").astype(int)
    rows, columns = np.nonzero(np.ptp(made[0], axis=-1) > 30)  # what is not grey
    assert 10 < columns.mean() < 30
    assert 0.6 * 60 < np.ptp(rows) < 0.9 * 60
    assert rows.max() > 48


def test_who_stands_somewhere_is_as_high_as_was_said() -> None:
    figure = load_cast().figure(np.zeros(len(load_cast().components), np.float32))
    camera = guessed_camera(200, 300)
    motion = standing_at(figure, camera, (0.3, 0.9, 0.5))
    (vertices,) = pose(figure, motion)
    (pixels,), _ = camera.project(vertices.astype(np.float64))
    assert np.ptp(pixels[:, 1]) == pytest.approx(100, rel=0.1)
    assert pixels[:, 1].max() == pytest.approx(180, abs=6)
    assert pixels[:, 0].mean() == pytest.approx(90, abs=8)
    ground = ground_under(figure, motion)
    assert ground.height == pytest.approx(vertices[:, 1].min(), abs=0.01)


def test_a_walk_on_the_spot_stays_and_still_steps() -> None:
    figure = load_cast().figure(np.zeros(len(load_cast().components), np.float32))
    found = driving("walk", figure, fps=10.0, seconds=5.0, seed=0)
    kept = on_the_spot(found)
    far, near = (np.ptp(joint_positions(one.motion)[:, 0, [0, 2]], axis=0).max() for one in (found, kept))
    assert far > 2 > 0.3 > near
    assert np.array_equal(found.motion.rotations, kept.motion.rotations)


def test_filmed_on_the_spot_the_ground_is_level() -> None:
    figure = load_cast().figure(np.zeros(len(load_cast().components), np.float32))
    found = driving("walk", figure, fps=10.0, seconds=5.0, seed=0)
    climb = np.linspace(0, [0, 1, 2], len(found.motion), dtype=np.float32)
    climbing = Driving(replace(found.motion, root=found.motion.root + climb), filmed=True)
    feet = [joint_positions(one.motion)[..., 1].min(axis=1) for one in (climbing, on_the_spot(climbing), found)]
    ranges = [float(np.ptp(one)) for one in feet]
    assert ranges[0] > 0.9
    assert ranges[1] < ranges[2] + 0.05


def test_seconds_cut_any_motion_before_a_picture(tmp_path: Path) -> None:
    figure = load_cast().figure(np.zeros(len(load_cast().components), np.float32))
    write_bvh(tmp_path / "wave.bvh", driving("wave", figure, fps=10.0, seconds=2.0, seed=0).motion)
    for seconds, frames_made in ((None, 20), (0.5, 5)):
        config = PersonConfig(motion=str(tmp_path / "wave.bvh"), fps=10.0, seconds=seconds)
        assert len(before_picture(config, figure, Silent()).motion) == frames_made


def test_a_motion_of_somebody_else_faces_the_camera_as_it_did(photo: Path, subject: Subject, tmp_path: Path) -> None:
    """The pose of a picture keeps its heading; that of a file is turned to the person's."""
    away = subject.fit.motion
    turned = away.rotations.copy()
    turned[:, 0] = (np.cos(np.pi / 4), 0, np.sin(np.pi / 4), 0)
    looked = Motion(away.skeleton, turned, away.root, away.fps)
    from diorama.pipelines.animate_cast import Place
    from diorama.pipelines.animate_motion import placed

    cameras = Cameras(subject.fit.cameras.viewmats, subject.fit.cameras.Ks, HIGH, WIDE)
    place = Place("person-1", away, cameras, np.zeros(1, np.int64))
    kept = placed(Driving(looked, filmed=True), place, subject.character.body)
    assert np.allclose(kept.rotations[0, 0], turned[0, 0], atol=1e-5)
    faced = placed(Driving(looked), place, subject.character.body)
    assert np.allclose(np.abs(faced.rotations[0, 0]), [1, 0, 0, 0], atol=0.05)


@pytest.mark.parametrize(
    ("photos", "options", "error", "text"),
    [
        ([], {"motion": "walk"}, UsageError, "no photo"),
        (["photo.png"], {}, UsageError, "no poses"),
        (["none.png"], {"motion": "walk"}, MediaError, "no such file"),
        (["photo.png"], {"motion": "moonwalk"}, UsageError, "no motion"),
        (["photo.png"], {"motion": "walk", "background": "#12"}, UsageError, "no colour"),
        (["photo.png"], {"motion": "walk", "background": "none.png"}, UsageError, "no background"),
    ],
)
def test_what_cannot_be_shown_is_said(
    photo: Path, tmp_path: Path, photos: list[str], options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        person([tmp_path / name for name in photos], tmp_path / "out.png", PersonConfig(**options))
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"poses": 0},
        {"size": 3},
        {"fps": 0.0},
        {"seconds": -1.0},
        {"at": (0.5, 0.9, 0.0)},
        {"strength": 2.0},
        {"guidance_scale": float("nan")},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        PersonConfig(**options)


def test_a_scene_without_anybody_needs_a_motion(photo: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nobody to follow"):
        animate("white", tmp_path / "out.mkv", AnimateConfig((str(photo),)))
    assert not (tmp_path / "out.mkv").exists()


def test_colours_pictures_and_clips_are_told_apart(tmp_path: Path) -> None:
    assert is_color("white")
    assert is_color("#a0b0c0")
    assert not is_color("clip.mp4")
    assert not is_still(tmp_path)
    assert plain("#010203", 2, 3).tolist() == [[[1, 2, 3]] * 3] * 2
    video = still_video(np.zeros((4, 6, 3), np.uint8), 5, 24000 / 1001)
    assert len(video) == len(video.stack()) == 5
    assert float(video.fps) == pytest.approx(23.976, abs=0.01)


def test_somebody_taken_out_leaves_all_else() -> None:
    image = np.full((60, 80, 3), 90, np.uint8)
    image[20:40, 30:50] = 250
    mask = np.zeros((60, 80), np.float32)
    mask[20:40, 30:50] = 1
    made = without(image, mask)
    assert np.abs(made.astype(int) - 90).max() <= 2
    assert np.array_equal(made[:, :20], image[:, :20])
    assert without(image, np.ones((60, 80), np.float32)).min() == 255


def test_pictures_in_rows_and_sizes() -> None:
    one = np.zeros((1000, 500, 3), np.uint8)
    assert in_rows([one] * 3).shape[0] in (480, 960)
    assert at_most(one, 100).shape == (100, 50, 3)
    assert at_most(one, 4000) is one
