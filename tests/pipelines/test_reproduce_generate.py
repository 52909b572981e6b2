"""A generated clip is made again from its recipe: by its seed, its words and its picture, and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diorama import catalog
from diorama.cli.commands import Common, Reproduce
from diorama.core.progress import Silent
from diorama.errors import DioramaError, UsageError
from diorama.media.encoding import Encoding
from diorama.media.read import open_video
from diorama.media.recipe import Input, Recipe, read_recipe, sidecar_path, write_sidecar
from diorama.pipelines.generate import GenerateResult, generate
from diorama.pipelines.generate_config import GenerateConfig
from diorama.pipelines.recipe_options import config_of
from diorama.pipelines.reproduce import reproduce

CONFIG = GenerateConfig(frames=2, height=48, width=64, fps=12.0, seed=5, encoding=Encoding("ffv1"))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A clip of the theatre."""
    generate("", tmp_path / "clip.mkv", CONFIG)
    return tmp_path / "clip.mkv"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, GenerateConfig]]:
    """What a run was asked for that is not carried out, by a recipe with a picture and words."""
    seen: list[tuple[str, GenerateConfig]] = []

    def record(given: str, output: Path, config: GenerateConfig, **_: object) -> GenerateResult:
        seen.append((given, config))
        return GenerateResult((output,), 0, 0.0, "none")

    monkeypatch.setattr("diorama.pipelines.generate.generate", record)
    Image.new("RGB", (32, 32)).save(tmp_path / "cat.png")
    config = GenerateConfig(prior="/far/away/weights", guidance_scale=3.0, num_inference_steps=4, seed=9)
    options = config.for_recipe("a cat", "cat.png")
    recipe = Recipe("generate", options, (Input.of(tmp_path / "cat.png"),), 9, "0", {"prior": "zeroscope"})
    write_sidecar(tmp_path / "film.mp4", recipe)
    return seen


def change(path: Path, how: Callable[[dict[str, Any]], object]) -> Path:
    sidecar = sidecar_path(path)
    recipe = json.loads(sidecar.read_text())
    how(recipe)
    sidecar.write_text(json.dumps(recipe))
    return sidecar


def test_the_recipe_makes_the_same_clip(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = reproduce(made, progress=Silent())
    assert (again.files, again.frames) == ((made.with_name("clip_again.mkv"),), 2)
    assert np.array_equal(open_video(again.files[0]).stack(), open_video(made).stack())
    assert read_recipe(again.files[0]).identity == read_recipe(made).identity
    assert Reproduce(str(made), overwrite=True, common=Common(json=True)).run() == 0
    assert json.loads(capsys.readouterr().out)["files"] == [str(again.files[0])]


def test_words_a_picture_and_weights_come_as_they_were(asked: list[tuple[str, GenerateConfig]], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the network 'weights'.*--input prior=PATH"):
        reproduce(tmp_path / "film.mp4")
    reproduce(tmp_path / "film.mp4", given={"prior": tmp_path})
    ((given, config),) = asked
    assert (given, config.prior) == (str(tmp_path / "cat.png"), str(tmp_path))
    assert (config.prompt, config.seed, config.guidance_scale, config.num_inference_steps) == ("a cat", 9, 3.0, 4)


def test_weights_of_the_catalogue_are_used_where_they_are_here_and_never_fetched(
    asked: list[tuple[str, GenerateConfig]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(tmp_path / "film.mp4", lambda r: r["options"].update({"prior": "zeroscope-v2-576w"}))
    monkeypatch.setattr(catalog, "folder_of", lambda entry: None)
    with pytest.raises(UsageError, match="the network 'zeroscope-v2-576w'"):
        reproduce(tmp_path / "film.mp4")
    monkeypatch.setattr(catalog, "folder_of", lambda entry: tmp_path)
    reproduce(tmp_path / "film.mp4")
    assert asked[0][1].prior == str(tmp_path)


HOSTILE = {
    "a picture that is no input": (
        lambda r: r["options"].update(image="/etc/passwd", prior="embedded"),
        "'/etc/passwd'.*none of its",
    ),
    "a picture as number": (lambda r: r["options"].update(image=5, prior="embedded"), "none of its inputs"),
    "no picture among the inputs": (
        lambda r: (r["options"].update(prior="embedded"), r["inputs"].clear()),
        "'cat.png'.*none of its inputs",
    ),
    "a picture elsewhere": (lambda r: r["inputs"][0].update(name="../cat.png"), "plain file name"),
    "a folder of weights": (lambda r: r["options"].update(prior="/far/away"), "the network '/far/away'"),
    "a number of weights": (lambda r: r["options"].update(prior=5), "the network 5"),
    "an unknown option": (lambda r: r["options"].update(shell="id", prior="embedded"), "unknown option 'shell'"),
    "a group of options": (lambda r: r["options"].update(encoding="x", prior="embedded"), "unknown option 'encoding'"),
    "a wrong type": (lambda r: r["options"].update(frames="2", prior="embedded"), r"'2' does not fit.*options.frames"),
    "too many frames": (lambda r: r["options"].update(frames=10**9, prior="embedded"), "frames"),
    "an unknown codec": (lambda r: r["options"].update(codec="tee", prior="embedded"), "options.codec"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_recipes_get_one_clear_line(asked: list[tuple[str, GenerateConfig]], tmp_path: Path, case: str) -> None:
    how, message = HOSTILE[case]
    sidecar = change(tmp_path / "film.mp4", how)
    with pytest.raises(DioramaError, match=message):
        reproduce(sidecar, tmp_path / "new.mp4")
    assert asked == []


def test_depth_is_no_network_of_a_generated_clip(made: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no input 'depth'"):
        reproduce(made, given={"depth": tmp_path})


def test_every_option_survives_its_recipe() -> None:
    config = GenerateConfig(prompt="a", negative_prompt="b", height=32, guidance_scale=2.0, device="cpu")
    options = json.loads(json.dumps(config.for_recipe("a", "")))
    del options["image"]
    assert config_of(GenerateConfig, options) == config
