"""A clip taken apart: ordered layers of colour, coverage and depth, and putting them together again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8, UInt16

from diorama.core._blend import blend_rows
from diorama.core.parallel import bands
from diorama.core.video import Frame, Pixels, Video
from diorama.errors import UsageError

Map = UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"]


@runtime_checkable
class MapSource(Protocol):
    """Where one-channel pictures come from."""

    def read(self, start: int, stop: int) -> Iterator[Map]:
        """Yield maps ``start`` to ``stop - 1`` in order."""
        ...


@dataclass(frozen=True, eq=False)
class ArrayMaps:
    """Maps in memory."""

    values: UInt8[np.ndarray, "t h w"] | UInt16[np.ndarray, "t h w"]

    def read(self, start: int, stop: int) -> Iterator[Map]:
        yield from self.values[start:stop]


@dataclass(frozen=True, eq=False)
class Maps:
    """One picture of one channel a frame, lazily produced: coverage, or codes of depth.

    Attributes:
        source: yields the maps.
        length: number of frames.
        height, width: pixels.
        start: index in `source` of the first map of this window.
    """

    source: MapSource = field(repr=False)
    length: int
    height: int
    width: int
    start: int = 0

    @classmethod
    def from_array(
        cls, values: UInt8[np.ndarray, "t h w"] | UInt16[np.ndarray, "t h w"] | Bool[np.ndarray, "t h w"]
    ) -> "Maps":
        """Maps in memory; a boolean mask becomes coverage 0 and 255."""
        codes = values * np.uint8(255) if values.dtype == np.bool_ else values
        return cls(ArrayMaps(codes), *codes.shape)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Map]:
        return self.source.read(self.start, self.start + self.length)

    def __getitem__(self, window: slice) -> "Maps":
        start, stop, step = window.indices(self.length)
        if step != 1:
            raise UsageError(f"step {step} in a slice of maps", fix="slice with step 1")
        return replace(self, length=max(0, stop - start), start=self.start + start)


@dataclass(frozen=True, eq=False)
class LayerDepth:
    """How near each pixel is: 16-bit codes that step inverse depth evenly, so that they are kept exactly.

    Attributes:
        codes: "h w" uint16 maps, one a frame.
        scale, offset: inverse depth in 1/m is ``offset + scale * code``; larger is nearer.
    """

    codes: Maps
    scale: float = 1 / 65535
    offset: float = 0.0

    def __iter__(self) -> Iterator[Float32[np.ndarray, "h w"]]:
        """Inverse depth in 1/m, frame by frame."""
        for code in self.codes:
            yield np.float32(self.offset) + np.float32(self.scale) * code.astype(np.float32)

    def __getitem__(self, window: slice) -> "LayerDepth":
        return replace(self, codes=self.codes[window])


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a clip.

    Attributes:
        name: what it is, such as ``person``.
        color: its pixels, not multiplied by coverage.
        alpha: coverage, 0 to 255 (uint8) or 65535 (uint16); None: the alpha of `color` where it has one, else full.
        depth: None where unknown.
    """

    name: str
    color: Video
    alpha: Maps | None = None
    depth: LayerDepth | None = None

    def __getitem__(self, window: slice) -> "Layer":
        alpha = None if self.alpha is None else self.alpha[window]
        depth = None if self.depth is None else self.depth[window]
        return Layer(self.name, self.color[window], alpha, depth)

    def read(self) -> Iterator[tuple[Frame, Map | None]]:
        """Frames with their coverage in the integer range of the pixels; None: full."""
        if self.alpha is None:
            yield from ((frame, frame.alpha) for frame in self.color)
        else:
            for frame, alpha in zip(self.color, self.alpha, strict=True):
                yield frame, _in_range_of(alpha, frame.image)


