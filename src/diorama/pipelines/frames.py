"""The stream of finished stereo frames: decode, look, warp and pack, each in its own thread, in bounded memory."""

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
from jaxtyping import Float32

from diorama.core.parallel import ahead
from diorama.core.timing import Timings
from diorama.core.video import Frame
from diorama.perception.base import DepthEstimator, Tracked
from diorama.perception.flow import dense_flow
from diorama.perception.neighbours import History
from diorama.perception.shots import track
from diorama.perception.stabilise import Steadiness, stabilise
from diorama.perception.upsample import upsample
from diorama.pipelines.comfort import measure
from diorama.pipelines.convergence import choose_convergence
from diorama.pipelines.eyes import Eyes, make_eyes, pictures, screen_disparity
from diorama.pipelines.presets import Look
from diorama.pipelines.schedule import Schedule
from diorama.pipelines.work import Shown

SETTLE = 12
SETTLE_BYTES = 200_000_000
QUEUE = 3

InverseDepth = Float32[np.ndarray, "dh dw"]
FullMap = Float32[np.ndarray, "h w"]
Answer = Callable[[Iterable[Tracked]], Iterator[InverseDepth]]
# The released filter is guided by the unsmoothed map and brings back half of the flicker that averaging took away
# (docs/decisions.md), so the average guides it here.
STEADY = Steadiness(guide="average")


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame of known shot and depth, not yet warped."""

    place: int
    tracked: Tracked
    shot_start: int
    inverse_depth: InverseDepth
    convergence: float


@dataclass(frozen=True)
class Since:
    """Where a run begins: at output frame `start` of shot number `shot`, showing frames from `place` on.

    Frames before `place` are looked at, not warped: state that a shot builds up is the same as in a run from its
    beginning.
    """

    start: int = 0
    shot: int = 0
    place: int = 0


@dataclass(frozen=True, eq=False)
class Viewed:
    """A frame with its eyes, and what they were made from: the nearness and the screen parallax of each pixel."""

    seen: Seen
    inverse_depth: FullMap
    disparity: FullMap
    eyes: Eyes


Maker = Callable[[Iterable[Seen], Since], Iterator[Viewed]]
"""Frames in order -> the eyes of those from ``since.place`` on; earlier ones are only looked at."""


Enlarge = Callable[[Iterable[Viewed]], Iterator[Viewed]]


@dataclass(frozen=True, eq=False)
class Rendered:
    """All that one frame became, for the report."""

    seen: Seen
    seconds: float
    inverse_depth: Float32[np.ndarray, "h w"]
    eyes: Eyes


@dataclass(frozen=True, eq=False)
class FrameStream:
    """How the frames of a run are made.

    Attributes:
        schedule: which frames, when.
        look: the stereo picture.
        estimator: answers depth, a shot at a time.
        timings: filled as the stream runs.
        keep: called with each frame that `samples` names, for the report.
        samples: output positions to keep.
        make: how frames become eyes; the fast engine where None.
        enlarge: makes their eyes larger; None leaves them.
    """

    schedule: Schedule
    look: Look
    estimator: DepthEstimator
    timings: Timings
    keep: Callable[[Rendered], None]
    samples: frozenset[int] = frozenset()
    make: Maker | None = None
    enlarge: Enlarge | None = None

    def shown(self, since: Since) -> Generator[Shown, None, None]:
        """The finished frames from ``since.place`` on."""
        coming = ahead(self.seen(since), QUEUE)
        waiting = self.timings.stage("wait for depth", coming)
        made = self.timings.stage("warp, fill and pack", self._made(waiting, since), minus="wait for depth")
        return ahead(made, QUEUE)

    def _tracked(self, since: Since) -> Iterator[tuple[int, Tracked]]:
        """Frames with their position, shot and flow."""
        places: deque[int] = deque()

        def frames() -> Iterator[Frame]:
            decoded = self.timings.stage("decode", self.schedule.frames(since.start))
            for place, frame in ahead(decoded, QUEUE):
                places.append(place)
                yield frame

        for tracked in track(frames()):
            yield places.popleft(), replace(tracked, shot=tracked.shot + since.shot)

    def seen(self, since: Since) -> Iterator[Seen]:
        """The frames with their depth, not yet warped."""
        answer: Answer = self.estimator
        if getattr(self.estimator, "whole_shot", False):
            answer = self._steady(self._maps(since))
        for _, group in itertools.groupby(self._tracked(since), key=lambda item: item[1].shot):
            yield from self._settled(self._paired(group, answer))

    def _maps(self, since: Since) -> Iterator[InverseDepth]:
        """Maps from an estimator that must see a whole shot first: decoded twice rather than held in memory."""
        for _, shot in itertools.groupby(self._tracked(since), key=lambda item: item[1].shot):
            yield from self.estimator(tracked for _, tracked in shot)

    def _steady(self, maps: Iterator[InverseDepth]) -> Answer:
        """Single-frame networks flicker: their maps are averaged along the flow (S2VG section 1.1)."""
        return lambda shot: stabilise(zip(shot, maps, strict=False), dense_flow, STEADY)

    def _paired(
        self, shot: Iterable[tuple[int, Tracked]], answer: Answer
    ) -> Iterator[tuple[int, Tracked, InverseDepth]]:
        """Each frame with its map; holds as many frames as the estimator looks ahead."""
        held: deque[tuple[int, Tracked]] = deque()

        def passing() -> Iterator[Tracked]:
            for place, tracked in shot:
                held.append((place, tracked))
                yield tracked

        for depth in self.timings.stage("look: shots, flow and depth", answer(passing())):
            yield (*held.popleft(), depth)

    def _settled(self, shot: Iterable[tuple[int, Tracked, InverseDepth]]) -> Iterator[Seen]:
        """The frames of a shot with its convergence, chosen from the first frames and then held."""
        frames = iter(shot)
        frame_bytes = 6 * self.schedule.height * self.schedule.width
        settle = max(1, min(SETTLE, SETTLE_BYTES // frame_bytes)) if self.look.fixed_convergence is None else 1
        first = list(itertools.islice(frames, settle))
        if not first:
            return
        fixed = self.look.fixed_convergence
        maps = [depth for _, _, depth in first]
        convergence = choose_convergence(maps, self.look.divergence) if fixed is None else fixed
        shot_start = first[0][0]
        while first:  # emptied on the way, so that the frames are freed
            place, tracked, depth = first.pop(0)
            yield Seen(place, tracked, shot_start, depth, convergence)
        for place, tracked, depth in frames:
            yield Seen(place, tracked, shot_start, depth, convergence)

    def _made(self, frames: Iterable[Seen], since: Since) -> Iterator[Shown]:
        make = self.make or (lambda seen, since: fast_eyes(seen, since, self.look))
        viewed = map(self._kept, make(frames, since))
        for one in self.enlarge(viewed) if self.enlarge else viewed:
            yield self._show(one)

    def _kept(self, viewed: Viewed) -> Viewed:
        if viewed.seen.place in self.samples:
            seconds = float(viewed.seen.tracked.frame.pts * self.schedule.time_base)
            self.keep(Rendered(viewed.seen, seconds, viewed.inverse_depth, viewed.eyes))
        return viewed

    def _show(self, viewed: Viewed) -> Shown:
        seen, frame, eyes = viewed.seen, viewed.seen.tracked.frame, viewed.eyes
        seconds = float(frame.pts * self.schedule.time_base)
        comfort = measure(
            viewed.disparity,
            index=frame.index,
            seconds=seconds,
            shot=seen.tracked.shot,
            convergence=seen.convergence,
        )
        images = pictures(eyes, frame.image, viewed.inverse_depth, self.look)
        return Shown(images, frame.pts, seen.place, seen.shot_start, seen.tracked.shot, asdict(comfort))


def geometry_of(seen: Seen, look: Look) -> tuple[FullMap, FullMap]:
    """Nearness and screen parallax of each pixel of a frame."""
    inverse_depth = upsample(seen.inverse_depth, seen.tracked.frame.image)  # as it is where it has the frame's size
    return inverse_depth, screen_disparity(inverse_depth, seen.convergence, look)


def fast_eyes(frames: Iterable[Seen], since: Since, look: Look) -> Iterator[Viewed]:
    """The fast engine: each frame warped, and its holes filled from frames before it and from beside them."""
    history = History()
    for seen in frames:
        history = History() if seen.tracked.first else history
        image = seen.tracked.frame.image
        inverse_depth, disparity = geometry_of(seen, look)
        history = history.moved(seen.tracked.flow)
        if seen.place >= since.place:
            neighbours = history.neighbours() if look.fill == "fast" else ()
            eyes = make_eyes(image, disparity, look, neighbours=neighbours)
            yield Viewed(seen, inverse_depth, disparity, eyes)
        history = history.appended(image, disparity)
