"""The generator's views as a folder: with their depth, in metres, and from any file of ours."""

import json
import shutil
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from diorama.core.progress import Silent
from diorama.diffusion.parts_generate import EMBEDDED
from diorama.errors import UsageError
from diorama.media.images import save_image
from diorama.pipelines import parts as module
from diorama.pipelines.part_views import PartViews, read_views
from diorama.pipelines.parts import is_own, parts, views_of_source
from diorama.pipelines.parts_config import PartsConfig
from diorama.pipelines.rig_views import checked_hull, seen_depth, silhouettes_of
from diorama.theatre.menagerie import random_creature, random_motion
from diorama.theatre.turntable import Turntable, film


@cache
def _table() -> Turntable:
    rng = np.random.default_rng(1)
    creature = random_creature(rng, "furniture")
    return film(creature.figure, random_motion(rng, creature, frames=5), views=8, size=128)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PartViews:
    """What is made of a clip that takes two windows."""
    folder = tmp_path_factory.mktemp("clip")
    for number, frame in enumerate(_table().images[0]):
        save_image(folder / f"{number}.png", frame)
    return views_of_source(folder, PartsConfig(subject="object"), Silent())[0]


def test_depth_lies_where_all_other_views_see_the_object(made: PartViews) -> None:
    assert made.depth is not None
    assert made.images is not None
    assert made.depth.shape == made.images.shape[:4]
    assert made.depth.shape[1] == 5
    depth, cameras = made.depth[:, 0], made.cameras
    for view in range(0, 8, 3):
        rows, columns = np.nonzero(depth[view])
        pixels = np.stack([columns, rows], axis=1) + 0.5
        (points,) = cameras[view : view + 1].unproject(pixels[None], depth[view, rows, columns][None])
        assert np.linalg.norm(points, axis=1).max() < 1.3 * made.radius
        places, _ = cameras.project(points)
        for other in range(8):
            x, y = np.clip(places[other].astype(int), 0, 127).T
            shown = cv2.dilate((depth[other] > 0).view(np.uint8), np.ones((3, 3), np.uint8))
            assert shown[y, x].mean() > 0.99, (view, other)


def test_the_folder_holds_the_depth_and_says_that_it_is_guessed(tmp_path: Path) -> None:
    save_image(tmp_path / "in.png", _table().images[0, 0])
    parts(tmp_path / "in.png", tmp_path / "out", PartsConfig(subject="object"))
    again = read_views(tmp_path / "out")
    assert again.depth is not None
    assert again.depth.shape == (8, 1, 128, 128)
    assert again.guessed
    assert seen_depth(again) is None


def test_depth_that_is_seen_makes_a_smaller_surface(made: PartViews) -> None:
    table = _table()
    depth = np.where(np.isfinite(table.depth), table.depth, 0).astype(np.float32)
    views = PartViews(table.azimuths, table.elevation, made.radius, 12.0, inside=table.alpha, depth=depth)
    inside, deep = silhouettes_of(views, None), seen_depth(views)
    assert deep is not None
    hull, _ = checked_hull(inside[:, 0], table.cameras, 0.8, 48)
    found, _ = checked_hull(inside[:, 0], table.cameras, 0.8, 48, depth=deep)
    assert 0 < _volume(found.vertices, found.faces) < 0.9 * _volume(hull.vertices, hull.faces)
    some = inside[:, 0].copy()
    some[3] = False
    without, notes = checked_hull(some, table.cameras, 0.8, 48, depth=deep)
    assert "view 3" in notes[0]
    assert _volume(without.vertices, without.faces) < 0.9 * _volume(hull.vertices, hull.faces)


def _volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, i]].astype(np.float64) for i in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def test_files_of_our_kind_are_known_with_and_without_a_network_of_views(tmp_path: Path) -> None:
    assert is_own("embedded")
    assert is_own(str(EMBEDDED))
    both, other = tmp_path / "both.safetensors", tmp_path / "other.safetensors"
    save_file({"relief.branch.out.bias": torch.zeros(1), "views.rgb.steps.0.enter.weight": torch.zeros(1)}, both)
    save_file({"model.diffusion_model.time_embed.0.bias": torch.zeros(1)}, other)
    assert is_own(str(both))
    assert not is_own(str(other))
    assert not is_own(str(tmp_path))


def test_a_model_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a model, where a picture or a clip is wanted"):
        parts(tmp_path / "in.glb", tmp_path / "out")


def _views_of_a_box(*_: object) -> tuple[PartViews, tuple[str, ...]]:
    inside = np.zeros((2, 1, 8, 8), bool)
    inside[..., 2:6, 2:6] = True
    return PartViews(np.float32([0, 180]), 10.0, 0.7, 25.0, inside=inside), ()


def test_only_a_folder_of_part_views_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "views_of_source", _views_of_a_box)
    pictures, link = tmp_path / "pictures", tmp_path / "link"
    pictures.mkdir()
    save_image(pictures / "dog.png", _table().images[0, 0])
    dog = shutil.copy(pictures / "dog.png", tmp_path / "dog.png")
    link.symlink_to(pictures)
    refused = [
        (pictures / "dog.png", pictures, "folder of the input"),
        (pictures, pictures, "folder of the input"),
        (dog, pictures, "other things than part views"),
        (dog, link, "a file or a link"),
        (pictures, dog, "a file or a link"),
    ]
    for source, output, said in refused:
        with pytest.raises(UsageError, match=said):
            parts(source, output, overwrite=True)
    assert [file.name for file in pictures.iterdir()] == ["dog.png"]
    (tmp_path / "made").mkdir()
    parts(dog, tmp_path / "made", overwrite=True)
    assert read_views(tmp_path / "made").shape == (2, 1, 8)
    with pytest.raises(UsageError, match="the output exists"):
        parts(dog, tmp_path / "made")
    parts(dog, tmp_path / "made", overwrite=True)
    mask = tmp_path / "made/mask/view00/frame0000.png"
    with pytest.raises(UsageError, match="folder of the input"):
        parts(dog, tmp_path / "made", PartsConfig(mask=str(mask)), overwrite=True)
    assert mask.is_file()


def test_where_a_network_lies_is_not_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "views_of_source", _views_of_a_box)
    parts("dog.png", tmp_path / "out", PartsConfig(model="/home/me/net.safetensors", segmenter="/home/me/sam"))
    told = (tmp_path / "out/parts.json").read_text()
    options = json.loads(told)["made"]["options"]
    assert (options["model"], options["segmenter"]) == ("net.safetensors", "sam")
    assert "/home" not in told