@dataclass(frozen=True, eq=False)
class LayeredVideo:
    """Layers of one clip, ordered from far to near; clock and size are those of the first.

    Raises:
        UsageError: no layer, two of one name, or sizes, lengths or bit depths that differ.
    """

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise UsageError("no layers", "LayeredVideo", "give at least one")
        names = [layer.name for layer in self.layers]
        if len(set(names)) < len(names):
            raise UsageError(f"layers of one name: {', '.join(names)}", "LayeredVideo", "name each differently")
        for layer in self.layers:
            self._check(layer)

    def _check(self, layer: Layer) -> None:
        first = self.layers[0].color
        expected = (len(first), first.height, first.width)
        maps = [("alpha", layer.alpha), ("depth", None if layer.depth is None else layer.depth.codes)]
        for part, given in [("color", layer.color), *maps]:
            if given is not None and (len(given), given.height, given.width) != expected:
                found = f"{len(given)} frames of {given.width}x{given.height}"
                wanted = f"expected {expected[0]} of {expected[2]}x{expected[1]}"
                raise UsageError(f"{found}, {wanted}", f"layer {layer.name}, {part}")
        if (layer.color.bits > 8) != (first.bits > 8):
            raise UsageError(f"{layer.color.bits} bits beside {first.bits}", f"layer {layer.name}, color")

    def __len__(self) -> int:
        return len(self.layers[0].color)

    def __getitem__(self, window: slice) -> "LayeredVideo":
        return LayeredVideo(tuple(layer[window] for layer in self.layers))

    def layer(self, name: str) -> Layer:
        """The layer called `name`; raises `UsageError`, which lists the names."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise UsageError(f"no layer {name!r}", "LayeredVideo", f"layers: {', '.join(i.name for i in self.layers)}")

    @property
    def height(self) -> int:
        return self.layers[0].color.height

    @property
    def width(self) -> int:
        return self.layers[0].color.width

    @property
    def pts(self) -> Int64[np.ndarray, "t"]:
        return self.layers[0].color.pts

    @property
    def time_base(self) -> Fraction:
        return self.layers[0].color.time_base

    def composite(self) -> Video:
        """All layers over each other and over black, as a video that is computed while it is read."""
        first = self.layers[0].color
        return replace(first, source=CompositeSource(self), start=0, has_alpha=False)


@dataclass(frozen=True, eq=False)
class CompositeSource:
    """Frames of a `LayeredVideo`, composited one at a time."""

    layered: LayeredVideo

    def read(self, start: int, stop: int) -> Iterator[Frame]:
        streams = [layer.read() for layer in self.layered[start:stop].layers]
        for index, pieces in enumerate(zip(*streams, strict=True), start):
            clock = pieces[0][0]
            yield Frame(together(pieces), clock.pts, clock.duration, index)


def together(pieces: Sequence[tuple[Frame, Map | None]]) -> Pixels:
    """What layers of one frame show over each other, from far to near; one or more, as `Layer.read` gives them."""
    below: Pixels | None = None
    for frame, alpha in pieces:
        below = frame.image if alpha is None else over(frame.image, alpha, below)
    assert below is not None  # there is at least one layer
    return below


def over(color: Pixels, alpha: Map, below: Pixels | None) -> Pixels:
    """`color` over `below` by coverage `alpha`, each in the integer range of its type; None below is black.

    Rounded to nearest and exact at the ends: full coverage gives `color`, none gives `below`, bit for bit. All three
    are of one size and type, not premultiplied (Porter and Duff 1984, the operator "over", on opaque ground).
    """
    least, most = int(alpha.min(initial=0)), int(alpha.max(initial=0))
    if least == np.iinfo(alpha.dtype).max:
        return color
    ground = np.zeros_like(color) if below is None else below
    if most == 0:
        return ground
    out = np.empty_like(color)
    half, bits = np.uint32(1 << (8 * color.itemsize - 1)), np.uint32(8 * color.itemsize)
    bands(len(color), lambda a, b: blend_rows(color[a:b], alpha[a:b], ground[a:b], half, bits, out[a:b]))
    return out


def _in_range_of(alpha: Map, image: Pixels) -> Map:
    if alpha.dtype == image.dtype:
        return alpha
    if alpha.dtype == np.uint8:
        return alpha.astype(np.uint16) * np.uint16(257)
    raise UsageError("16-bit coverage over 8-bit colour", "layer", "give coverage as uint8")
