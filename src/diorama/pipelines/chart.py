"""The comfort chart: parallax over time, with the shots, the comfort zone and the window violations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from diorama.pipelines.comfort import FrameComfort, Viewing

Color = tuple[int, int, int]
_FINE = 2  # drawn this much larger, then reduced: Pillow draws without anti-aliasing
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 66, 64, 74
_MANY = 40  # with more shots than this their lines are faint and have no names
_STEPS = (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
_SECONDS = (0.1, 0.2, 0.5, *(float(s) for s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)))


@dataclass(frozen=True)
class Palette:
    """Colours of the chart's parts."""

    paper: Color = (255, 255, 255)
    ink: Color = (31, 35, 46)
    faint: Color = (118, 126, 143)
    grid: Color = (229, 232, 239)
    zone: Color = (238, 248, 241)
    zone_edge: Color = (120, 190, 145)
    outside: Color = (253, 243, 241)
    band: Color = (196, 210, 250)
    core: Color = (140, 165, 243)
    line: Color = (49, 82, 199)
    warn: Color = (230, 126, 34)


LIGHT = Palette()
DARK = Palette(
    paper=(24, 27, 34),
    ink=(232, 235, 242),
    faint=(142, 150, 168),
    grid=(46, 51, 63),
    zone=(26, 40, 36),
    zone_edge=(70, 140, 100),
    outside=(44, 30, 32),
    band=(47, 60, 110),
    core=(71, 94, 176),
    line=(158, 180, 255),
    warn=(240, 150, 60),
)


@dataclass(frozen=True)
class _Axes:
    """Where seconds and percent fall in the picture, in fine pixels."""

    width: int
    height: int
    seconds: tuple[float, float]
    percent: tuple[float, float]

    def x(self, seconds: float) -> float:
        first, last = self.seconds
        return (_LEFT + (seconds - first) / (last - first) * (self.width - _LEFT - _RIGHT)) * _FINE

    def y(self, percent: float) -> float:
        low, high = self.percent
        return (_TOP + (high - percent) / (high - low) * (self.height - _TOP - _BOTTOM)) * _FINE

    @property
    def box(self) -> tuple[float, float, float, float]:
        return self.x(self.seconds[0]), self.y(self.percent[1]), self.x(self.seconds[1]), self.y(self.percent[0])


