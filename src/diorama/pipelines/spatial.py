"""The spatial recipe: a clip becomes a 4D scene to look around in (S2VG, section 3.4; s2vg.md 1.8).

Depth, a row of cameras, the frame matrix, Gaussians that move, and films, files and a page of them.
"""

import hashlib
import itertools
import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import diorama
from diorama.core.camera import Cameras
from diorama.core.gaussians import MovingGaussians
from diorama.core.progress import Noted, Progress, Silent
from diorama.core.timing import Timings
from diorama.errors import DamagedMediaError, InterruptedRunError, LimitError, OutOfMemoryError, UsageError
from diorama.geometry.fit import FitConfig, fit
from diorama.media.atomic import atomic_folder, sweep
from diorama.media.images import save_image
from diorama.media.lock import RunLock
from diorama.media.read import OpenedVideo, ReadOptions, open_media
from diorama.media.recipe import Input
from diorama.media.safe import local_path
from diorama.media.splat import Scene4d, write_dot_splat, write_scene4d, write_splat_glb, write_splat_sequence
from diorama.perception import answers
from diorama.pipelines import spatial_films as films
from diorama.pipelines.decompose import folder_to_make
from diorama.pipelines.frames import FrameStream, Since
from diorama.pipelines.matrix_config import Generative
from diorama.pipelines.matrix_fill import Painter
from diorama.pipelines.matrix_open import Opening, check_reach, settings_of
from diorama.pipelines.presets import Clip, DepthChoice, Look
from diorama.pipelines.recipe_models import name_of, named, painting_of
from diorama.pipelines.scene_page import POSTER, SCENE, scene_page
from diorama.pipelines.schedule import Schedule, schedule
from diorama.pipelines.spatial_config import SpatialConfig
from diorama.pipelines.spatial_frames import Rig, Shot, SmallFrame, posed_frames, rig_of, shot_of, shrunk
from diorama.pipelines.work import WorkFolder

NAME = "spatial.json"
"""By which a folder of this kind is known."""
MOST_FPS = 60.0
MOST_BYTES = 1 << 20
"""Of what a folder tells about its scene."""
FIGURES = {"gaussians", "psnr", "depth_error"}
"""Figures that every fit has."""


@dataclass(frozen=True)
class SpatialOptions:
    """All that a run is asked for."""

    spatial: SpatialConfig = SpatialConfig()
    depth: DepthChoice = DepthChoice()
    clip: Clip = Clip()
    generative: Generative = Generative("draft")


