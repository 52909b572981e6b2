"""One window at another size than it is painted at: what is shown is the film's own, what is borrowed stays true."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from diorama.core.video import Frame
from diorama.diffusion.denoise import Denoiser
from diorama.diffusion.levels import Level, schedule
from diorama.diffusion.prior import Rung, trained_ladder
from diorama.perception.base import Tracked
from diorama.pipelines.frames import Seen
from diorama.pipelines.matrix_config import EMBEDDED
from diorama.pipelines.matrix_fill import Painter
from diorama.pipelines.matrix_store import Painted
from diorama.pipelines.matrix_views import warp_frame
from diorama.pipelines.matrix_window import Framed, Window, row_of
from diorama.pipelines.presets import Look

T, H, W, NEAR = 14, 128, 192, 16
TRAINED = schedule()
LOOK = Look(divergence=8.0, source_eye="left", engine="generative")


@dataclass
class Grey:
    """A prior that paints grey."""

    reads_guess = True
    rows = True
    name = "grey"
    size = (H // 2, W // 2)
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
            return torch.zeros_like(guess)

        return denoise


def film(kind: type) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Somebody who walks past a wall: frames, disparity, and the wall."""
    rng = np.random.default_rng(0)
    top = np.iinfo(kind).max
    wall = np.kron(rng.integers(top // 5, top // 2, (H // 8, W // 8, 3)), np.ones((8, 8, 1))).astype(kind)
    frames, near = np.repeat(wall[None], T, 0), np.zeros((T, H, W), np.float32)
    for t in range(T):
        place = slice(30, 110), slice(20 + 9 * t, 56 + 9 * t)
        frames[t][place], near[t][place] = (top, top // 10, top // 10), NEAR
    return frames, near, wall


def window(frames: np.ndarray, near: np.ndarray, **settings: bool) -> Window:
    held = []
    for t, (image, disparity) in enumerate(zip(frames, near, strict=True)):
        tracked = Tracked(Frame(image, t, 1, t), 0, t == 0, np.zeros((4, 4, 3), np.uint8), None)
        held.append(Framed(Seen(t, tracked, 0, disparity / NEAR, 0.0), disparity / NEAR, disparity))
    return Window(held, Painter(Grey(), replace(EMBEDDED["draft"], **settings)), LOOK, width=0, outpaints=False)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("steadies", [True, False])
def test_at_twice_the_painted_size(kind: type, steadies: bool) -> None:
    frames, near, wall = film(kind)
    made = window(frames, near, steadies=steadies)
    assert made.size == (W // 2, H // 2)
    shown, rest = 0.0, []
    for t, viewed in zip(range(T), made.viewed(made.painted(None), range(T)), strict=True):
        given = (frames, t, near, near / NEAR, (1.0, 0.0))
        picture, known, own = warp_frame(*given, warp="subpixel", motions=made.motions)
        assert np.array_equal(viewed.eyes.views[0], frames[t])
        right = viewed.eyes.views[1]
        assert np.array_equal(right[own], picture[own])
        assert (viewed.eyes.known[1] >= own).all()
        if not steadies:
            assert np.array_equal(viewed.eyes.known[1], known)
        shown += own.mean() / T
        borrowed = known & ~own
        rest.append(np.abs(right[borrowed].astype(float) - wall[borrowed]) / np.iinfo(kind).max)
    assert 0.8 < shown < 1
    errors = np.concatenate(rest)
    assert len(errors) > 200
    assert np.median(errors) < 0.03  # grey paint is not put over what other frames show


def test_what_is_borrowed_at_full_size_alone_is_not_corrected() -> None:
    """A small guess that was not borrowed tells nothing about a large one that was."""
    frames, near, wall = film(np.uint8)
    made = window(frames, near)
    made.__dict__["views"] = replace(made.views, known=made.views.shown.copy())  # nothing is borrowed small
    off = made.views.pictures.astype(int) + 90
    paint = np.where(made.views.shown[..., None], made.views.pictures, np.clip(off, 0, 255)).astype(np.uint8)
    errors = []
    for t, viewed in zip(range(T), made.viewed(Painted(paint), range(T)), strict=True):
        _, known, own = warp_frame(frames, t, near, near / NEAR, (1.0, 0.0), motions=made.motions)
        borrowed = known & ~own
        errors.append(np.abs(viewed.eyes.views[1][borrowed].astype(float) - wall[borrowed]).mean(axis=-1))
    assert np.median(np.concatenate(errors)) < 8


def test_cameras_of_a_film_are_those_of_its_window() -> None:
    settings = EMBEDDED["balanced"]
    assert row_of(LOOK, settings)[:, 0].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert len(row_of(replace(LOOK, source_eye="center", views=6), settings)) == 7
