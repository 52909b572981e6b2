"""A stereo recipe tells every network that took part, under which licence, and the seed that was used."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution

from diorama import catalog
from diorama.core.progress import Silent
from diorama.errors import ModelError
from diorama.media.encoding import Encoding
from diorama.media.recipe import read_recipe, sidecar_path
from diorama.perception.depth_hub import HubDepth
from diorama.pipelines.matrix_config import Generative
from diorama.pipelines.presets import Clip, DepthChoice, Look, StereoConfig
from diorama.pipelines.recipe_models import fingerprint_of, licence_of, models_of, name_of, networks_of
from diorama.pipelines.stereo import StereoRun, stereo
from diorama.pipelines.upscale_config import Upscale

FRAMES, HEIGHT, WIDTH = 3, 48, 64
PLAIN = StereoConfig(Look(convergence="0.4"), DepthChoice(people=False), encoding=Encoding("ffv1"))
GENERATIVE = replace(PLAIN, look=replace(PLAIN.look, engine="generative"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=FRAMES, size=(HEIGHT, WIDTH))


@pytest.fixture(scope="module")
def swin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Swin2SR with random weights, whose page states a licence."""
    folder = tmp_path_factory.mktemp("hidden") / "swin-tiny"
    torch.manual_seed(0)
    sizes = {"embed_dim": 8, "depths": [1], "num_heads": [2], "window_size": 4, "image_size": 16, "mlp_ratio": 1.0}
    Swin2SRForImageSuperResolution(Swin2SRConfig(**sizes)).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: bsd-2-clause\n---\n# Swin2SR\n")
    return folder


def packaged(name: str) -> str:
    """SHA-256 of weights that come with the package."""
    entry = catalog.find(name, catalog.EMBEDDED)
    folder = catalog.folder_of(entry)
    assert folder is not None
    return hashlib.sha256((folder / entry.files[0]).read_bytes()).hexdigest()


def test_a_fast_run_names_its_depth_alone(clip: Path, tmp_path: Path) -> None:
    stereo(clip, tmp_path / "film.mkv", PLAIN)
    assert set(read_recipe(tmp_path / "film.mkv").models) == {"depth", "people"}


def test_the_embedded_prior_and_upscaler_are_told(clip: Path, tmp_path: Path) -> None:
    generative = Generative("draft", window=3, overlap=1, seed=7)
    wanted = replace(GENERATIVE, generative=generative, larger=Upscale(2))
    stereo(clip, tmp_path / "film.mkv", wanted)
    recipe = read_recipe(tmp_path / "film.mkv")
    for question, name in (("prior", "scene-s"), ("autoencoder", "codec-s"), ("upscaler", "upscale-s")):
        told = [recipe.models[question + ending] for ending in ("", "_sha", "_licence")]
        assert told == [name, packaged(name), "Apache-2.0"]
    assert recipe.seed == recipe.options["seed"] == 7
    again = stereo(clip, tmp_path / "film.mkv", wanted, run=StereoRun(resume=True))
    assert any("already complete" in note for note in again.notes)


def test_an_upscaler_of_the_hub_is_told_and_its_folder_is_nobodys_business(
    clip: Path, swin: Path, tmp_path: Path
) -> None:
    made = stereo(clip, tmp_path / "film.mkv", replace(PLAIN, larger=Upscale(2, str(swin))))
    assert [note for note in made.notes if "bsd-2-clause" in note], "the licence is shown"
    recipe = read_recipe(tmp_path / "film.mkv")
    assert (recipe.models["upscaler"], recipe.models["upscaler_licence"]) == ("swin-tiny", "bsd-2-clause")
    assert recipe.models["upscaler_sha"] == fingerprint_of(swin)
    assert str(swin.parent) not in sidecar_path(tmp_path / "film.mkv").read_text()


def test_the_upscaler_is_opened_before_frames_are_made(clip: Path, swin: Path, tmp_path: Path) -> None:
    class Counted(Silent):
        begun = 0

        def begin(self, stage: str, total: int | None) -> None:
            Counted.begun += 1

    for larger, device, words in ((str(tmp_path), "cpu", "config.json"), (str(swin), "cuda:97", r"device 'cuda:97'")):
        wanted = replace(PLAIN, depth=DepthChoice(people=False, device=device), larger=Upscale(2, larger))
        with pytest.raises(ModelError, match=words):
            stereo(clip, tmp_path / "film.mkv", wanted, progress=Counted())
    assert Counted.begun == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("config", [PLAIN, GENERATIVE, replace(PLAIN, larger=Upscale(2))])
