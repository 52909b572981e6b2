"""How well clips in stereo are upscaled: right in each picture, the same for both eyes, and steady over time.

Held-out clips of the theatre are halved and upscaled again. Where a surface is in the other eye and in the frame before
is known; it is the errors of both places that are compared, since pictures alone agree best where both are grey.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch.nn import functional

from diorama.core.progress import Progress, Silent
from diorama.diffusion.upscaler import Neighbour, Upscaler, open_upscaler
from diorama.errors import UsageError
from diorama.perception.flow import places
from diorama.pipelines.upscale import StereoFrame, upscale_mono, upscale_stereo
from diorama.train.draws import seed_of
from diorama.train.recipes.upscale_clips import Takes, takes

FRAMES, SIZE = 6, 320
"""Of a clip, and pixels a side of its true pictures."""
Film = UInt8[np.ndarray, "t v h w 3"]


@dataclass(frozen=True, eq=False)
class Cubic:
    """Bicubic interpolation as an `Upscaler`."""

    factor: int = 2

    def __call__(
        self, frame: Float[torch.Tensor, "b 3 h w"], before: Neighbour | None, beside: Neighbour | None
    ) -> Float[torch.Tensor, "b 3 h2 w2"]:
        """Without regard to neighbours."""
        found = functional.interpolate(frame, scale_factor=float(self.factor), mode="bicubic", align_corners=False)
        return found.clamp(0, 1)


@dataclass(frozen=True)
class UpscaleRow:
    """One way of upscaling; dB, larger is better.

    Attributes:
        name: what it is.
        left, right: PSNR to the true pictures.
        eyes: PSNR of the right eye's error to the left one's brought to its pixels, where both see a surface.
        steady: PSNR of the left eye's error to that of its frame before, brought to its pixels.
        seconds: for both eyes of a frame.
    """

    name: str
    left: float
    right: float
    eyes: float
    steady: float
    seconds: float


def upscale_rows(
    count: int, progress: Progress | None = None, *, upscaler: Upscaler | None = None, frames: int = FRAMES
) -> list[UpscaleRow]:
    """Rows of four ways, means over clips.

    Args:
        count: clips.
        progress: told of each.
        upscaler: the embedded one by default; of factor 2.
        frames: of each clip.

    Raises:
        UsageError: no clip, or fewer than two frames.
    """
    if count < 1 or frames < 2:
        raise UsageError(f"{count} clips of {frames} frames", "bench upscale", "give at least 1 of 2")
    told, chosen = progress or Silent(), upscaler or open_upscaler()
    told.begin("upscale", count)
    found: dict[str, list[UpscaleRow]] = {}
    for number in range(count):
        for row in _rows(seed_of("upscale bench", number), frames, chosen):
            found.setdefault(row.name, []).append(row)
        told.advance()
    return [_mean(rows) for rows in found.values()]


def upscale_table(rows: Sequence[UpscaleRow]) -> str:
    """A Markdown table."""
    head = "| upscaled by | left, dB | right, dB | errors between eyes, dB | errors over time, dB | s a frame |"
    lines = [
        f"| {row.name} | {row.left:.2f} | {row.right:.2f} | {row.eyes:.2f} | {row.steady:.2f} | {row.seconds:.2f} |"
        for row in rows
    ]
    return "\n".join([head, "|---|---|---|---|---|---|", *lines])


def _rows(seed: int, frames: int, upscaler: Upscaler) -> Iterator[UpscaleRow]:
    """Of one clip."""
    clip = takes(seed, SIZE, *_plan(frames))
    true = clip.images.reshape(frames, 2, SIZE, SIZE, 3)
    low = np.stack([[_halved(eye) for eye in pair] for pair in true])
    # From the left eye's pixels to the right: to the left of them, so disparity is the way back.
    disparity = -clip.maps[:frames, ::2, ::2, 0] / 2
    for name, way in (("bicubic", Cubic()), ("each picture alone", upscaler)):
        yield _timed(name, _apart(low, way), true, clip)
    known = [np.ascontiguousarray(shift) for shift in disparity]
    given = [StereoFrame(low[t, 0], low[t, 1], known[t], t == 0) for t in range(frames)]
    sought = [StereoFrame(low[t, 0], low[t, 1], None, t == 0) for t in range(frames)]
    yield _timed("after neighbours, disparity known", upscale_stereo(given, upscaler), true, clip)
    yield _timed("after neighbours, disparity found", upscale_stereo(sought, upscaler), true, clip)


def _plan(frames: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Pictures left and right in turn; ways left to right, right to left, and left to the frame before."""
    pictures = [(eye, t) for t in range(frames) for eye in (0, 1)]
    across = [(2 * t, 2 * t + 1) for t in range(frames)]
    back = [(right, left) for left, right in across]
    return pictures, [*across, *back, *((2 * t, 2 * t - 2) for t in range(1, frames))]


def _apart(low: Film, upscaler: Upscaler) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every picture by itself."""
    eyes = [upscale_mono([(image, True) for image in low[:, eye]], upscaler) for eye in (0, 1)]
    yield from zip(*eyes, strict=True)


def _timed(name: str, made: Iterator[tuple[np.ndarray, np.ndarray]], true: Film, clip: Takes) -> UpscaleRow:
    began = time.perf_counter()
    film = np.stack([np.stack(pair) for pair in made])
    return _row(name, film, true, clip, (time.perf_counter() - began) / len(film))


def _row(name: str, made: Film, true: Film, clip: Takes, seconds: float) -> UpscaleRow:
    frames = len(made)
    across, before = clip.maps[frames : 2 * frames], clip.maps[2 * frames :]
    wrong = made.astype(np.float32) - true
    return UpscaleRow(
        name,
        _psnr(made[:, 0], true[:, 0]),
        _psnr(made[:, 1], true[:, 1]),
        float(np.nanmean([_along(pair[1], pair[0], way) for pair, way in zip(wrong, across, strict=True)])),
        float(np.nanmean([_along(wrong[t + 1, 0], wrong[t, 0], way) for t, way in enumerate(before)])),
        seconds,
    )


def _halved(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    height, width = image.shape[:2]
    return np.asarray(cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA))


def _along(
    here: Float32[np.ndarray, "h w 3"], there: Float32[np.ndarray, "h w 3"], way: Float32[np.ndarray, "h w 2"]
) -> float:
    """PSNR of numbers to others brought to their pixels, where the way is known; dB."""
    seen = np.isfinite(way).all(-1)
    x, y = places(np.nan_to_num(way).astype(np.float32))
    carried = cv2.remap(there, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _psnr(here[seen], carried[seen])


def _psnr(found: np.ndarray, true: np.ndarray) -> float:
    """dB; infinite where nothing differs, nan where nothing is seen."""
    if not found.size:
        return math.nan
    error = float(np.square(found.astype(np.float32) - true).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


def _mean(rows: Sequence[UpscaleRow]) -> UpscaleRow:
    names = ("left", "right", "eyes", "steady", "seconds")
    return UpscaleRow(rows[0].name, *(float(np.nanmean([getattr(row, name) for row in rows])) for name in names))