@dataclass(frozen=True)
class SpatialResult:
    """What a run made.

    Attributes:
        folder: with everything in it.
        scene: the fitted scene.
        frames, views: that it was fitted to.
        seconds: wall clock.
        figures: PSNR (dB), depth error, flicker (levels), Gaussians, seconds of the stages.
        notes: what the user should know.
    """

    folder: Path
    scene: Path
    frames: int
    views: int
    seconds: float
    figures: dict[str, float | int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def spatial(
    source: str | Path,
    output: str | Path,
    options: SpatialOptions = SpatialOptions(),
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> SpatialResult:
    """Make a scene of a clip's first shot.

    Args:
        source: a video, an image, or a folder of numbered images.
        output: the folder to make.
        options: how.
        overwrite: replace an existing folder of this kind.
        resume: go on with a run that was stopped, after its last finished window; leave a finished one alone.
        progress: told how far it is.

    Raises:
        DioramaError: its children say what was wrong and what to do; nothing appears unless it is complete.
    """
    began, told = time.perf_counter(), Noted(progress or Silent())
    clip, depth = options.clip, options.depth.path
    opened = open_media(source, ReadOptions(None, clip.tolerant, clip.deinterlace, clip.limits))
    inputs = [opened.path, *([depth] if depth else [])]
    if resume and not overwrite and (made := _finished(local_path(output), options, opened.path)):
        told.note("already complete, nothing to do")
        return replace(made, notes=tuple(told.notes))
    target = folder_to_make(output, inputs, kind="a spatial scene", mark=NAME, overwrite=overwrite)
    with RunLock(target):
        sweep(target)
        work = WorkFolder(target, _identity(options, inputs), resume=resume, anew=overwrite)
        try:
            result = _Run(opened, options, target, work.path, told).make(overwrite=overwrite)
        except KeyboardInterrupt as stop:
            raise InterruptedRunError("stopped", target, "run the same command with --resume to go on") from stop
        except BaseException as error:
            if not isinstance(error, LimitError | OutOfMemoryError):
                work.remove()  # a rerun would fail again
            raise
        work.remove()
    return replace(result, seconds=time.perf_counter() - began, notes=tuple(told.notes))


def _identity(options: SpatialOptions, inputs: list[Path]) -> str:
    """What an unfinished run is known by: its options, and name, size and date of its inputs."""
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in inputs]
    text = json.dumps([diorama.__version__, asdict(options), stats], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()


@dataclass(frozen=True, eq=False)
class _Run:
    """One run; its methods are the steps."""

    opened: OpenedVideo
    options: SpatialOptions
    target: Path
    work: Path
    progress: Progress

    def make(self, *, overwrite: bool) -> SpatialResult:
        config = self.options.spatial
        plan = schedule(self.opened.video, self.options.clip, self.opened.sar, clocked=not self.opened.path.is_dir())
        if config.baseline == 0:
            self.progress.note("all cameras stand where the clip's own does (--baseline 0): nothing beside it is seen")
        marks = [time.perf_counter()]
        painter = self._painter()  # first: what it cannot do is told before depth is looked for
        shot = self._shot(plan)
        height, width = shot.frames.shape[1:3]
        rig = rig_of(config, height, width)
        windows = (self.options.generative, self.work / "windows")
        marks.append(time.perf_counter())
        posed = posed_frames(shot, rig, config, painter, windows=windows, progress=self.progress)
        marks.append(time.perf_counter())
        moving = fit(posed, FitConfig(field=config.motion, iterations=config.iterations), self.progress)
        marks.append(time.perf_counter())
        figures: dict[str, float | int] = {"gaussians": len(moving), **films.agreement(posed, moving)}
        names = ("depth_seconds", "views_seconds", "fit_seconds")
        figures |= {name: round(b - a, 2) for name, a, b in zip(names, marks, marks[1:], strict=False)}
        if painter is not None:
            figures |= {"prior_calls": painter.counted.calls, "prior_latent_frames": painter.counted.latent_frames}
        with atomic_folder(self.target, overwrite=overwrite) as partial:
            self._write(partial, moving, rig, shot, figures, plan)
        return SpatialResult(self.target, self.target / SCENE, len(shot.frames), len(rig.cameras), 0.0, figures)

    def _shot(self, plan: Schedule) -> Shot:
        """The frames of the first shot with their depth."""
        choice = self.options.depth
        options = answers.DepthOptions(
            choice.depth_kind, choice.near, choice.far, choice.people, choice.device, limits=self.options.clip.limits
        )
        estimator = answers.resolve(choice.depth, self.work / "depth", options, note=self.progress.note)
        answers.check(estimator, plan.video[: int(plan.index[-1]) + 1])
        stream = FrameStream(plan, Look(convergence="0"), estimator, Timings(), lambda _: None)
        self.progress.begin("look: flow and depth", len(plan))
        seen: list[SmallFrame] = []
        try:
            for frame in itertools.takewhile(lambda frame: frame.shot_start == 0, stream.seen(Since())):
                seconds = float(frame.tracked.frame.pts * plan.time_base)
                seen.append(shrunk(frame, seconds, self.options.spatial))
                self.progress.advance()
        finally:
            getattr(estimator, "close", lambda: None)()
        if len(seen) < len(plan):
            self.progress.note(f"a scene is of one shot: the first {len(seen)} of {len(plan)} frames (--start, --end)")
        most = self.options.spatial.most_frames
        if len(seen) > most:
            self.progress.note(f"{most} of {len(seen)} frames, evenly apart (--most-frames)")
        return shot_of(seen, self.options.spatial)

    def _painter(self) -> Painter | None:
        if self.options.spatial.engine == "fast":
            return None
        generative, config = self.options.generative, self.options.spatial
        prior = Opening(generative, self.options.depth.device, self.progress.note).prior()
        check_reach(prior, generative, config.views + (config.layout == "circle"))
        return Painter(prior, settings_of(generative), generative.seed, "all")

    def _write(
        self,
        folder: Path,
        moving: MovingGaussians,
        rig: Rig,
        shot: Shot,
        figures: dict[str, float | int],
        plan: Schedule,
    ) -> None:
        config = self.options.spatial
        fps = min(max(float(plan.fps), 1.0), MOST_FPS)
        own = rig.cameras[rig.source : rig.source + 1]
        middle = float(moving.times[len(moving.times) // 2])
        scene = Scene4d(moving, _path(rig), fps)
        write_scene4d(folder / SCENE, scene)
        poster = films.picture(moving, middle, own.scaled(2 * own.height, 2 * own.width))
        save_image(folder / POSTER, poster)
        if "ply" in config.write:
            write_splat_sequence(folder / "ply", moving, shot.times.tolist(), name="scene")
        if "splat" in config.write:
            write_dot_splat(folder / "scene.splat", moving.at(middle))
        if "glb" in config.write:
            write_splat_glb(folder / "scene.glb", moving.at(middle))
        if "films" in config.write:
            focus = float(shot.inverse_depth.mean())
            filmed = films.Filmed(moving, own, config.baseline, fps, focus)
            self.progress.begin("films", None)
            films.write_film(folder / "orbit.mp4", films.orbit(filmed), fps, self.progress)
            films.write_film(
                folder / "stereo_sbs.mp4", films.stereo_pair(filmed, config.eyes), fps, self.progress, sbs=True
            )
            if config.slow > 1 and len(shot.times) > 1:
                films.write_film(folder / "slow.mp4", films.slow_motion(filmed, config.slow), fps, self.progress)
        if "page" in config.write:
            page = scene_page(
                scene, title=self.opened.path.stem, facts=_facts(figures), poster=(folder / POSTER).read_bytes()
            )
            (folder / "page.html").write_text(page, encoding="utf-8")
        told = {
            "diorama_spatial": 1,
            **_made_of(self.options, self.opened.path),
            "frames": len(shot.frames),
            "views": len(rig.cameras),
            "figures": figures,
        }
        (folder / NAME).write_text(json.dumps(told, indent=1) + "\n")


def _made_of(options: SpatialOptions, source: Path) -> dict[str, object]:
    """What a scene comes of, as its folder tells it: equal for equal scenes."""
    depth = options.depth.path
    return {
        "version": diorama.__version__,
        "options": _told(options),
        "models": painting_of(options.generative) if options.spatial.engine == "generative" else {},
        "input": asdict(Input.of(source)),
        "depth": None if depth is None else asdict(Input.of(depth)),
    }


def _told(options: SpatialOptions) -> dict[str, object]:
    """The options without where files lie."""
    table: dict[str, dict[str, object]] = asdict(options)
    depth = options.depth.path
    if depth is not None:
        table["depth"]["depth"] = name_of(depth)
    for name in ("prior", "autoencoder"):
        table["generative"][name] = named(str(table["generative"][name]))
    return dict(table)


def _finished(folder: Path, options: SpatialOptions, source: Path) -> SpatialResult | None:
    """What a former run has made of the same clip by the same options; None: nothing, or not all of it.

    Raises:
        UsageError: it was made of another clip, by other options, or by another version.
        DamagedMediaError: what the folder tells cannot be read.
    """
    if WorkFolder.waits(folder) or not all((folder / name).is_file() for name in (NAME, SCENE)):
        return None
    asked = json.loads(json.dumps(_made_of(options, source)))
    try:
        if (folder / NAME).stat().st_size > MOST_BYTES:
            raise ValueError(NAME)
        told = json.loads((folder / NAME).read_text())
        if all(told.get(name) == value for name, value in asked.items()):
            figures = dict(told["figures"])
            if not set(figures) >= FIGURES or not all(isinstance(value, int | float) for value in figures.values()):
                raise ValueError(figures)
            return SpatialResult(folder, folder / SCENE, int(told["frames"]), int(told["views"]), 0.0, figures)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DamagedMediaError("it cannot be read", folder / NAME, "make it again with --overwrite") from error
    what = "the finished scene was made with other options, of another clip, or by another version"
    raise UsageError(what, folder, "--overwrite makes it anew")


def _path(rig: Rig) -> Cameras:
    """The clip's own camera, and the outermost ones."""
    order = rig.shares[:, 0].argsort(kind="stable")
    chosen = [rig.source, int(order[0]), int(order[-1])]
    return Cameras(rig.cameras.viewmats[chosen], rig.cameras.Ks[chosen], rig.cameras.height, rig.cameras.width)


def _facts(figures: dict[str, float | int]) -> dict[str, str]:
    """What the page tells of the fit."""
    return {
        "Gaussians": f"{int(figures['gaussians']):,}",
        "Agreement with its frames": f"{figures['psnr']:g} dB",
        "Depth error": f"{100 * figures['depth_error']:.1f} %",
    }
