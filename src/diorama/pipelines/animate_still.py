"""A still scene: one picture or colour in which somebody is put, as layers of any length."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.core.layers import Layer, LayeredVideo, Map, Maps
from diorama.core.video import ColorTags, Frame, Video
from diorama.errors import UsageError
from diorama.media.images import is_image
from diorama.media.read import open_picture
from diorama.perception.completion import completed
from diorama.perception.shrink import eight_bits

COLORS = {"white": "#ffffff", "grey": "#808080", "gray": "#808080", "black": "#000000", "green": "#00b140"}
"""Colours with names; green is that of studios."""
LEAST = 8
"""Pixels of a picture's shorter side; encoders refuse less."""
SEEN = 0.05
"""Coverage from which on a pixel may show a person's colours."""
RIM = 0.015
"""Part of the picture's longer side by which a person that is taken out is widened: soft edges, cloth."""
TIME_BASE = Fraction(1, 90_000)


@dataclass(frozen=True, eq=False)
class StillSource:
    """One picture at every frame of a constant rate."""

    image: UInt8[np.ndarray, "h w 3"]
    ticks: int

    def read(self, start: int, stop: int) -> Iterator[Frame]:
        """The frames from `start` to `stop`."""
        for index in range(start, stop):
            yield Frame(self.image, index * self.ticks, self.ticks, index)


@dataclass(frozen=True)
class NoMaps:
    """Nothing is covered, in any frame."""

    height: int
    width: int

    def read(self, start: int, stop: int) -> Iterator[Map]:
        """The maps from `start` to `stop`."""
        nothing = np.zeros((self.height, self.width), np.uint8)
        for _ in range(start, stop):
            yield nothing


def still_video(image: UInt8[np.ndarray, "h w 3"], count: int, fps: float | int) -> Video:
    """A clip of `count` frames that all show one picture."""
    ticks = max(1, round(float(1 / (Fraction(fps).limit_denominator(1001) * TIME_BASE))))
    pts = np.arange(count, dtype=np.int64) * ticks
    height, width = image.shape[:2]
    return Video(
        StillSource(image, ticks), pts, np.full_like(pts, ticks), TIME_BASE, height, width, 8, ColorTags(1, 1, 1)
    )


def with_place(layers: LayeredVideo, name: str) -> LayeredVideo:
    """The layers with an empty one before them all, for somebody who is to come."""
    first = layers.layers[0].color
    maps = Maps(NoMaps(first.height, first.width), len(first), first.height, first.width)
    return LayeredVideo((*layers.layers, Layer(name, first, maps)))


def is_color(given: str) -> bool:
    """Whether a text names a colour: white, grey, black, green, or #rrggbb."""
    return given.lower() in COLORS or (given.startswith("#") and not Path(given).exists())


def is_still(given: str | Path) -> bool:
    """Whether a scene is a colour or a picture file."""
    return is_color(str(given)) or (Path(given).is_file() and is_image(Path(given)))


def plain(given: str, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    """A picture of one colour.

    Raises:
        UsageError: no colour.
    """
    text = COLORS.get(given.lower(), given)
    try:
        red, green, blue = bytes.fromhex(text.removeprefix("#"))
    except ValueError as error:
        fix = f"give #rrggbb, or one of {', '.join(COLORS)}"
        raise UsageError(f"{given!r} is no colour", "--scene, --background", fix) from error
    return np.full((height, width, 3), (red, green, blue), np.uint8)


def picture(given: str | Path) -> UInt8[np.ndarray, "h w 3"]:
    """The picture of a file, 8 bits; transparent parts lie over white.

    Raises:
        UsageError: a clip, or too small a picture.
        MediaError, LimitError: the file is none, damaged or too large.
    """
    frame = open_picture(given, "give a picture")
    image = eight_bits(frame.image)
    if min(image.shape[:2]) < LEAST:
        raise UsageError(
            f"a picture of {image.shape[1]}x{image.shape[0]} pixels", given, f"give {LEAST} or more a side"
        )
    if frame.alpha is None:
        return image
    share = (frame.alpha / np.float32(np.iinfo(frame.alpha.dtype).max))[..., None]
    return np.rint(image * share + 255 * (1 - share)).astype(np.uint8)


def at_most(image: UInt8[np.ndarray, "h w 3"], side: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A picture whose longer side is reduced to `side` pixels where it is longer."""
    height, width = image.shape[:2]
    share = min(1.0, side / max(height, width))
    size = max(1, round(width * share)), max(1, round(height * share))
    return image if share == 1 else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def without(image: UInt8[np.ndarray, "h w 3"], person: Float32[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """A picture without somebody: what is behind is made up from the rest.

    Args:
        image: RGB.
        person: coverage, 0..1.
    """
    reach = 2 * max(1, round(RIM * max(person.shape))) + 1
    shape = np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)), np.uint8)
    hole: Bool[np.ndarray, "h w"] = cv2.dilate((person > SEEN).astype(np.uint8), shape) > 0
    if hole.all():
        return np.full_like(image, 255)
    return completed(image, hole)
