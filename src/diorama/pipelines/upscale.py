"""Clips at two or four times their size, for one eye or both, in step with each other and over time.

As S2VG does it (arXiv 2508.08048): a frame of the left eye is upscaled after the upscaled frame before; one of the
right eye after its own frame before and the upscaled left. Neighbours are warped by flow and disparity, with masks.
Where the right eye shows just what the left does, it gets the left's upscaled pixels. Frames stream; one is remembered.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8, UInt16

from diorama.core.video import Pixels
from diorama.diffusion.upscaler import Neighbour, Upscaler, open_upscaler
from diorama.errors import UsageError
from diorama.perception.shrink import eight_bits
from diorama.pipelines.upscale_config import EMBEDDED
from diorama.pipelines.upscale_hub import open_hub
from diorama.pipelines.upscale_ways import SHARES, SeenFrom, Way, carry, way_before, way_beside

Factor = Literal[2, 4]
Picture = Float32[np.ndarray, "h w 3"]
Large = Float32[np.ndarray, "h2 w2 3"]
Given = UInt8[np.ndarray, "_ _ 3"] | UInt16[np.ndarray, "_ _ 3"]
"""A frame whose size is checked when it is taken."""
Levels = list[Float32[np.ndarray, "_ _ 3"]]
MOST_PIXELS = 2**27
"""Of a result: 134 million, above 8K and 16K square pictures."""


@dataclass(frozen=True, eq=False)
class StereoFrame:
    """Both eyes of a moment.

    Attributes:
        left, right: RGB of one size and kind.
        disparity: left minus right, pixels; what is not finite is unknown, None is found from the pictures.
        first: whether a shot begins here.
    """

    left: Given
    right: Given
    disparity: Float32[np.ndarray, "_ _"] | None = None
    first: bool = False


def open_by_name(
    name: str = EMBEDDED, note: Callable[[str], None] = lambda text: None, *, device: str = "auto"
) -> Upscaler:
    """The upscaler that an option names.

    Args:
        name: "embedded" (on the CPU, as embedded depth is), or a folder or hub name of Swin2SR.
        note: told of the licence, and of a download.
        device: where Swin2SR computes: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", "mps".

    Raises:
        ModelError: it is not found, or is no upscaler; or there is no such device.
    """
    return open_upscaler() if name == EMBEDDED else open_hub(name, note, device)


def upscale_stereo(
    frames: Iterable[StereoFrame],
    upscaler: Upscaler | None = None,
    *,
    factor: int = 2,
    seen_from: SeenFrom = "left",
) -> Iterator[tuple[Pixels, Pixels]]:
    """Both eyes of a clip upscaled, frame by frame.

    Args:
        frames: in order, of one size.
        upscaler: the embedded one by default.
        factor: 2 or 4.
        seen_from: whose pixels the disparities belong to: an eye's, or those of a view in the middle.

    Yields:
        Left and right, `factor` times the size, uint8 or uint16 as given.

    Raises:
        UsageError: another factor, frames or disparities of several sizes, no pixels, or more than `MOST_PIXELS`.
    """
    if seen_from not in SHARES:
        raise UsageError(f"disparity seen from {seen_from!r}", "upscale", f"give one of {', '.join(SHARES)}")
    chosen, passes = _passes(upscaler, factor)
    return _stereo(frames, chosen, passes, seen_from)


def upscale_mono(
    frames: Iterable[tuple[Pixels, bool]], upscaler: Upscaler | None = None, *, factor: int = 2
) -> Iterator[Pixels]:
    """One eye's frames upscaled; each comes with whether a shot begins there. Otherwise as `upscale_stereo`."""
    chosen, passes = _passes(upscaler, factor)
    return _mono(frames, chosen, passes)


def _passes(upscaler: Upscaler | None, factor: int) -> tuple[Upscaler, int]:
    """The upscaler, and how many times it is applied.

    Raises:
        UsageError: it cannot make pictures that much larger.
    """
    if factor not in (2, 4):
        raise UsageError(f"upscaling by {factor!r}", "--upscale", "give 2 or 4")
    chosen = upscaler or open_upscaler()
    for passes in (1, 2):
        if chosen.factor**passes == factor:
            return chosen, passes
    raise UsageError(f"upscaling by {factor} with a model of {chosen.factor}", "--upscaler", "choose another")


def _stereo(
    frames: Iterable[StereoFrame], upscaler: Upscaler, passes: int, seen_from: SeenFrom
) -> Iterator[tuple[Pixels, Pixels]]:
    left, right = _Eye(upscaler, passes), _Eye(upscaler, passes)
    for frame in frames:
        _check_alike(frame)
        large = left.next(frame.left, first=frame.first)
        small = eight_bits(frame.left), eight_bits(frame.right)
        way = way_beside(small[1], small[0], frame.disparity, seen_from)
        beside = right.next(frame.right, first=frame.first, beside=(left.levels, way))
        yield _as(large, frame.left.dtype), _as(beside, frame.right.dtype)


