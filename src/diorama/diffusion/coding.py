"""Whole videos through a codec: streamed, in batches, padded, and in tiles where memory is short.

Frames are "t 3 h w" in [0, 1], latents "c t h w" (written "c t y x" here, their sides being others). Streams are taken
apart into the same batches however they arrive, so a stream gives the very numbers of the whole video. One frame at a
time (`batch` 1, "slicing") equals larger batches but for rounding; tiles do not equal the whole: `seam_error` measures
by how much.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch.nn import functional

from diorama.diffusion.codec import Codec
from diorama.diffusion.room import no_memory
from diorama.errors import OutOfMemoryError, UsageError

Video: TypeAlias = Float[torch.Tensor, "t 3 h w"]
Latents: TypeAlias = Float[torch.Tensor, "c t y x"]
Clip: TypeAlias = Float[torch.Tensor, "_ 3 h w"]
ClipLatents: TypeAlias = Float[torch.Tensor, "c _ y x"]
Pictures: TypeAlias = Float[torch.Tensor, "b _ _ _"]
Pass: TypeAlias = Callable[[Pictures], Pictures]

_LOG = logging.getLogger(__name__)
SMALLEST_TILE = 256


@dataclass(frozen=True)
class Coding:
    """How much is worked on at a time.

    Attributes:
        batch: frames; 1 is what `diffusers` calls slicing.
        tile: pixels a side of a tile; 0: pictures are taken whole.
        overlap: pixels that neighbouring tiles share, over which they are blended.
    """

    batch: int = 4
    tile: int = 0
    overlap: int = 64

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise UsageError(f"batches of {self.batch} frames", "Coding", "give 1 or more")
        if self.tile < 0 or self.overlap < 0 or (self.tile and self.overlap * 2 > self.tile):
            given = f"tiles of {self.tile} pixels that share {self.overlap}"
            raise UsageError(given, "Coding", "give an overlap of at most half a tile")


def encode_video(codec: Codec, frames: Video, coding: Coding = Coding()) -> Latents:
    """Latents of a video; sides that are no multiples of the factor are padded by their edge.

    Raises:
        UsageError: what is no video; see `Codec.encode`.
        OutOfMemoryError: a tile of one frame does not fit.
    """
    return torch.cat(list(encode_stream(codec, [frames], coding)), dim=1)


def decode_video(
    codec: Codec, latents: Latents, coding: Coding = Coding(), *, size: tuple[int, int] | None = None
) -> Video:
    """Frames of latents.

    Args:
        size: height and width of what was encoded, to take the padding off; by default everything is kept.

    Raises:
        UsageError: what are no latents of the codec, or a size they do not cover.
        OutOfMemoryError: a tile of one frame does not fit.
    """
    return torch.cat(list(decode_stream(codec, [latents], coding, size=size)))


def encode_stream(codec: Codec, chunks: Iterable[Clip], coding: Coding = Coding()) -> Iterator[ClipLatents]:
    """As `encode_video`, for parts of a video as they come; yields batches. Holds one batch and one part at a time."""
    room = _Room(codec, coding)
    for batch in _batches(chunks, coding.batch, axis=0):
        yield room.run(padded(batch, codec.factor), codec.encode, pixels=1).transpose(0, 1)


def decode_stream(
    codec: Codec, chunks: Iterable[ClipLatents], coding: Coding = Coding(), *, size: tuple[int, int] | None = None
) -> Iterator[Clip]:
    """As `decode_video`, for parts of a video as they come; yields batches."""
    room = _Room(codec, coding)
    for batch in _batches(chunks, coding.batch, axis=1):
        height, width = (side * codec.factor for side in batch.shape[2:]) if size is None else size
        if not (_covers(batch.shape[2], height, codec.factor) and _covers(batch.shape[3], width, codec.factor)):
            given = f"latents of {batch.shape[2]}x{batch.shape[3]} for frames of {height}x{width}"
            raise UsageError(given, "size", "give the height and width that were encoded")
        frames = room.run(batch.transpose(0, 1), codec.decode, pixels=codec.factor)
        yield frames[..., :height, :width]


def padded(frames: Video, factor: int) -> Float[torch.Tensor, "t 3 _ _"]:
    """Frames continued to the right and downwards by their last pixels, to sides that are multiples of `factor`."""
    down, right = -frames.shape[2] % factor, -frames.shape[3] % factor
    return functional.pad(frames, (0, right, 0, down), mode="replicate") if down or right else frames


@dataclass(frozen=True)
class Seams:
    """How tiled frames differ from whole ones.

    Attributes:
        largest: difference, of [0, 1].
        psnr: in dB; infinite where they are equal.
    """

    largest: float
    psnr: float


def seam_error(codec: Codec, latents: Latents, coding: Coding) -> Seams:
    """What tiling costs on these latents."""
    whole, tiled = decode_video(codec, latents, replace(coding, tile=0)), decode_video(codec, latents, coding)
    error = (whole - tiled).double()
    mse = float(error.square().mean())
    return Seams(float(error.abs().max()), float("inf") if mse == 0 else -10 * torch.tensor(mse).log10().item())


def _batches(chunks: Iterable[torch.Tensor], size: int, *, axis: int) -> Iterator[torch.Tensor]:
    """Parts of a video regrouped into batches of `size` frames, the last one smaller."""
    held: list[torch.Tensor] = []
    count = 0
    for chunk in chunks:
        if chunk.ndim != 4 or not chunk.is_floating_point():
            shape = " x ".join(str(side) for side in chunk.shape)
            form = "t 3 h w" if axis == 0 else "c t h w"
            raise UsageError(f"{shape or 'a scalar'} of {chunk.dtype}", "video", f"give floats, {form!r}")
        for part in chunk.split(size, dim=axis):
            held, count = [*held, part], count + part.shape[axis]
            while count >= size:
                whole = torch.cat(held, dim=axis)
                yield whole.narrow(axis, 0, size)
                held, count = [whole.narrow(axis, size, count - size)], count - size
    if count:
        yield torch.cat(held, dim=axis)
    elif not held:
        raise UsageError("a video without frames", "video", "give at least one")


def _covers(positions: int, side: int, factor: int) -> bool:
    return (positions - 1) * factor < side <= positions * factor


class _Room:
    """Runs a codec in what memory there is: smaller batches when it runs out, then tiles; remembered from then on."""

    def __init__(self, codec: Codec, coding: Coding) -> None:
        self.codec, self.coding = codec, coding

    def run(self, batch: Pictures, work: Pass, *, pixels: int) -> Pictures:
        """All of a batch through `work`; `pixels` is what a position of the batch stands for."""
        while True:
            try:
                with torch.no_grad():
                    return torch.cat([self._one(part, work, pixels) for part in batch.split(self.coding.batch)])
            except (RuntimeError, MemoryError) as error:
                if not no_memory(error):
                    raise
            self._smaller()

    def _one(self, part: Pictures, work: Pass, pixels: int) -> Pictures:
        if not self.coding.tile:
            return work(part)
        tile, overlap = self.coding.tile // pixels, self.coding.overlap // pixels
        return _tiled(part, work, tile=tile, overlap=overlap, unit=self.codec.factor // pixels)

    def _smaller(self) -> None:
        coding = self.coding
        if coding.batch > 1:
            self.coding = replace(coding, batch=coding.batch // 2)
            _LOG.warning("out of memory: the codec goes on with %d frames at a time", self.coding.batch)
        elif not coding.tile or coding.tile > SMALLEST_TILE:
            tile = max(SMALLEST_TILE, coding.tile // 2) if coding.tile else 2 * SMALLEST_TILE
            self.coding = replace(coding, tile=tile, overlap=min(max(coding.overlap, 32), tile // 2))
            _LOG.warning("out of memory: the codec goes on in tiles of %d pixels, which may show seams", tile)
        else:
            what = f"not enough memory for a tile of {coding.tile} pixels"
            raise OutOfMemoryError(what, "codec", "free memory, or use another device")


def _tiled(pictures: Pictures, work: Pass, *, tile: int, overlap: int, unit: int) -> Pictures:
    """`work` on tiles, blended linearly where they overlap.

    Args:
        pictures: what `work` takes.
        tile, overlap: in positions of `pictures`; rounded to whole latent positions.
        unit: positions of `pictures` for one latent position.
    """
    tile, overlap = max(tile // unit, 1) * unit, overlap // unit * unit
    rows, columns = (_starts(side, tile, tile - overlap) for side in pictures.shape[2:])
    total: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    for top in rows:
        for left in columns:
            piece = work(pictures[..., top : top + tile, left : left + tile])
            if total is None or weights is None:
                scale = piece.shape[3] / min(tile, pictures.shape[3])
                height, width = (round(side * scale) for side in pictures.shape[2:])
                total = piece.new_zeros(*piece.shape[:2], height, width)
                weights = piece.new_zeros(height, width)
            y, x = round(top * scale), round(left * scale)
            ramp = _ramp(piece, y, x, reach=round(overlap * scale), whole=(height, width))
            place = (..., slice(y, y + piece.shape[2]), slice(x, x + piece.shape[3]))
            total[place] += piece * ramp
            weights[place] += ramp
    assert total is not None
    assert weights is not None
    return total / weights


def _starts(side: int, tile: int, stride: int) -> list[int]:
    """Where tiles begin: the last one ends with the picture."""
    if side <= tile:
        return [0]
    return [*range(0, side - tile, stride), side - tile]


def _ramp(piece: Pictures, top: int, left: int, *, reach: int, whole: tuple[int, int]) -> Float[torch.Tensor, "h w"]:
    """Weights of a tile: 1, falling towards its borders, but not where the picture ends there."""
    sides = []
    for length, start, end in ((piece.shape[2], top, whole[0]), (piece.shape[3], left, whole[1])):
        steps = torch.arange(length, device=piece.device, dtype=piece.dtype) + 1
        rising = steps / (reach + 1) if start else torch.full_like(steps, torch.inf)
        falling = steps.flip(0) / (reach + 1) if start + length < end else torch.full_like(steps, torch.inf)
        sides.append(torch.minimum(rising, falling).clamp(max=1))
    return sides[0][:, None] * sides[1][None]
