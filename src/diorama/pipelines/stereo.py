"""The stereo recipe, fast engine: any clip to a 3D film (S2VG sections 1.1-1.4 without the generative part)."""

import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from diorama.core.progress import Progress, Silent
from diorama.errors import InterruptedRunError, UsageError
from diorama.media.atomic import sweep
from diorama.media.lock import RunLock
from diorama.media.read import OpenedVideo, ReadOptions, open_media
from diorama.pipelines.job import Job, StereoRun
from diorama.pipelines.output import Target, make_target
from diorama.pipelines.presets import Clip, StereoConfig
from diorama.pipelines.schedule import schedule

__all__ = ["StereoResult", "StereoRun", "stereo"]


@dataclass(frozen=True)
class StereoResult:
    """What a run made.

    Attributes:
        files: the films (or stills), one an output stream.
        frames: how many frames were written, those of an earlier interrupted run included.
        seconds: wall clock of this run.
        comfort: the comfort report, as in the JSON file beside the film.
        extras: reports written beside the film.
        notes: what the user should know.
    """

    files: tuple[Path, ...]
    frames: int
    seconds: float
    comfort: dict[str, Any] = field(default_factory=dict)
    extras: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def stereo(
    source: str | Path,
    output: str | Path,
    config: StereoConfig | None = None,
    *,
    run: StereoRun | None = None,
    progress: Progress | None = None,
) -> StereoResult:
    """Turn a clip into a stereoscopic one.

    Args:
        source: a video, an image, or a folder of numbered images.
        output: the file to write; its suffix names the container.
        config: how it shall look; the default is full side by side.
        run: overwrite, resume, report.
        progress: told how far the run is.

    Raises:
        DioramaError: its children say what was wrong and what to do. No output appears under its final name
            unless it is complete.
    """
    config, run, progress = config or StereoConfig(), run or StereoRun(), progress or Silent()
    began = time.perf_counter()
    clip = config.clip
    depth = config.depth.path
    options = ReadOptions(_video_stream(source, clip), clip.tolerant, clip.deinterlace, clip.limits)
    opened = open_media(source, options)
    inputs = [opened.path, *([depth] if depth else [])]
    target = make_target(output, config.look, inputs=inputs, overwrite=run.overwrite, resume=run.resume)
    widen = opened.sar if _needs_square_pixels(config, target, opened) else Fraction(1)
    plan = schedule(opened.video, clip, widen, clocked=not opened.path.is_dir())
    with RunLock(target.path):
        sweep(target.path)
        job = Job(opened, plan, opened.sar / widen, config, run, target, progress)
        try:
            done = job.run()
        except KeyboardInterrupt as stop:
            going_on = job.can_go_on() and not run.anew
            fix = "run the same command with --resume to go on where it stopped" if going_on else "run it again"
            raise InterruptedRunError("stopped", target.path, fix) from stop
    return StereoResult(
        target.files, done.frames, time.perf_counter() - began, done.comfort, done.extras, tuple(job.notes)
    )


def _needs_square_pixels(config: StereoConfig, target: Target, opened: OpenedVideo) -> bool:
    """Where pixels of another shape would be shown wrong: in stills, spheres, and codecs that cannot say so."""
    if target.still or config.look.format == "vr180":
        return True
    encoding = config.encoding.resolved(target.path.suffix.lower(), opened.video.bits)
    return not encoding.keeps_pixel_shape


def _video_stream(source: str | Path, clip: Clip) -> int | None:
    """The first of the wanted streams that is a video; None where the choice is free."""
    if clip.streams is None:
        return None
    opened = open_media(source, ReadOptions(tolerant=True, limits=clip.limits))
    if opened.probe is None:
        raise UsageError("images have no streams", "--map", "leave it out")
    types = {stream.index: stream.type for stream in opened.probe.streams}
    for index in clip.streams:
        if index not in types:
            known = "; ".join(str(stream) for stream in opened.probe.streams)
            raise UsageError(f"no stream {index}", "--map", f"the streams are {known}")
    return next((index for index in clip.streams if types[index] == "video"), None)
