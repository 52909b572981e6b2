"""What a stereo run can be asked for, as frozen values that check themselves. Loads no heavy library."""

import re
from dataclasses import asdict, dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from diorama.errors import LimitError, UsageError
from diorama.media.encoding import Encoding
from diorama.media.formats import FormatName
from diorama.media.safe import Limits, local_path
from diorama.pipelines.choices import check_choices
from diorama.pipelines.matrix_config import Generative
from diorama.pipelines.recipe_options import config_of
from diorama.pipelines.upscale_config import Upscale


@dataclass(frozen=True)
class Look:
    """The stereo picture."""

    format: FormatName = "sbs"
    """How the eyes are put into the picture."""
    divergence: float = 2.5
    """Strength: parallax between the nearest and the farthest point, in percent of the picture width."""
    convergence: str = "auto"
    """What lies on the screen plane: 0 (the farthest point) to 1 (the nearest), or auto, chosen for each shot."""
    swap: bool = False
    """Exchange the eyes."""
    views: int = 2
    """Number of cameras on a line; more than 2 are written as separate files."""
    source_eye: Literal["center", "left", "right"] = "center"
    """Which eye the given picture is; left or right keeps that eye untouched."""
    warp: Literal["subpixel", "nearest"] = "subpixel"
    """Subpixel is smooth on slanted surfaces; nearest keeps every pixel as it is and is the fastest."""
    fill: Literal["fast", "telea"] = "fast"
    """What fills the background that becomes visible: true background of other frames and its extension, or OpenCV."""
    engine: Literal["fast", "generative"] = "fast"
    """fast, or generative: a video network paints what no frame shows, alike in all views (slow)."""

    def __post_init__(self) -> None:
        check_choices(self)
        if not isfinite(self.divergence) or self.divergence < 0:
            raise UsageError(
                f"divergence is {self.divergence}", "--divergence", "give 0 (flat) to about 5; --swap reverses"
            )
        if self.divergence > 100:
            raise LimitError(
                f"divergence {self.divergence} % is wider than the picture", "--divergence", "2 to 5 is usual"
            )
        if self.fixed_convergence is not None and not 0 <= self.fixed_convergence <= 1:
            raise UsageError(f"convergence is {self.convergence}", "--convergence", "give 0 to 1, or auto")
        if self.swap and self.format == "rgbd":
            raise UsageError("rgbd has no eyes to exchange", "--swap", "leave it out")
        if not 2 <= self.views <= 64:
            raise UsageError(f"{self.views} views", "--views", "give 2 to 64")
        if self.engine == "generative" and self.format == "rgbd":
            raise UsageError("rgbd has no eyes to paint", "--engine", "leave it out")
        if self.views > 2 and self.format not in ("sbs", "eyes"):
            raise UsageError(f"{self.views} views do not fit the format {self.format}", "--views", "leave --format out")

    @property
    def separate(self) -> bool:
        """Whether each view gets a file of its own."""
        return self.views > 2 or self.format == "eyes"

    @property
    def fixed_convergence(self) -> float | None:
        """The number given, None for auto."""
        if self.convergence == "auto":
            return None
        try:
            value = float(self.convergence)
        except ValueError:
            value = float("nan")
        if not isfinite(value):
            raise UsageError(f"convergence is {self.convergence!r}", "--convergence", "give 0 to 1, or auto")
        return value


