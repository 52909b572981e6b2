"""A film says how it was made, is made again from that, and cannot be made to do anything else."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from diorama import catalog
from diorama.core.progress import Silent
from diorama.errors import DioramaError, MediaError, UsageError
from diorama.media.encoding import Encoding
from diorama.media.read import open_video
from diorama.media.recipe import from_json, read_recipe, sidecar_path
from diorama.perception.depth_hub import HubDepth
from diorama.pipelines.presets import Clip, DepthChoice, Look, StereoConfig
from diorama.pipelines.reproduce import reproduce
from diorama.pipelines.stereo import StereoResult, StereoRun, stereo
from diorama.pipelines.upscale_config import Upscale

FRAMES = 4


def pictures(path: Path) -> np.ndarray:
    return open_video(path).stack()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    """A folder with a clip, its depth, and the film made of both."""
    folder = tmp_path_factory.mktemp("original")
    make_clip(folder / "clip.mp4", frames=FRAMES, audio=True)
    ramp = np.linspace(0, 1, 64, dtype=np.float32)[:, None].repeat(96, axis=1)
    np.save(folder / "depth.npy", np.broadcast_to(ramp, (FRAMES, 64, 96)))
    config = StereoConfig(
        Look("half-tb", divergence=4.0, convergence="0.3", swap=True, fill="telea"),
        DepthChoice(str(folder / "depth.npy"), people=False),
        Clip(end="0.13", scale=0.75),
        Encoding("libx264", crf=12, preset="veryfast"),
    )
    stereo(folder / "clip.mp4", folder / "film.mp4", config)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    shutil.copytree(original, tmp_path / "copy")
    return tmp_path / "copy"


def spoil(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Rewrite the film's sidecar."""
    path = sidecar_path(folder / "film.mp4")
    recipe = json.loads(path.read_text())
    change(recipe)
    path.write_text(json.dumps(recipe))
    return folder / "film.mp4"


def test_the_sidecar_and_the_container_carry_the_same_recipe(original: Path) -> None:
    film = original / "film.mp4"
    recipe = read_recipe(film)
    assert recipe.command == "stereo"
    assert [item.name for item in recipe.inputs] == ["clip.mp4", "depth.npy"]
    assert recipe.options["depth"] == "depth.npy"
    assert recipe.options["format"] == "half-tb"
    with av.open(str(film)) as container:
        comment = container.metadata["comment"]
    assert from_json(comment.partition(":")[2].encode()) == recipe
    everything = sidecar_path(film).read_text() + comment
    assert str(original) not in everything, "no folder of the maker leaks"


def test_the_recipe_makes_the_same_film(folder: Path) -> None:
    made = reproduce(folder / "film.mp4")
    assert made.files == (folder / "film_again.mp4",)
    assert np.array_equal(pictures(made.files[0]), pictures(folder / "film.mp4"))
    assert read_recipe(made.files[0]).identity == read_recipe(folder / "film.mp4").identity


def test_without_the_sidecar_the_container_is_enough(folder: Path) -> None:
    sidecar_path(folder / "film.mp4").unlink()
    made = reproduce(folder / "film.mp4", folder / "new.mp4")
    assert np.array_equal(pictures(made.files[0]), pictures(folder / "film.mp4"))


def test_the_sidecar_alone_is_enough(folder: Path) -> None:
    made = reproduce(sidecar_path(folder / "film.mp4"))
    assert made.files == (folder / "film_again.mp4",)


def test_from_another_folder_inputs_are_told(folder: Path, tmp_path: Path) -> None:
    film = tmp_path / "elsewhere" / "film.mp4"
    film.parent.mkdir()
    shutil.copy(folder / "film.mp4", film)
    with pytest.raises(MediaError, match=r"'clip.mp4' is missing.*--input"):
        reproduce(film)
    given = {"clip.mp4": folder / "clip.mp4", "depth.npy": folder / "depth.npy"}
    made = reproduce(film, given=given)
    assert made.files == (film.with_name("film_again.mp4"),)
    assert np.array_equal(pictures(made.files[0]), pictures(film))
    with pytest.raises(UsageError, match="no input 'other'"):
        reproduce(film, given={**given, "other": film}, overwrite=True)


