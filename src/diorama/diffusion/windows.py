"""Long videos: a denoiser for short ones runs over windows, and what overlaps is averaged by weight.

By default windows are open (they end at the last frame), weighted by triangles, shifted from step to step so that no
seam stays in place, and never cross a cut. ``mode="release"`` gives those of the MIMO release: closed loops over the
whole clip, equal weights, the same at each step (mimo.md 1.9).

Sources: MultiDiffusion (Bar-Tal et al. 2023) for averaging, MimicMotion (Zhang et al. 2024) for triangles and the
anchor.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Literal

import torch
from jaxtyping import Float, Int64

from diorama.diffusion.denoise import Denoiser
from diorama.diffusion.levels import Level
from diorama.diffusion.room import no_memory
from diorama.errors import OutOfMemoryError, UsageError

_LOG = logging.getLogger(__name__)
Latents = Float[torch.Tensor, "b c t h w"]
Clip = Float[torch.Tensor, "b c span h w"]
Spans = Int64[torch.Tensor, "k n"]
Bind = Callable[[Spans], Denoiser]
"""Frame numbers of k windows of n frames -> a denoiser for them, "k*b c n h w", window-major."""


@dataclass(frozen=True)
class Window:
    """Frames that are denoised together.

    Attributes:
        frames: their numbers; may wrap around.
        weights: share of each in the average; 0 for an anchor that is only looked at.
    """

    frames: tuple[int, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.frames or len(self.frames) != len(self.weights) or min(self.frames) < 0 or min(self.weights) < 0:
            given = f"a window of {len(self.frames)} frames with {len(self.weights)} weights"
            raise UsageError(given, "windows", "give as many weights as frames, none of them negative")


@dataclass(frozen=True)
class WindowConfig:
    """How a long video is cut.

    Attributes:
        length: frames of a window, at most what the network's positions allow.
        overlap: frames that neighbours share.
        anchor: the first frame of the shot is seen in every window (it takes one place).
        mode: "open" as described above, or "release", which knows neither cuts nor steps.
        at_once: windows in one call of the network.
    """

    length: int = 16
    overlap: int = 4
    anchor: bool = False
    mode: Literal["open", "release"] = "open"
    at_once: int = 1

    def __post_init__(self) -> None:
        if self.length < 1 or not 0 <= self.overlap < self.length or self.at_once < 1:
            given = f"windows of {self.length} frames that share {self.overlap}, {self.at_once} at once"
            raise UsageError(given, "windows", "give a length of 1 or more, and an overlap below it")
        if self.mode not in ("open", "release"):
            raise UsageError(f"no windows are called {self.mode!r}", "windows", "known: open, release")
        if self.anchor and (self.mode == "release" or self.length - self.overlap < 2):
            raise UsageError("an anchor needs open windows that move by 2 frames or more", "windows")

    def fits(self, longest: int) -> "WindowConfig":
        """Itself, if the network's table of positions is long enough.

        Raises:
            UsageError: it is not.
        """
        if self.length > longest:
            given = f"windows of {self.length} frames, the network has positions for {longest}"
            raise UsageError(given, "windows", f"give a length of {longest} or less")
        return self


def plan_windows(
    num_frames: int, config: WindowConfig, *, step: int = 0, cuts: Sequence[int] = ()
) -> tuple[Window, ...]:
    """Windows that together cover all frames.

    Args:
        num_frames: of the video.
        step: number of the sampling step; open windows start elsewhere at each.
        cuts: first frames of later shots.

    Raises:
        UsageError: no frames, or cuts outside the video.
    """
    if num_frames < 1 or any(not 0 < cut < num_frames for cut in cuts):
        raise UsageError(f"{num_frames} frames cut at {list(cuts)}", "windows", "cuts must lie inside the video")
    if config.mode == "release":
        return _release(num_frames, config)
    edges = [0, *sorted(set(cuts)), num_frames]
    return tuple(window for start, end in pairwise(edges) for window in _open(start, end, config, step))


def _release(num_frames: int, config: WindowConfig) -> tuple[Window, ...]:
    """Starts every length - overlap frames, indices modulo the clip (closed loop), equal weights."""
    if num_frames <= config.length:
        return (Window(tuple(range(num_frames)), (1.0,) * num_frames),)
    starts = range(0, num_frames, config.length - config.overlap)
    spans = [tuple((start + i) % num_frames for i in range(config.length)) for start in starts]
    return tuple(Window(span, (1.0,) * config.length) for span in spans)


def _open(start: int, end: int, config: WindowConfig, step: int) -> list[Window]:
    """Windows of one shot. Their starts move by a third of the stride from step to step."""
    count = end - start
    if count <= config.length:
        return [Window(tuple(range(start, end)), _triangle(count))]
    seats = config.length - config.anchor
    stride = seats - config.overlap
    first = (step * max(1, round(stride / 3))) % stride
    starts = sorted(
        {min(max(begin, 0), count - seats) for begin in range(first - stride, count - config.overlap, stride)}
    )
    out = []
    triangle = _triangle(seats)
    for begin in starts:
        frames, weights = tuple(range(start + begin, start + begin + seats)), triangle
        if config.anchor:
            inside = begin == 0  # the anchor is then among the frames: one frame more keeps all windows alike
            frames = (*frames, start + seats) if inside else (start, *frames)
            weights = (*weights, weights[0]) if inside else (0.0, *weights)
        out.append(Window(frames, weights))
    return out


def _triangle(count: int) -> tuple[float, ...]:
    """Positive weights that peak in the middle (MimicMotion)."""
    ramp = [(i + 0.5) * 2 / count for i in range(count)]
    return tuple(min(x, 2 - x) for x in ramp)


@dataclass
class Room:
    """What fits in memory. It shrinks when memory runs out, and is then remembered by all that share it.

    Attributes:
        at_once: windows in one call.
        frames: of a window in one call.
    """

    at_once: int = 1
    frames: int = 1 << 30

    def shrink(self, windows: int, frames: int) -> None:
        """After `windows` windows of `frames` frames did not fit.

        Raises:
            OutOfMemoryError: a single frame did not fit.
        """
        if windows > 1:
            self.at_once = windows // 2
            _LOG.warning("out of memory with %d windows at once; going on with %d", windows, self.at_once)
        elif frames > 1:
            self.frames = (frames + 1) // 2
            _LOG.warning("out of memory with windows of %d frames; going on with %d", frames, self.frames)
        else:
            raise OutOfMemoryError("one frame alone does not fit in memory", "windows", "give a smaller size")


def windowed(bind: Bind, windows: Sequence[Window], *, room: Room | None = None) -> Denoiser:
    """A denoiser for a long video from denoisers of its windows.

    Memory beyond the latents themselves does not grow with the number of frames. When memory runs out, fewer windows
    run at once, then shorter ones (their frames no longer see each other), and the log says so.

    Args:
        room: how many windows run at once; one where None.

    Raises:
        UsageError: windows that leave out a frame of x, or name one that it does not have; a denoiser that gives
            another shape than its windows have.
        OutOfMemoryError: one frame alone does not fit.
    """
    space = room or Room()

    def denoise(x: Latents, level: Level) -> Latents:
        total = _coverage(windows, x.shape[2])
        out = torch.zeros_like(x)
        rest = list(windows)
        while rest:
            group = _alike(rest, space)
            rest = rest[len(group) :]
            for window, x0 in zip(group, _run(bind, group, x, level, space), strict=True):
                frames = torch.tensor(window.frames)
                share = (torch.tensor(window.weights) / total[frames]).to(x)
                out.index_add_(2, frames.to(x.device), x0 * share[:, None, None])
        return out

    return denoise


def shifted(
    bind: Bind, num_frames: int, config: WindowConfig, *, steps: int, cuts: Sequence[int] = ()
) -> list[Denoiser]:
    """A windowed denoiser for each of `steps` sampling steps, with the windows of that step (for ``descend``).

    What fits in memory is learnt once for all of them.

    Raises:
        UsageError: as `plan_windows`.
    """
    room = Room(config.at_once)

    def planned(step: int) -> tuple[Window, ...]:
        return plan_windows(num_frames, config, step=step, cuts=cuts)

    planned(0)  # what is wrong is said now; the rest when its turn comes, so that one step's windows are in memory

    def at(step: int) -> Denoiser:
        return lambda x, level: windowed(bind, planned(step), room=room)(x, level)

    return [at(step) for step in range(steps)]


def _coverage(windows: Sequence[Window], num_frames: int) -> Float[torch.Tensor, " t"]:
    total = torch.zeros(num_frames)
    for window in windows:
        if max(window.frames) >= num_frames:
            raise UsageError(f"a window up to frame {max(window.frames)} of {num_frames} frames", "windows")
        total.index_add_(0, torch.tensor(window.frames), torch.tensor(window.weights))
    if not bool((total > 0).all()):
        missing = int((total <= 0).nonzero()[0])
        raise UsageError(f"no window covers frame {missing} of {num_frames}", "windows")
    return total


def _alike(windows: Sequence[Window], room: Room) -> list[Window]:
    """The first windows, of one length, as many as there is room for."""
    length = len(windows[0].frames)
    return list(takewhile(lambda window: len(window.frames) == length, windows[: room.at_once]))


def _run(bind: Bind, group: Sequence[Window], x: Latents, level: Level, room: Room) -> list[Clip]:
    """x0 of each window of a group, in smaller pieces when memory runs out."""
    spans = torch.tensor([window.frames for window in group])
    try:
        return _at_once(bind, spans.split(room.frames, dim=1), x, level)
    except (RuntimeError, MemoryError) as error:
        if not no_memory(error):
            raise
    room.shrink(len(group), min(spans.shape[1], room.frames))
    done: list[Clip] = []
    while len(done) < len(group):  # one part after the other: there may be room for still fewer
        done += _run(bind, group[len(done) :][: room.at_once], x, level, room)
    return done


def _at_once(bind: Bind, pieces: Sequence[Spans], x: Latents, level: Level) -> list[Clip]:
    """x0 of windows, of which each piece holds some frames."""
    done = []
    for piece in pieces:
        seen = torch.cat([x[:, :, span.to(x.device)] for span in piece])
        x0 = bind(piece)(seen, level)
        if x0.shape != seen.shape:
            raise UsageError(f"a denoiser gave {tuple(x0.shape)} for windows {tuple(seen.shape)}", "windows")
        done.append(x0)
    return list(torch.cat(done, dim=2).unflatten(0, (-1, len(x))))
