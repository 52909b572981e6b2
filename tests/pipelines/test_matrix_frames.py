"""The generative engine over whole films: what is known stays, windows join, killed runs go on at the last window."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diorama.core.progress import Silent
from diorama.diffusion.denoise import Denoiser
from diorama.diffusion.levels import Level, schedule
from diorama.diffusion.prior import Rung, trained_ladder
from diorama.errors import InterruptedRunError, ModelError, UsageError
from diorama.media.encoding import Encoding
from diorama.media.read import open_video
from diorama.pipelines import matrix_open
from diorama.pipelines.matrix_config import Generative
from diorama.pipelines.matrix_store import Painted, WindowStore
from diorama.pipelines.presets import DepthChoice, Look, StereoConfig
from diorama.pipelines.reproduce import reproduce
from diorama.pipelines.stereo import StereoRun, stereo

FRAMES, HEIGHT, WIDTH = 14, 48, 64
TRAINED = schedule()


@dataclass
class Folded:
    """A prior whose codec folds pixels into channels, and which paints grey."""

    fails_at: int = 0
    calls: int = 0
    reads_guess = True
    rows = True
    name = "folded"
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
            return guess * 0.2 + 0.1 * torch.tanh(x.mean(dim=2, keepdim=True))

        return denoise


@pytest.fixture
def prior(monkeypatch: pytest.MonkeyPatch) -> Folded:
    made = Folded()
    monkeypatch.setattr(matrix_open.ScenePrior, "load", lambda **_: made)
    return made


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("clip")

    def cut(index: int, height: int, width: int) -> np.ndarray:
        rng = np.random.default_rng(0 if index < 9 else 1)
        low, high = (120, 256) if index < 9 else (0, 70)
        image = np.kron(rng.integers(low, high, (height // 8, width // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        image[12:32, 8 + 2 * index : 24 + 2 * index] = (240, 220, 40)
        return image

    made = make_clip(folder / "clip.mkv", frames=FRAMES, size=(HEIGHT, WIDTH), codec="ffv1", pix_fmt="bgr0", image=cut)
    depth = np.zeros((FRAMES, HEIGHT, WIDTH), np.float32)
    for t in range(FRAMES):
        depth[t, 12:32, 8 + 2 * t : 24 + 2 * t] = 1
    np.save(folder / "depth.npy", depth)
    return made


def config(clip: Path, **look: object) -> StereoConfig:
    return StereoConfig(
        look=Look(**{"divergence": 12.0, "convergence": "0", "engine": "generative", "format": "eyes", **look}),
        depth=DepthChoice(str(clip.with_name("depth.npy")), people=False),
        encoding=Encoding("ffv1"),
        generative=Generative("draft", window=6, overlap=2),
    )


def made(clip: Path, target: Path, wanted: StereoConfig, **run: object) -> list[np.ndarray]:
    return [open_video(file).stack() for file in stereo(clip, target, wanted, run=StereoRun(**run)).files]


@pytest.mark.parametrize("eye", ["left", "right", "center"])
@pytest.mark.parametrize("outpaint", ["on", "off"])
def test_the_reference_eye_and_all_that_is_known_are_the_clips_own(
    clip: Path, tmp_path: Path, prior: Folded, eye: str, outpaint: str
) -> None:
    wanted = config(clip, source_eye=eye)
    wanted = replace(wanted, generative=replace(wanted.generative, outpaint=outpaint))
    eyes = made(clip, tmp_path / "made.mkv", wanted)
    plain = replace(wanted, look=replace(wanted.look, engine="fast"), generative=Generative())
    fast = made(clip, tmp_path / "fast.mkv", plain)
    source = open_video(clip).stack()
    assert prior.calls
    for number, name in enumerate(("left", "right")):
        if eye == name:
            assert np.array_equal(eyes[number], source)
        else:
            changed = (eyes[number] != fast[number]).any(axis=-1)
            assert 0.005 < changed.mean() < 0.3  # holes alone: both eyes stand where the fast engine has them
            assert not np.array_equal(eyes[number], source)


def test_windows_never_cross_a_cut(clip: Path, tmp_path: Path, prior: Folded) -> None:
    whole = made(clip, tmp_path / "whole.mkv", config(clip))
    part = replace(config(clip), clip=replace(config(clip).clip, end=str(9 / 24 - 0.001)))
    np.testing.assert_array_equal(whole[1][:9], made(clip, tmp_path / "part.mkv", part)[1])


def test_a_killed_run_goes_on_at_the_last_window(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prior: Folded
) -> None:
    whole = made(clip, tmp_path / "whole.mkv", config(clip))
    all_calls, target = prior.calls, tmp_path / "stopped.mkv"
    stops = Folded(fails_at=all_calls - 1)
    monkeypatch.setattr(matrix_open.ScenePrior, "load", lambda **_: stops)
    with pytest.raises(InterruptedRunError):
        made(clip, target, config(clip))
    later = Folded()
    monkeypatch.setattr(matrix_open.ScenePrior, "load", lambda **_: later)
    again = made(clip, target, config(clip), resume=True)
    assert later.calls == 2  # the window that was stopped, and the one after it
    assert all_calls == 3
    for one, other in zip(whole, again, strict=True):
        assert np.array_equal(one, other)


def test_what_needs_no_paint_asks_for_none(clip: Path, tmp_path: Path, prior: Folded) -> None:
    source = open_video(clip).stack()
    for eyes in made(clip, tmp_path / "flat.mkv", config(clip, divergence=0.0)):
        assert np.array_equal(eyes, source)
    assert not prior.calls


@pytest.mark.parametrize("depth", [np.zeros, np.ones])
def test_depth_of_one_value_is_flat(
    clip: Path, tmp_path: Path, prior: Folded, depth: Callable[..., np.ndarray]
) -> None:
    np.save(tmp_path / "depth.npy", depth((FRAMES, HEIGHT, WIDTH), np.float32))
    wanted = replace(config(clip), depth=DepthChoice(str(tmp_path / "depth.npy"), people=False))
    left, right = made(clip, tmp_path / "flat.mkv", wanted)
    assert left.shape == right.shape == (FRAMES, HEIGHT, WIDTH, 3)


def test_single_frames_and_many_views(clip: Path, tmp_path: Path, prior: Folded) -> None:
    one = replace(config(clip), clip=replace(config(clip).clip, end="0.03"))
    assert len(made(clip, tmp_path / "one.mkv", one)[0]) == 1
    views = made(clip, tmp_path / "views.mkv", config(clip, views=5, source_eye="left"))
    assert len(views) == 5
    assert np.array_equal(views[0], open_video(clip).stack())
    assert not np.array_equal(views[3], views[4])


@pytest.mark.parametrize(("views", "quality"), [(3, "balanced"), (4, "draft"), (4, "balanced"), (3, "draft")])
def test_any_number_of_views_stands_where_the_fast_engine_has_them(
    clip: Path, tmp_path: Path, prior: Folded, views: int, quality: str
) -> None:
    wanted = config(clip, views=views)
    wanted = replace(wanted, generative=replace(wanted.generative, quality=quality))
    plain = replace(wanted, look=replace(wanted.look, engine="fast"), generative=Generative())
    eyes, fast = made(clip, tmp_path / "made.mkv", wanted), made(clip, tmp_path / "fast.mkv", plain)
    assert len(eyes) == len(fast) == views
    for one, other in zip(eyes, fast, strict=True):
        assert (one != other).any(axis=-1).mean() < 0.2


def test_options_of_the_other_engine_are_not_ignored() -> None:
    with pytest.raises(UsageError, match="generative"):
        StereoConfig(generative=Generative(prior="somewhere"))


def test_a_view_of_nothing_but_holes_is_painted(clip: Path, tmp_path: Path, prior: Folded) -> None:
    np.save(tmp_path / "depth.npy", np.ones((FRAMES, HEIGHT, WIDTH), np.float32))
    wanted = config(clip, divergence=100.0, source_eye="left")
    wanted = replace(wanted, depth=DepthChoice(str(tmp_path / "depth.npy"), near=1.0, far=0.0, people=False))
    _, right = made(clip, tmp_path / "far.mkv", wanted)
    assert right.shape == (FRAMES, HEIGHT, WIDTH, 3)


def test_a_prior_that_gives_no_numbers_ends_the_run_without_a_film(
    clip: Path, tmp_path: Path, prior: Folded, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = lambda guess, unknown: lambda x, level: x * float("nan")  # noqa: E731
    monkeypatch.setattr(prior, "denoiser", nothing)
    with pytest.raises(ModelError, match="not finite"):
        made(clip, tmp_path / "bad.mkv", config(clip))
    assert not list(tmp_path.glob("bad*"))


def test_prompts_and_formats_that_do_not_fit_are_told(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="prompt"):
        stereo(clip, tmp_path / "a.mkv", replace(config(clip), generative=Generative(prompt="a street")))
    with pytest.raises(ModelError):
        stereo(clip, tmp_path / "a.mkv", replace(config(clip), generative=Generative(prior=str(tmp_path))))
    with pytest.raises(UsageError, match="rgbd"):
        config(clip, format="rgbd")


def test_the_recipe_gives_the_same_film_again_and_names_no_folder(clip: Path, tmp_path: Path, prior: Folded) -> None:
    first = made(clip, tmp_path / "made.mkv", config(clip, format="sbs"))
    files = {"clip.mkv": clip, "depth.npy": clip.with_name("depth.npy")}
    done = reproduce(tmp_path / "made.mkv", tmp_path / "again.mkv", given=files, progress=Silent())
    assert np.array_equal(open_video(done.files[0]).stack(), first[0])


def test_windows_on_disk_come_back_and_damage_is_no_window(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paint, beyond = (rng.integers(0, 256, shape).astype(np.uint8) for shape in ((2, 3, 8, 8, 3), (3, 8, 16, 3)))
    store = WindowStore(tmp_path, behind=30)
    for number in range(6):
        store.save(12 * number, Painted(paint, beyond if number % 2 else None))
    store.save(20, Painted(paint))  # painted again: it stays, and so do later ones
    assert store.load(12, paint.shape) is None
    assert store.load(20, paint.shape) is not None
    assert store.load(60, (2, 3, 8, 9, 3)) is None
    found = store.load(60, paint.shape)
    assert found is not None
    assert np.array_equal(found.paint, paint)
    assert np.array_equal(found.beyond, beyond)
    path = next(tmp_path.glob("*060*"))
    path.write_bytes(path.read_bytes()[:100])
    assert store.load(60, paint.shape) is None
    assert store.load(61, paint.shape) is None
