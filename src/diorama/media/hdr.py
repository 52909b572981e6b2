"""HDR10 static metadata: the light of the mastering display and of the content (SMPTE ST 2086, CTA-861.3)."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import av
from av.sidedata.sidedata import SideData, Type

_DISPLAY = struct.Struct("<20i2I")  # ten rationals (red, green, blue, white, least and most light), two flags
_LIGHT = struct.Struct("<2I")


@dataclass(frozen=True)
class HdrMetadata:
    """Static metadata of an HDR10 stream, in the integer units of its standards.

    Attributes:
        primaries: x and y of red, green, blue and white, in 1/50000.
        luminance: most and least light of the mastering display, in 1/10000 cd/m2.
        light_level: brightest pixel and brightest frame average of the content, in cd/m2; None where unknown.
    """

    primaries: tuple[int, int, int, int, int, int, int, int]
    luminance: tuple[int, int]
    light_level: tuple[int, int] | None = None

    def x265_params(self) -> str:
        """As options of libx265."""
        rx, ry, gx, gy, bx, by, wx, wy = self.primaries
        most, least = self.luminance
        text = f"master-display=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({most},{least}):hdr10=1"
        return text if self.light_level is None else f"{text}:max-cll={self.light_level[0]},{self.light_level[1]}"


def hdr_metadata(frame: av.VideoFrame) -> HdrMetadata | None:
    """What a decoded frame says; None where it says nothing, or nothing usable."""
    display = _bytes(frame, Type.MASTERING_DISPLAY_METADATA)
    if len(display) < _DISPLAY.size:
        return None
    *numbers, has_primaries, has_luminance = _DISPLAY.unpack_from(display)
    tops, bottoms = numbers[0::2], numbers[1::2]
    if not (has_primaries and has_luminance) or not all(b > 0 for b in bottoms) or not all(t >= 0 for t in tops):
        return None
    values = [t / b for t, b in zip(tops, bottoms, strict=True)]
    if max(values[:8]) > 1 or max(values[8:]) > 10_000:
        return None
    red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y = (round(v * 50_000) for v in values[:8])
    primaries = (red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y)
    light = _bytes(frame, Type.CONTENT_LIGHT_LEVEL)
    level: tuple[int, int] | None = None
    if len(light) >= _LIGHT.size and any(_LIGHT.unpack_from(light)):  # zeros stand for unknown
        level = _LIGHT.unpack_from(light)
    return HdrMetadata(primaries, (round(values[9] * 10_000), round(values[8] * 10_000)), level)


def _bytes(frame: av.VideoFrame, kind: Type) -> bytes:
    items = cast(Iterable[SideData], frame.side_data)  # typed as a mapping, iterates over its values
    return next((bytes(item) for item in items if item.type is kind), b"")