def test_only_what_takes_part_is_named(config: StereoConfig) -> None:
    told = networks_of(config, Silent().note)
    assert ("prior" in told) == (config.look.engine == "generative")
    assert ("upscaler" in told) == (config.larger.upscale > 1)


def test_names_of_other_networks_are_no_upscalers() -> None:
    with pytest.raises(ModelError, match="'depth-pro' is no folder and no upscaler"):
        networks_of(replace(PLAIN, larger=Upscale(2, "depth-pro")), Silent().note)


def test_priors_in_folders_are_known_by_their_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "unet").mkdir(parents=True)
        (tmp_path / name / "unet" / "model.safetensors").write_bytes(b"weights")
        (tmp_path / name / "model_index.json").write_text("{}")
    one, two = tmp_path / "one", tmp_path / "two"
    (two / "sample.mp4").write_bytes(b"a film is no part of a network")
    (two / "README.md").write_text("---\nlicense: other\nlicense_name: shop-1.0\n---\n")
    assert fingerprint_of(one) == fingerprint_of(two)
    assert (licence_of(one), licence_of(two)) == ("unstated", "shop-1.0")
    wanted = replace(GENERATIVE, generative=Generative(prior=str(two), autoencoder=str(one)))
    told = networks_of(wanted, Silent().note)
    assert [told[name] for name in ("prior", "prior_licence", "autoencoder")] == ["two", "shop-1.0", "one"]
    (two / "unet" / "model.safetensors").write_bytes(b"others")
    assert networks_of(wanted, Silent().note)["prior_sha"] != told["prior_sha"]
    entry = catalog.find("zeroscope-v2-576w", catalog.GENERATORS)
    monkeypatch.setattr(catalog, "folder_of", lambda weights: two if weights is entry else None)
    told = networks_of(wanted, Silent().note)
    assert (told["prior"], told["prior_licence"]) == (entry.name, entry.licence)
    named = replace(GENERATIVE, generative=Generative(prior=entry.name))
    assert networks_of(named, Silent().note)["prior_sha"] == told["prior_sha"]


def depth_network(folder: Path) -> Path:
    """What looks like one."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "dpt"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_depth_is_called_as_in_the_catalogue_and_else_by_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = depth_network(tmp_path / "snapshots" / "0123abcd")
    estimator, note = HubDepth(folder, tmp_path), Silent().note
    assert models_of(PLAIN, estimator, note)["depth"] == "0123abcd"
    entry = catalog.find("depth-anything-v2-small")
    monkeypatch.setattr(catalog, "folder_of", lambda weights: folder if weights is entry else None)
    told = models_of(PLAIN, estimator, note)
    assert told["depth"] == name_of(folder) == entry.name
    assert (told["depth_sha"], told["depth_licence"]) == (estimator.folder.fingerprint, entry.licence)
    monkeypatch.setattr(catalog, "cached", lambda *_: folder)
    named = HubDepth("somebody/some-depth", tmp_path)
    assert models_of(PLAIN, named, note)["depth"] == "somebody/some-depth"


def test_a_download_is_told_also_where_the_film_is_done(
    clip: Path, swin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "cached", lambda source, *_: swin if source == "somebody/swin" else None)
    wanted = replace(PLAIN, larger=Upscale(2, "somebody/swin"))
    stereo(clip, tmp_path / "film.mkv", wanted)
    monkeypatch.setattr(catalog, "cached", lambda *_: None)
    monkeypatch.setattr("diorama.perception.hub._download", lambda source: swin)
    again = stereo(clip, tmp_path / "film.mkv", wanted, run=StereoRun(resume=True))
    assert any("already complete" in note for note in again.notes)
    assert any("downloading somebody/swin" in note for note in again.notes)


def test_what_is_told_of_progress_is_what_is_made(clip: Path, tmp_path: Path) -> None:
    class Totals(Silent):
        def __init__(self) -> None:
            super().__init__()
            self.totals: list[int | None] = []

        def begin(self, stage: str, total: int | None) -> None:
            self.totals.append(total)

    for part, frames in ((Clip(max_frames=FRAMES), FRAMES), (Clip(max_frames=FRAMES, end="0.05"), 2)):
        seen = Totals()
        made = stereo(clip, tmp_path / f"{frames}.mkv", replace(PLAIN, clip=part), progress=seen)
        assert (made.frames, seen.totals) == (frames, [frames])