def _mono(frames: Iterable[tuple[Pixels, bool]], upscaler: Upscaler, passes: int) -> Iterator[Pixels]:
    eye = _Eye(upscaler, passes)
    for image, first in frames:
        yield _as(eye.next(image, first=first), image.dtype)


@dataclass(eq=False)
class _Eye:
    """One eye's frames, one after the other.

    Attributes:
        upscaler, passes: what makes them larger, and how many times it is applied.
        levels: the last frame after each pass, in [0, 1].
        last: the last frame itself.
    """

    upscaler: Upscaler
    passes: int
    levels: Levels = field(default_factory=list)
    last: UInt8[np.ndarray, "h w 3"] | None = None

    def next(self, image: Pixels, *, first: bool, beside: tuple[Levels, Way] | None = None) -> Large:
        """The next frame upscaled, in [0, 1].

        Args:
            image: the frame.
            first: whether it has nothing to do with those before.
            beside: the other eye after each pass, and the way there.
        """
        _check(image, self.upscaler.factor**self.passes, None if self.last is None else self.last.shape)
        small = eight_bits(image)
        way = None if first or self.last is None else way_before(small, self.last)
        made: Levels = []
        current = image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
        for level in range(self.passes):
            before = None if way is None else _Warped.of(self.levels[level], way, current.shape)
            other = None if beside is None else _Warped.of(beside[0][level], beside[1], current.shape)
            current = _step(self.upscaler, current, before, other)
            made.append(current)
        self.levels, self.last = made, small
        return current


@dataclass(frozen=True, eq=False)
class _Warped:
    """A neighbour at the pixels of a frame: its upscaled picture, and at the frame's size how far it counts."""

    image: Large
    mask: Float32[np.ndarray, "sh sw"]
    same: Float32[np.ndarray, "sh sw"]

    @classmethod
    def of(cls, image: Large, way: Way, shape: tuple[int, ...]) -> "_Warped":
        """Along a way, for a frame of a shape."""
        return cls(carry(image, way.flow), _resized(way.mask, shape), _resized(way.same, shape))

    @property
    def neighbour(self) -> Neighbour:
        """For the upscaler."""
        return Neighbour(_tensor(self.image), torch.from_numpy(self.mask)[None, None])


def _step(upscaler: Upscaler, image: Picture, before: _Warped | None, beside: _Warped | None) -> Large:
    """A frame upscaled after its neighbours, with the other eye's pixels where both show the same."""
    with torch.inference_mode():
        made = upscaler(
            _tensor(image), None if before is None else before.neighbour, None if beside is None else beside.neighbour
        )
    found = np.ascontiguousarray(made[0].permute(1, 2, 0).float().clamp(0, 1).cpu().numpy())
    if beside is not None:
        share = _resized(beside.same, found.shape)[..., None]
        found += share * (np.clip(beside.image, 0, 1) - found)
    return found


def _resized(plane: Float32[np.ndarray, "h w"], shape: tuple[int, ...]) -> Float32[np.ndarray, "h2 w2"]:
    if plane.shape == shape[:2]:
        return plane
    return np.asarray(cv2.resize(plane, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR))


def _tensor(image: Picture) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None]


def _as(made: Picture, kind: np.dtype[np.unsignedinteger]) -> Pixels:
    """In a kind of whole numbers, over its whole range."""
    return np.rint(made * np.float32(np.iinfo(kind).max)).astype(kind)


def _check_alike(frame: StereoFrame) -> None:
    left, right = frame.left, frame.right
    if left.shape != right.shape or left.dtype != right.dtype:
        said = " and ".join(f"{eye.shape[1]}x{eye.shape[0]} {eye.dtype}" for eye in (left, right))
        raise UsageError(f"eyes of {said}", "upscale", "give both the same size and kind")


def _check(image: Pixels, factor: int, last: tuple[int, ...] | None) -> None:
    height, width = image.shape[:2]
    if not height or not width:
        raise UsageError(f"a frame of {width}x{height}", "upscale", "it needs pixels")
    if height * width * factor**2 > MOST_PIXELS:
        size = f"{width * factor}x{height * factor}"
        raise UsageError(f"a result of {size}", "--upscale", f"at most {MOST_PIXELS} pixels")
    if last is not None and last != image.shape:
        was = f"{last[1]}x{last[0]}"
        raise UsageError(f"a frame of {width}x{height} after {was}", "upscale", "give frames of one size")