def test_an_input_may_have_another_name(folder: Path) -> None:
    (folder / "clip.mp4").rename(folder / "renamed.mp4")
    made = reproduce(folder / "film.mp4", given={"clip.mp4": folder / "renamed.mp4"})
    assert np.array_equal(pictures(made.files[0]), pictures(folder / "film.mp4"))


def test_changed_inputs_are_refused_unless_accepted(folder: Path) -> None:
    depth = np.load(folder / "depth.npy")
    np.save(folder / "depth.npy", depth[:, ::-1])
    with pytest.raises(UsageError, match=r"content differs.*depth\.npy"):
        reproduce(folder / "film.mp4")
    assert not (folder / "film_again.mp4").exists()
    made = reproduce(folder / "film.mp4", allow_changed=True)
    assert not np.array_equal(pictures(made.files[0]), pictures(folder / "film.mp4"))


def test_an_existing_output_is_not_replaced(folder: Path) -> None:
    with pytest.raises(UsageError, match="exists"):
        reproduce(folder / "film.mp4", folder / "film.mp4")
    (folder / "film_again.mp4").write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists"):
        reproduce(folder / "film.mp4")
    assert (folder / "film_again.mp4").read_bytes() == b"mine"
    reproduce(folder / "film.mp4", overwrite=True)


def test_inputs_are_never_written_to(folder: Path) -> None:
    before = (folder / "clip.mp4").read_bytes()
    with pytest.raises(UsageError, match="the output is the input"):
        reproduce(folder / "film.mp4", folder / "clip.mp4", overwrite=True)
    assert (folder / "clip.mp4").read_bytes() == before


def test_a_depth_called_like_the_clip(folder: Path, make_clip: Callable[..., Path]) -> None:
    def grey(index: int, height: int, width: int) -> np.ndarray:
        return np.linspace(0, 255, height).astype(np.uint8)[:, None, None].repeat(width, 1).repeat(3, 2)

    maps = folder / "depth"
    maps.mkdir()
    make_clip(maps / "clip.mp4", frames=FRAMES, image=grey)
    config = StereoConfig(Look(convergence="0.5"), DepthChoice(str(maps / "clip.mp4")), encoding=Encoding("ffv1"))
    stereo(folder / "clip.mp4", folder / "own.mkv", config)
    names = [item.name for item in read_recipe(folder / "own.mkv").inputs]
    assert len(set(names)) == 2
    made = reproduce(folder / "own.mkv", given={names[1]: maps / "clip.mp4"})
    assert np.array_equal(pictures(made.files[0]), pictures(folder / "own.mkv"))


@pytest.mark.parametrize("name", ["{{7*7}}.mp4", "$(touch owned) `id`.mp4", "%s%n.mp4", "clip;rm.mp4"])
def test_names_are_text(folder: Path, name: str) -> None:
    (folder / "clip.mp4").rename(folder / name)
    config = StereoConfig(Look(convergence="0.5"), DepthChoice(str(folder / "depth.npy")), Clip(end="0.1"))
    stereo(folder / name, folder / "own.mp4", config)
    assert read_recipe(folder / "own.mp4").inputs[0].name == name
    made = reproduce(folder / "own.mp4")
    assert np.array_equal(pictures(made.files[0]), pictures(folder / "own.mp4"))
    assert not (folder / "owned").exists()
    assert not (Path.cwd() / "owned").exists()


