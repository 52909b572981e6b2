"""A clip becomes a scene: what is written, what it agrees with, and clips that are hardly any."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diorama import catalog
from diorama.cli import main
from diorama.core.progress import Silent
from diorama.diffusion.denoise import Denoiser
from diorama.diffusion.levels import Level, schedule
from diorama.diffusion.prior import Rung, trained_ladder
from diorama.errors import DamagedMediaError, InterruptedRunError, UsageError
from diorama.media.boxes import read_tags
from diorama.media.images import load_image
from diorama.media.read import open_video
from diorama.media.splat import read_scene4d, read_splats
from diorama.pipelines import matrix_open
from diorama.pipelines.matrix_config import Generative
from diorama.pipelines.presets import DepthChoice
from diorama.pipelines.spatial import SCENE, SpatialOptions, spatial
from diorama.pipelines.spatial_config import SpatialConfig
from diorama.pipelines.spatial_films import picture
from diorama.pipelines.spatial_frames import rig_of

FRAMES, HEIGHT, WIDTH = 4, 64, 96
TRAINED = schedule()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("clip")

    def image(index: int, height: int, width: int) -> np.ndarray:
        rng = np.random.default_rng(0)
        low, high = (60, 200) if index < 10 else (0, 40)
        out = np.kron(rng.integers(low, high, (height // 16, width // 16, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        out[20:44, 20 + 4 * index : 44 + 4 * index] = (240, 60, 40)
        return out

    made = make_clip(
        folder / "clip.mkv", frames=FRAMES, size=(HEIGHT, WIDTH), codec="ffv1", pix_fmt="bgr0", image=image
    )
    depth = np.zeros((FRAMES, HEIGHT, WIDTH), np.float32)
    for t in range(FRAMES):
        depth[t, 20:44, 20 + 4 * t : 44 + 4 * t] = 1
    np.save(folder / "depth.npy", depth)
    return made


def asked(clip: Path, **config: object) -> SpatialOptions:
    few = {"views": 3, "width": 96, "iterations": 60, "engine": "fast", "write": (), **config}
    return SpatialOptions(SpatialConfig(**few), DepthChoice(str(clip.with_name("depth.npy")), people=False))


def test_everything_is_written_and_reads_back(clip: Path, tmp_path: Path) -> None:
    write = ("page", "films", "ply", "splat", "glb")
    made = spatial(clip, tmp_path / "out", asked(clip, iterations=150, write=write))
    scene = read_scene4d(made.scene)
    assert (made.frames, made.views) == (FRAMES, 3)
    assert scene.fps == pytest.approx(24, rel=0.01)
    for name in ("scene.splat", "scene.glb", "ply"):
        assert read_splats(made.folder / name) is not None
    orbit, slow = (open_video(made.folder / name).stack() for name in ("orbit.mp4", "slow.mp4"))
    assert orbit.shape[1:] == (2 * HEIGHT, 2 * WIDTH, 3)
    assert len(orbit) in (96, 97)
    assert len(slow) == 4 * (FRAMES - 1) + 1
    assert read_tags(made.folder / "stereo_sbs.mp4").layout is not None
    assert b"scene" in (made.folder / "page.html").read_bytes()
    told = json.loads((made.folder / "spatial.json").read_text())
    assert told["figures"]["psnr"] == made.figures["psnr"] > 20
    assert told["models"] == {}  # the fast engine fills
    assert str(tmp_path) not in (made.folder / "spatial.json").read_text()
    assert load_image(made.folder / "poster.png").shape == (2 * HEIGHT, 2 * WIDTH, 3)
    source = open_video(clip).stack()
    shown = picture(scene.moving, float(scene.moving.times[1]), scene.cameras[:1])
    assert np.abs(shown.astype(int) - source[1]).mean() < 25
    assert not list(tmp_path.glob(".out*"))


def test_networks_are_told_by_their_names(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "snapshots" / "0123abcd"
    folder.mkdir(parents=True)
    entry = catalog.find("zeroscope-v2-576w", catalog.GENERATORS)
    monkeypatch.setattr(catalog, "folder_of", lambda weights: folder if weights is entry else None)
    other = tmp_path / os.fsdecode(b"svd-\xff")
    options = replace(
        asked(clip, iterations=1), generative=Generative("draft", prior=str(folder), autoencoder=str(other))
    )
    made = spatial(clip, tmp_path / "out", options)
    told = json.loads((made.folder / "spatial.json").read_text())["options"]
    assert (told["generative"]["prior"], told["generative"]["autoencoder"]) == (entry.name, "svd-\ufffd")
    assert told["depth"]["depth"] == "depth.npy"


def test_cameras_stand_where_their_views_were_warped_to() -> None:
    for layout, count in (("middle", 5), ("circle", 8)):
        rig = rig_of(SpatialConfig(views=count, layout=layout, baseline=0.08), 64, 96)
        centers = rig.cameras.centers
        assert np.allclose(centers[rig.source], 0)
        np.testing.assert_allclose(centers[:, :2], rig.shares * 0.08, atol=1e-6)
        assert np.ptp(centers[:, 0]) == pytest.approx(0.08 if layout == "middle" else 0.075, rel=1e-5)


@dataclass
class Grey:
    """A prior that paints grey, and may be stopped."""

    fails_at: int = 0
    calls: int = 0
    reads_guess = True
    rows = True
    name = "grey"
    size = (HEIGHT, WIDTH)
    multiple = 8
    shortest = 1
    longest = 64
    device = torch.device("cpu")

    def fitting(self, count: int) -> int:
        return count

    def ladder(self, steps: int) -> list[Rung]:
        return trained_ladder(TRAINED, steps)

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pixel_unshuffle(frames * 2 - 1, 8).transpose(0, 1)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return ((torch.nn.functional.pixel_shuffle(latents.transpose(0, 1), 8) + 1) / 2).clamp(0, 1)

    def denoiser(self, guess: torch.Tensor, unknown: torch.Tensor) -> Denoiser:
        def denoise(x: torch.Tensor, level: Level) -> torch.Tensor:
            self.calls += 1
            if self.calls == self.fails_at:
                raise KeyboardInterrupt
            return 0 * guess

        return denoise


def test_a_stopped_run_goes_on_after_its_last_window(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = asked(clip, engine="generative", iterations=20)
    options = replace(options, generative=replace(options.generative, window=3, overlap=1))
    calls = []
    for name, fails_at, resume in (("whole", 0, False), ("out", 2, False), ("out", 0, True)):
        prior = Grey(fails_at)
        monkeypatch.setattr(matrix_open.ScenePrior, "load", lambda prior=prior, **_: prior)
        if fails_at:
            with pytest.raises(InterruptedRunError, match="stopped"):
                spatial(clip, tmp_path / name, options)
            assert not (tmp_path / name).exists()
        else:
            spatial(clip, tmp_path / name, options, resume=resume)
        calls.append(prior.calls)
    assert calls[0] == 2
    assert calls[2] == 1
    again = spatial(clip, tmp_path / "out", options, resume=True)  # finished: left alone
    assert again.notes == ("already complete, nothing to do",)
    assert (again.frames, again.views, prior.calls) == (FRAMES, 3, 1)
    with pytest.raises(UsageError, match="made with other options"):
        spatial(clip, tmp_path / "out", replace(options, spatial=replace(options.spatial, width=64)), resume=True)
    note = tmp_path / "out" / "spatial.json"
    for changed in ({"version": "0"}, {"models": {}}, {"depth": None}):
        kept = note.read_text()
        note.write_text(json.dumps({**json.loads(kept), **changed}))
        with pytest.raises(UsageError, match="made with other options"):
            spatial(clip, tmp_path / "out", options, resume=True)
        note.write_text(kept)
    infinite = kept.replace(f'"frames": {FRAMES}', '"frames": Infinity')
    for text in ("[]", "[" * 100_000, infinite, kept.replace('"psnr"', '"other"'), "", kept + " " * (1 << 20)):
        note.write_text(text)
        with pytest.raises(DamagedMediaError, match="cannot be read"):
            spatial(clip, tmp_path / "out", options, resume=True)
    assert spatial(clip, tmp_path / "out", options, resume=True, overwrite=True).figures["psnr"] > 15
    assert (tmp_path / "whole" / SCENE).read_bytes() == (tmp_path / "out" / SCENE).read_bytes()
    told = json.loads((tmp_path / "whole" / "spatial.json").read_text())
    assert (told["models"]["prior"], told["models"]["prior_licence"]) == ("scene-s", "Apache-2.0")


def test_what_a_stopped_run_left_is_kept_from_other_options(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = asked(clip, engine="generative", iterations=20)
    options = replace(options, generative=replace(options.generative, window=3, overlap=1))
    first, second = Grey(fails_at=2), Grey()
    monkeypatch.setattr(matrix_open.ScenePrior, "load", lambda **_: first)
    with pytest.raises(InterruptedRunError):
        spatial(clip, tmp_path / "out", options)
    kept = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert kept
    monkeypatch.setattr(matrix_open.ScenePrior, "load", lambda **_: second)
    with pytest.raises(UsageError, match=r"other options.*start anew without --resume"):
        spatial(clip, tmp_path / "out", replace(options, spatial=replace(options.spatial, width=64)), resume=True)
    with pytest.raises(UsageError, match=r"unfinished run .* waits .* --resume .* --overwrite"):
        spatial(clip, tmp_path / "out", options)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == kept
    spatial(clip, tmp_path / "out", options, resume=True)
    assert second.calls == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("spatially", "painted", "words"),
    [
        ({}, {"window": 33}, "windows of 33 frames for grey, which tells 32 apart — --window — give at most 32"),
        ({"views": 32, "layout": "circle"}, {}, "33 views side by side .* which tells 32 apart — --views"),
    ],
)
def test_more_than_the_prior_tells_apart_is_told_before_depth(
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spatially: dict[str, object],
    painted: dict[str, int],
    words: str,
) -> None:
    options = asked(clip, engine="generative", **spatially)
    options = replace(options, generative=replace(options.generative, **painted))
    prior = Grey()
    prior.longest = 32
    monkeypatch.setattr(matrix_open.ScenePrior, "load", lambda **_: prior)
    told = Silent()
    began: list[str] = []
    monkeypatch.setattr(told, "begin", lambda stage, total: began.append(stage), raising=False)
    with pytest.raises(UsageError, match=words):
        spatial(clip, tmp_path / "out", options, progress=told)
    assert not began
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("config", [{"most_frames": 1}, {"baseline": 0.0}, {"layout": "circle", "views": 4}])
def test_hardly_any_clip_is_a_scene_all_the_same(clip: Path, tmp_path: Path, config: dict[str, object]) -> None:
    made = spatial(clip, tmp_path / "out", asked(clip, **config))
    assert made.figures["psnr"] > 15
    assert len(read_scene4d(made.scene).moving) > 100


def test_a_clip_that_stands_still_and_depth_of_one_value(tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    still = make_clip(
        tmp_path / "still.mkv",
        frames=3,
        size=(64, 96),
        codec="ffv1",
        pix_fmt="bgr0",
        image=lambda i, h, w: np.full((h, w, 3), 90, np.uint8),
    )
    np.save(tmp_path / "depth.npy", np.ones((3, 64, 96), np.float32))
    made = spatial(still, tmp_path / "out", asked(still))
    assert made.figures["psnr"] > 25


def test_only_the_first_shot_is_taken_and_said(tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    def image(index: int, height: int, width: int) -> np.ndarray:
        rng = np.random.default_rng(index > 5)
        low, high = (100, 250) if index < 6 else (0, 60)
        return np.kron(rng.integers(low, high, (height // 8, width // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)

    two = make_clip(tmp_path / "two.mkv", frames=12, size=(64, 96), codec="ffv1", pix_fmt="bgr0", image=image)
    np.save(tmp_path / "depth.npy", np.random.default_rng(0).random((12, 64, 96)).astype(np.float32))
    told = Silent()
    made = spatial(two, tmp_path / "out", asked(two, most_frames=4), progress=told)
    assert made.frames == 4
    assert any("first 6 of 12" in note for note in made.notes)
    assert any("4 of 6 frames" in note for note in told.notes)


@pytest.mark.parametrize(
    "bad",
    [{"views": 1}, {"baseline": 0.5}, {"eyes": -1.0}, {"most_frames": 0}, {"width": 8}, {"iterations": 0}, {"slow": 0}],
)
def test_options_that_make_no_sense_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        SpatialConfig(**bad)


def test_the_command_tells_where_to_look(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "spatial",
        str(clip),
        "-o",
        str(tmp_path / "out"),
        "--engine",
        "fast",
        "--iterations",
        "20",
        "--views",
        "3",
    ]
    words += ["--write", "splat", "--depth", str(clip.with_name("depth.npy")), "--width", "96", "-q", "--json"]
    with pytest.raises(SystemExit) as done:
        main(words)
    assert done.value.code == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(tmp_path / "out")
    with pytest.raises(SystemExit) as again:
        main(words)
    assert again.value.code == 2
    assert "exists" in capsys.readouterr().err