@dataclass(frozen=True)
class DepthChoice:
    """How near each pixel is."""

    depth: str = "embedded"
    """embedded; a file or folder of depth maps (PNG, EXR, NPY, video); hub (Depth Anything V2 Small), the name of
    another network, or a folder with one."""
    depth_kind: Literal["inverse", "metric"] = "inverse"
    """What numbers in a depth file mean: larger is nearer, or metres."""
    near: float | None = None
    """The value in a depth file that counts as nearest (default: found in the file)."""
    far: float | None = None
    """The value in a depth file that counts as farthest (default: found in the file)."""
    people: bool = True
    """Person masks are used in the embedded depth where the extra `people` is installed; --no-people: they are not."""
    device: str = "auto"
    """Where models run: auto, cpu, cuda, cuda:1, mps."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("near", "far"):
            value = getattr(self, name)
            if value is not None and not isfinite(value):
                raise UsageError(f"{name} is {value}", f"--{name}", "give a finite number")
        told = (self.near, self.far, self.depth_kind) != (None, None, "inverse")
        if self.depth == "embedded" and told:
            raise UsageError("embedded depth has a scale of its own", "--near/--far/--depth-kind", "name a depth file")
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            raise UsageError(f"unknown device {self.device!r}", "--device", "give auto, cpu, cuda, cuda:1 or mps")

    @property
    def path(self) -> Path | None:
        """The depth file or model folder; None where `depth` is no path.

        Raises:
            UsageError: a URL, or a name no file can have.
        """
        if self.depth == "embedded":
            return None
        path = local_path(self.depth)
        return path if path.exists() else None


@dataclass(frozen=True)
class Clip:
    """Which part of the input, and how it is read."""

    start: str = ""
    """Where to begin: seconds, or [hours:]minutes:seconds."""
    end: str = ""
    """Where to stop: seconds, or [hours:]minutes:seconds."""
    fps: float | None = None
    """Resample to this constant frame rate (default: every frame at its own time)."""
    scale: float = 1.0
    """Resize the picture by this factor before anything else."""
    deinterlace: bool = False
    """Rebuild whole frames from fields."""
    map: str = ""
    """Streams to keep by index, such as 0,2 (default: the best video, all audio and subtitles)."""
    background: str = "black"
    """What shows through a transparent video: black, white, or #rrggbb."""
    tolerant: bool = False
    """Convert what a damaged file still holds."""
    max_pixels: int = 64_000_000
    """Refuse frames with more pixels."""
    max_frames: int | None = None
    """Refuse an input with more frames: all of the file counts, also where --start and --end take a part."""
    max_seconds: float | None = None
    """Refuse a longer input; here too all of the file counts."""

    def __post_init__(self) -> None:
        if self.fps is not None and not (isfinite(self.fps) and 0 < self.fps <= 1000):
            raise UsageError(f"fps is {self.fps}", "--fps", "give a rate above 0 and up to 1000")
        if not (isfinite(self.scale) and 0 < self.scale <= 16):
            raise UsageError(f"scale is {self.scale}", "--scale", "give a factor above 0 and up to 16")
        first, last = self.span
        if last is not None and last <= first:
            raise UsageError(f"end {self.end} is not after start {self.start or 0}", "--end")
        _ = self.streams, self.background_rgb

    @property
    def span(self) -> tuple[float, float | None]:
        """Start and end in seconds of the clip; None for its end."""
        start = parse_time(self.start, "--start") if self.start else 0.0
        return start, parse_time(self.end, "--end") if self.end else None

    @property
    def streams(self) -> tuple[int, ...] | None:
        """The stream indexes of `map`; None for the default choice."""
        if not self.map:
            return None
        try:
            return tuple(int(part) for part in self.map.split(","))
        except ValueError:
            raise UsageError(f"map is {self.map!r}", "--map", "give stream numbers such as 0,2") from None

    @property
    def background_rgb(self) -> tuple[int, int, int]:
        """`background` as 8-bit components."""
        named = {"black": "#000000", "white": "#ffffff"}
        text = named.get(self.background, self.background)
        try:
            if len(text) != 7 or text[0] != "#":
                raise ValueError
            return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
        except ValueError:
            raise UsageError(f"background is {self.background!r}", "--background", "black, white or #rrggbb") from None

    @property
    def limits(self) -> Limits:
        """The budgets as one value."""
        return Limits(self.max_pixels, self.max_frames, self.max_seconds)


@dataclass(frozen=True)
class StereoConfig:
    """Everything that shapes the result of a stereo run."""

    look: Look = Look()
    depth: DepthChoice = DepthChoice()
    clip: Clip = Clip()
    encoding: Encoding = Encoding()
    generative: Generative = Generative()
    larger: Upscale = Upscale()

    def __post_init__(self) -> None:
        if self.look.engine == "fast" and self.generative != Generative():
            raise UsageError("options of the generative engine for the fast one", "--engine", "add --engine generative")
        if self.larger.upscale > 1 and (self.look.views > 2 or self.look.format == "rgbd"):
            raise UsageError("upscaling is for two eyes", "--upscale", "leave out --views and --format rgbd")

    def options(self) -> dict[str, Any]:
        """All options as one flat table of scalars, as a recipe keeps them."""
        return {name: value for group in fields(self) for name, value in asdict(getattr(self, group.name)).items()}

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> "StereoConfig":
        """The inverse of `options`; unknown names are refused.

        Raises:
            UsageError: an unknown option, or a value of the wrong type or out of range.
        """
        return config_of(cls, options)


def parse_time(text: str, option: str) -> float:
    """Seconds from ``12.5``, ``1:02`` or ``0:01:02.5``.

    Raises:
        UsageError: not a time, or negative.
    """
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or not all(isfinite(p) and p >= 0 for p in parts):
        raise UsageError(f"{text!r} is not a time", option, "give seconds or [hours:]minutes:seconds")
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))