def chart(
    records: Sequence[FrameComfort],
    viewing: Viewing = Viewing(),
    *,
    width: int = 1200,
    height: int = 520,
    palette: Palette = LIGHT,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw the records, in order of time; the comfort zone is one degree either side of the screen."""
    axes = _axes(records, viewing, width, height)
    image = Image.new("RGB", (width * _FINE, height * _FINE), palette.paper)
    pen = ImageDraw.Draw(image)
    _zone(pen, axes, viewing, palette)
    _grid(pen, axes, viewing, palette)
    shots = _shots(records, axes)
    for shot in shots:
        _bands(pen, axes, shot, palette)
    _cuts(pen, axes, shots, palette)
    _violations(pen, axes, records, palette)
    _labels(pen, axes, palette)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def _axes(records: Sequence[FrameComfort], viewing: Viewing, width: int, height: int) -> _Axes:
    reach = viewing.percent(1.0) * 1.25
    low = min([-reach, *(record.percentiles[0] * 1.12 for record in records)])
    high = max([reach, *(record.percentiles[4] * 1.12 for record in records)])
    first = records[0].seconds if records else 0.0
    last = records[-1].seconds if records else 1.0
    return _Axes(width, height, (first, last if last > first else first + 1.0), (low, high))


def _shots(records: Sequence[FrameComfort], axes: _Axes) -> list[list[FrameComfort]]:
    """The records by shot, thinned to the extremes of every column of pixels."""
    columns = axes.width - _LEFT - _RIGHT
    span = axes.seconds[1] - axes.seconds[0]
    shots: dict[int, dict[int, list[FrameComfort]]] = {}
    for record in records:
        column = int((record.seconds - axes.seconds[0]) / span * columns)
        shots.setdefault(record.shot, {}).setdefault(column, []).append(record)
    return [[_merged(group) for group in columns_of.values()] for columns_of in shots.values()]


def _merged(group: Sequence[FrameComfort]) -> FrameComfort:
    if len(group) == 1:
        return group[0]
    table = np.array([record.percentiles for record in group])
    low, high = table.min(axis=0), table.max(axis=0)
    values = (float(low[0]), float(low[1]), float(np.median(table[:, 2])), float(high[3]), float(high[4]))
    first = group[0]
    return FrameComfort(first.index, first.seconds, first.shot, values, 0.0, first.convergence)


def _zone(pen: ImageDraw.ImageDraw, axes: _Axes, viewing: Viewing, palette: Palette) -> None:
    left, top, right, bottom = axes.box
    pen.rectangle((left, top, right, bottom), fill=palette.outside)
    upper, lower = axes.y(viewing.percent(1.0)), axes.y(-viewing.percent(1.0))
    pen.rectangle((left, upper, right, lower), fill=palette.zone)
    for edge in (upper, lower):
        _dashed(pen, (left, edge, right, edge), palette.zone_edge)
    font = _font(12)
    pen.text((right - 8 * _FINE, upper - 4 * _FINE), "comfort zone (1°)", palette.zone_edge, font, anchor="rd")


def _grid(pen: ImageDraw.ImageDraw, axes: _Axes, viewing: Viewing, palette: Palette) -> None:
    left, _, right, bottom = axes.box
    font = _font(13)
    for value in _ticks(axes.percent, _STEPS, 8):
        y = axes.y(value)
        pen.line((left, y, right, y), palette.grid, _FINE)
        pen.text((left - 8 * _FINE, y), _signed(value, " %"), palette.faint, font, anchor="rm")
    degrees = (viewing.degrees(axes.percent[0]), viewing.degrees(axes.percent[1]))
    for value in _ticks(degrees, _STEPS, 6):
        y = axes.y(viewing.percent(value))
        pen.text((right + 8 * _FINE, y), _signed(value, "°"), palette.faint, font, anchor="lm")
    for value in _ticks(axes.seconds, _SECONDS, 10):
        x = axes.x(value)
        pen.line((x, bottom, x, bottom + 5 * _FINE), palette.faint, _FINE)
        pen.text((x, bottom + 9 * _FINE), _clock(value, axes.seconds), palette.faint, font, anchor="ma")


def _bands(pen: ImageDraw.ImageDraw, axes: _Axes, shot: Sequence[FrameComfort], palette: Palette) -> None:
    xs = [axes.x(record.seconds) for record in shot]
    if len(xs) == 1:  # one frame still shows
        xs, shot = [xs[0] - 2 * _FINE, xs[0] + 2 * _FINE], [shot[0], shot[0]]
    for low, high, color in ((0, 4, palette.band), (1, 3, palette.core)):
        upper = [(x, axes.y(r.percentiles[high])) for x, r in zip(xs, shot, strict=True)]
        lower = [(x, axes.y(r.percentiles[low])) for x, r in zip(xs, shot, strict=True)]
        pen.polygon([*upper, *reversed(lower)], fill=color)
    middle = [(x, axes.y(r.percentiles[2])) for x, r in zip(xs, shot, strict=True)]
    pen.line(middle, palette.line, 2 * _FINE, joint="curve")


def _cuts(pen: ImageDraw.ImageDraw, axes: _Axes, shots: Sequence[Sequence[FrameComfort]], palette: Palette) -> None:
    left, top, right, bottom = axes.box
    y = axes.y(0.0)
    pen.line((left, y, right, y), palette.ink, _FINE)
    pen.text((left + 8 * _FINE, y - 4 * _FINE), "screen", palette.ink, _font(12), anchor="ld")
    edges = [axes.x(shot[0].seconds) for shot in shots]
    for x in edges[1:]:
        _dashed(pen, (x, top, x, bottom), palette.faint if len(edges) < _MANY else palette.grid)
    for shot, x, after in zip(shots, edges, [*edges, right][1:], strict=True):
        text = f"shot {shot[0].shot + 1}"
        if 1 < len(shots) < _MANY and pen.textlength(text, _font(12)) + 8 * _FINE < after - x:
            pen.text((x + 4 * _FINE, top + 4 * _FINE), text, palette.faint, _font(12), anchor="la")


def _violations(pen: ImageDraw.ImageDraw, axes: _Axes, records: Sequence[FrameComfort], palette: Palette) -> None:
    """A strip under the time axis, the more coloured the more of the border is in front of the screen."""
    left, _, right, bottom = axes.box
    top = bottom + 34 * _FINE
    pen.rectangle((left, top, right, top + 10 * _FINE), fill=palette.grid)
    columns = axes.width - _LEFT - _RIGHT
    worst = np.zeros(columns)
    span = axes.seconds[1] - axes.seconds[0]
    for record in records:
        column = min(columns - 1, int((record.seconds - axes.seconds[0]) / span * columns))
        worst[column] = max(worst[column], record.window_violation)
    wide = max(1, columns // max(1, len(records))) + 1
    for column in np.flatnonzero(worst > 0).tolist():
        x = left + column * _FINE
        color = _mix(palette.grid, palette.warn, float(worst[column]) ** 0.5)
        pen.rectangle((x, top, min(right, x + wide * _FINE), top + 10 * _FINE), fill=color)
    pen.text((left, top + 14 * _FINE), "window violations: the picture's edge cuts off what is in front of the screen",
             palette.faint, _font(12), anchor="la")  # fmt: skip


def _labels(pen: ImageDraw.ImageDraw, axes: _Axes, palette: Palette) -> None:
    left, _, right, _ = axes.box
    pen.text((left, 14 * _FINE), "Screen parallax over time", palette.ink, _font(19), anchor="la")
    pen.text((left, 40 * _FINE), "percent of picture width; above 0 in front of the screen, below 0 behind it",
             palette.faint, _font(13), anchor="la")  # fmt: skip
    x = right
    font = _font(13)
    for text, color in (("98 % of pixels", palette.band), ("90 %", palette.core), ("median", palette.line)):
        x -= pen.textlength(text, font)
        pen.text((x, 26 * _FINE), text, palette.faint, font, anchor="lm")
        x -= 20 * _FINE
        pen.rounded_rectangle((x, 20 * _FINE, x + 14 * _FINE, 32 * _FINE), 3 * _FINE, fill=color)
        x -= 18 * _FINE


def _ticks(extent: tuple[float, float], steps: Sequence[float], most: int) -> list[float]:
    step = next((step for step in steps if (extent[1] - extent[0]) / step <= most), steps[-1])
    return [i * step for i in range(int(np.ceil(extent[0] / step)), int(np.floor(extent[1] / step)) + 1)]


def _dashed(pen: ImageDraw.ImageDraw, line: tuple[float, float, float, float], color: Color) -> None:
    x0, y0, x1, y1 = line
    count = max(1, int(max(x1 - x0, y1 - y0) / (10 * _FINE)))
    along: Callable[[float], tuple[float, float]] = lambda s: (x0 + (x1 - x0) * s, y0 + (y1 - y0) * s)  # noqa: E731
    for i in range(count):
        pen.line((*along(i / count), *along((i + 0.55) / count)), color, _FINE)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * _FINE)


def _mix(a: Color, b: Color, share: float) -> Color:
    return tuple(round(x + (y - x) * min(1.0, share)) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def _signed(value: float, unit: str) -> str:
    return f"{value:+.4g}{unit}" if abs(value) > 1e-9 else f"0{unit}"


def _clock(seconds: float, extent: tuple[float, float]) -> str:
    if extent[1] - extent[0] < 90:
        return f"{seconds:.4g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