HOSTILE = {
    "unknown option": (lambda r: r["options"].update({"exec": "id"}), "unknown option 'exec'"),
    "unknown key": (lambda r: r.update({"hook": "id"}), "hook"),
    "option of a wrong type": (lambda r: r["options"].update({"views": "4"}), r"'4' does not fit.*options.views"),
    "flag as number": (lambda r: r["options"].update({"swap": 1}), "options.swap"),
    "number as flag": (lambda r: r["options"].update({"divergence": True}), "options.divergence"),
    "list": (lambda r: r["options"].update({"map": ["a"]}), "options.map"),
    "template": (lambda r: r["options"].update({"convergence": "{{7*7}}"}), r"\{\{7\*7\}\}"),
    "code": (lambda r: r["options"].update({"background": "__import__('os')"}), r"__import__\('os'\)"),
    "choice": (lambda r: r["options"].update({"format": "../sbs"}), "options.format"),
    "codec": (lambda r: r["options"].update({"codec": "libx264 -f tee"}), "options.codec"),
    "number as choice": (lambda r: r["options"].update({"upscale": 2.0}), r"2\.0 does not fit.*options.upscale"),
    "flag as choice": (lambda r: r["options"].update({"upscale": True}), "True does not fit.*options.upscale"),
    "bomb": (lambda r: r["options"].update({"views": 10**6}), "views"),
    "infinity": (lambda r: r["options"].update({"divergence": 1e400}), "finite|Infinity|number|JSON"),
    "other command": (lambda r: r.update({"command": "rm -rf"}), "rm -rf.*reproduces: stereo, generate"),
    "another command": (lambda r: r.update({"command": "animate"}), "run diorama animate with the options it lists"),
    "options of another command": (lambda r: r.update({"command": "generate"}), "unknown option 'format'"),
    "later schema": (lambda r: r.update({"diorama_recipe": 99}), "schema 99"),
    "no input": (lambda r: r.update({"inputs": []}), "without an input|depth"),
    "folder above": (lambda r: r["inputs"][0].update({"name": "../copy/clip.mp4"}), "not a plain file name"),
    "absolute": (lambda r: r["inputs"][0].update({"name": "/etc/passwd"}), "not a plain file name"),
    "home": (lambda r: r["inputs"][0].update({"name": "~/.ssh/id_rsa"}), "not a plain file name"),
    "drive": (lambda r: r["inputs"][0].update({"name": "C:\\clip.mp4"}), "not a plain file name"),
    "protocol": (lambda r: r["inputs"][0].update({"name": "http://127.0.0.1/clip.mp4"}), "not a plain file name"),
    "device": (lambda r: r["inputs"][0].update({"name": "NUL"}), "not a plain file name"),
    "depth beside": (lambda r: r["options"].update({"depth": "clip2.npy"}), "depth from 'clip2.npy'"),
    "depth above": (lambda r: r["options"].update({"depth": "../copy/depth.npy"}), "depth from"),
    "depth anywhere": (lambda r: r["options"].update({"depth": "/etc/passwd"}), "depth from"),
    "depth of a hub": (lambda r: r["options"].update({"depth": "someone/model"}), "depth from"),
    "depth as number": (lambda r: r["options"].update({"depth": 5}), "depth from 5"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_recipes_get_one_clear_line(folder: Path, case: str) -> None:
    change, message = HOSTILE[case]
    film = spoil(folder, change)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(DioramaError, match=message) as caught:
        reproduce(film, folder / "new.mp4")
    assert caught.value.exit_code in (2, 3, 5)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_links_out_of_the_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "clip.mp4", tmp_path / "secret.mp4")
    (folder / "clip.mp4").symlink_to(tmp_path / "secret.mp4")
    with pytest.raises(UsageError, match="link out of the recipe's folder"):
        reproduce(folder / "film.mp4")


def test_models_are_text_only(folder: Path) -> None:
    film = spoil(folder, lambda r: r["models"].update({"depth": "{{7*7}}"}))
    made = reproduce(film)
    assert "{{7*7}}" not in sidecar_path(made.files[0]).read_text()


def test_a_folder_of_weights_is_used_only_when_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = spoil(folder, lambda r: (r["options"].update({"depth": "weights"}), r["inputs"].pop()))
    (folder / "weights").mkdir()
    with pytest.raises(UsageError, match=r"'weights'.*--input depth=PATH"):
        reproduce(film)
    seen = []

    def record(source: Path, target: Path, config: StereoConfig, **_: object) -> StereoResult:
        seen.append(config.depth.depth)
        return StereoResult((target,), 0, 0.0)

    monkeypatch.setattr("diorama.pipelines.reproduce.stereo", record)
    reproduce(film, given={"depth": folder / "weights"})
    film = spoil(folder, lambda r: r["options"].update({"depth": "depth-anything-v2-small"}))
    with pytest.raises(UsageError, match="asks for depth"):  # not on this machine, and nothing is downloaded
        reproduce(film)
    local = [(catalog.find("depth-anything-v2-small"), folder)]
    monkeypatch.setattr("diorama.catalog.models_found", lambda: local)
    reproduce(film)
    assert seen == [str(folder / "weights"), str(folder)]


def test_other_weights_are_refused_unless_accepted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = folder / "weights"
    weights.mkdir()
    (weights / "config.json").write_text('{"model_type": "depth_anything"}')
    (weights / "model.safetensors").write_bytes(b"weights")
    sha = HubDepth(weights, folder).folder.fingerprint
    film = spoil(
        folder, lambda r: (r["options"].update(depth="weights"), r["inputs"].pop(), r["models"].update(depth_sha=sha))
    )
    seen = []

    def record(source: Path, target: Path, config: StereoConfig, **_: object) -> StereoResult:
        seen.append(config.depth.depth)
        return StereoResult((target,), 0, 0.0, notes=("done",))

    monkeypatch.setattr("diorama.pipelines.reproduce.stereo", record)
    given = {"depth": weights}
    assert reproduce(film, given=given).notes == ("done",)
    (weights / "model.safetensors").write_bytes(b"others")
    for other in (given, {"depth": folder / "depth.npy"}):
        with pytest.raises(UsageError, match=r"weights of depth are not those.*--input depth=PATH.*--allow-changed"):
            reproduce(film, given=other)
    assert len(seen) == 1
    told = Silent()
    made = reproduce(film, given=given, allow_changed=True, progress=told)
    assert told.notes == [made.notes[0]]
    assert "weights of depth are not those" in made.notes[0]
    assert len(seen) == 2


def test_embedded_weights_are_compared_too(folder: Path) -> None:
    config = StereoConfig(Look(convergence="0.5"), DepthChoice(people=False), Clip(end="0.05"), larger=Upscale(2))
    stereo(folder / "clip.mp4", folder / "film.mp4", config, run=StereoRun(overwrite=True))
    film = spoil(folder, lambda r: r["models"].update(upscaler_sha="0" * 64, prior_sha="of what takes no part"))
    with pytest.raises(UsageError, match="weights of upscaler are not those"):
        reproduce(film)
    made = reproduce(film, allow_changed=True)
    assert reproduce(made.files[0]).notes == made.notes[1:], "the new film tells what it was made with"


def test_every_option_survives_its_recipe() -> None:
    config = StereoConfig(
        Look("vr180", 3.5, "0.125", swap=True, source_eye="right", warp="nearest", fill="telea"),
        DepthChoice("depth.npy", "metric", 0.5, 20.0, people=False, device="cpu"),
        Clip("1", "2", 12.5, 0.5, deinterlace=True, map="0,1", background="#102030", tolerant=True, max_seconds=9.0),
        Encoding("libx265", 20, "slow"),
    )
    again = StereoConfig.from_options(json.loads(json.dumps(config.options())))
    assert again == config
    assert replace(again, look=Look()) != config


def test_progress_is_passed_on(folder: Path) -> None:
    class Counted(Silent):
        frames = 0

        def advance(self, steps: int = 1) -> None:
            Counted.frames += steps

    made = reproduce(folder / "film.mp4", progress=Counted())
    assert Counted.frames == made.frames
