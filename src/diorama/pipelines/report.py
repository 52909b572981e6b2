"""The page beside a 3D film: what it looks like, how comfortable it is, and how it was made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.core.video import Pixels
from diorama.media.stereo import pack
from diorama.pipelines.chart import DARK, LIGHT, chart
from diorama.pipelines.comfort import FrameComfort, Viewing, summarise
from diorama.pipelines.page import Media, animation, drawing, grid, pairs, photo, plain, section, table, write_page

_HOLE = (236, 72, 153)
_CLASSES = {"comfortable": "good", "strong": "fair", "too strong": "bad"}
_MOST_SHOTS = 200


@dataclass(frozen=True, eq=False)
class Sample:
    """One moment of the film.

    Attributes:
        seconds: when.
        source: the frame that was given.
        left, right: the finished eyes, of one size and type.
        inverse_depth: inverse depth, 0 (farthest) to 1 (nearest), at any resolution.
        known: of the right eye, before filling: whether the source shows this pixel; None where it is the
            source.
    """

    seconds: float
    source: Pixels
    left: Pixels
    right: Pixels
    inverse_depth: Float32[np.ndarray, "dh dw"]
    known: Bool[np.ndarray, "h w"] | None = None


@dataclass(frozen=True, eq=False)
class Report:
    """All that the page tells.

    Attributes:
        title: usually the name of the output.
        samples: a few moments, in order.
        records: comfort of every frame.
        viewing: for degrees.
        settings: of the run, by name.
        timings: seconds by stage.
        notes: what the user should know.
    """

    title: str
    samples: Sequence[Sample]
    records: Sequence[FrameComfort]
    viewing: Viewing = Viewing()
    settings: Mapping[str, object] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()


def write_report(path: Path, report: Report) -> None:
    """Write the page as one HTML file that needs no other; atomic.

    Raises:
        UsageError: the folder is missing or not writable.
    """
    summary: dict[str, Any] = summarise(report.records, report.viewing)
    body = [
        _head(report, summary),
        section("Parallax", grid([_chart(report)]), _shots(summary)),
        *(section(_moment(sample), grid(_pictures(sample))) for sample in report.samples),
        section("Comfort limits", _limits(summary)),
        f'<div class="pair">{section("Settings", pairs(report.settings))}{_timings(report)}</div>',
    ]
    write_page(path, report.title, "".join(body))


def colored(inverse_depth: Float32[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Depth as colour (inferno): near is bright, far is dark; not finite counts as far."""
    levels = np.clip(np.nan_to_num(inverse_depth, nan=0.0), 0, 1) * 255
    bgr = cv2.applyColorMap(levels.astype(np.uint8), cv2.COLORMAP_INFERNO)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def marked(image: Pixels, known: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """The picture in grey, with what the source does not show in magenta."""
    grey = cv2.cvtColor(plain(image), cv2.COLOR_RGB2GRAY)
    shown = np.repeat((grey * 0.7 + 40).astype(np.uint8)[..., None], 3, axis=2)
    shown[~known] = _HOLE
    return shown


def _pictures(sample: Sample) -> list[Media]:
    left, right = plain(sample.left), plain(sample.right)
    pictures = [
        animation([left, right], "Wiggle: left and right eye in turn"),
        photo(pack(left, right, "anaglyph"), "Anaglyph, for red-cyan glasses"),
        photo(sample.source, "Source"),
        photo(colored(sample.inverse_depth), "Depth: bright is near"),
    ]
    if sample.known is not None:
        share = 100 * float(np.mean(~sample.known))
        pictures.append(photo(marked(right, sample.known), f"Right eye: {share:.2f} % filled in (magenta)"))
    return pictures


def _chart(report: Report) -> Media:
    light, dark = (chart(report.records, report.viewing, palette=palette) for palette in (LIGHT, DARK))
    return drawing(light, f"{len(report.records)} frames", dark=dark)


def _head(report: Report, summary: Mapping[str, Any]) -> str:
    verdict = str(summary["verdict"])
    extent = summary["overall"]["percent"]
    screen = summary["widest_screen_metres"]
    tiles = {
        "in front of the screen": f"{max(0.0, extent['p99']):.2f} %",
        "behind the screen": f"{max(0.0, -extent['p1']):.2f} %",
        "frames with window violations": f"{summary['window_violations']['frames']} of {summary['frames']}",
        "shots": str(len(summary["shots"])),
        "widest screen before eyes diverge": "any" if screen is None else f"{screen:.1f} m",
    }
    shown = "".join(f'<div class="tile"><b>{escape(b)}</b><span>{escape(a)}</span></div>' for a, b in tiles.items())
    notes = "".join(f'<p class="faint">{escape(note)}</p>' for note in report.notes)
    badge = f'<span class="badge {_CLASSES[verdict]}">{escape(verdict)}</span>'
    return f'<header><h1>{escape(report.title)}</h1><p>{badge}</p>{notes}<div class="tiles">{shown}</div></header>'


def _moment(sample: Sample) -> str:
    return f"At {sample.seconds:.2f} s"


def _shots(summary: Mapping[str, Any]) -> str:
    shots = summary["shots"]
    rows = [
        (
            f"shot {shot['shot'] + 1}",
            f"{shot['start_seconds']:.2f} s",
            shot["frames"],
            f"{shot['convergence']:.2f}",
            f"{shot['percent']['p1']:+.2f} … {shot['percent']['p99']:+.2f} %",
            f"{shot['degrees']['p1']:+.2f} … {shot['degrees']['p99']:+.2f}°",
            f"{100 * shot['window_violation']:.0f} %",
        )
        for shot in shots[:_MOST_SHOTS]
    ]
    rest = len(shots) - len(rows)
    more = f'<p class="faint">and {rest} more shots, in the JSON report</p>' if rest > 0 else ""
    return table(rows, ("", "from", "frames", "convergence", "parallax", "angle", "border in front")) + more


def _limits(summary: Mapping[str, Any]) -> str:
    rows = [
        (
            limit["name"],
            "kept" if limit["kept"] else "exceeded",
            *(
                f"{limit['measured_' + side]:.2f} of {limit[side]:g}{'°' if limit['unit'] == 'degrees' else ' %'}"
                for side in ("front", "behind")
            ),
            limit["source"],
        )
        for limit in summary["limits"]
    ]
    viewing = summary["viewing"]
    one = f"{viewing['one_degree_percent']:.2f} %"
    seen = f"Seen with the picture filling {viewing['hfov_degrees']:g}°, one degree is {one} of its width."
    return table(rows, ("limit", "", "in front", "behind", "source")) + f'<p class="faint">{escape(seen)}</p>'


def _timings(report: Report) -> str:
    total = sum(report.timings.values())
    rows = [
        (name, f"{seconds:.2f} s", f"{100 * seconds / total:.0f} %" if total else "")
        for name, seconds in report.timings.items()
    ]
    return section("Time", table(rows))
