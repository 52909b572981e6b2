"""From a picture or a clip to its subject from all around, in colours and in parts (SP4D)."""

import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from diorama.core.progress import Progress, Silent
from diorama.errors import InterruptedRunError, UsageError
from diorama.media.lock import RunLock
from diorama.pipelines.cutout import cutouts
from diorama.pipelines.decompose import folder_to_make
from diorama.pipelines.part_views import NAME, RADIUS, PartViews, write_views
from diorama.pipelines.parts_config import PartsConfig
from diorama.pipelines.rig_mesh import MESHES
from diorama.pipelines.rig_views import best_elevation
from diorama.rigging.silhouette import silhouette

if TYPE_CHECKING:
    from diorama.diffusion.parts_generate import MadeViews, PartsSampleConfig

ELEVATION = 10.0
"""Degrees: the mean of what the embedded network has seen; that of a picture is not known."""


@dataclass(frozen=True)
class PartsResult:
    """What was made: the folder, how many views and frames, and what is to be known of it."""

    folder: Path
    views: int
    frames: int
    seconds: float
    notes: tuple[str, ...] = field(default=())


def parts(
    source: str | Path,
    output: str | Path,
    config: PartsConfig = PartsConfig(),
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PartsResult:
    """Make the folder of part views of a picture or a clip.

    Args:
        source: a picture, a clip, or a folder of numbered pictures.
        output: the folder to make.
        config: what is looked at, and by which network.
        overwrite: replace an existing folder of part views.
        progress: told of steps and notes.

    Raises:
        DioramaError: its children say what was wrong and what to do; nothing appears unless it is complete.
    """
    began, told = time.perf_counter(), progress or Silent()
    given = [Path(name) for name in (source, config.mask, config.model, config.segmenter) if name]
    inputs = [path for path in given if path.exists()]
    target = folder_to_make(output, inputs, kind="part views", mark=NAME, overwrite=overwrite)
    with RunLock(target):
        try:
            views, notes = views_of_source(source, config, told)
            options = {key: value for key, value in asdict(config).items() if key != "mask"}
            options |= {name: Path(options[name]).name for name in ("model", "segmenter")}  # not where they lie
            write_views(target, views, overwrite=overwrite, note={"options": options, "notes": list(notes)})
        except KeyboardInterrupt as stop:
            raise InterruptedRunError("stopped", target, "run the same command again") from stop
    count, frames, _ = views.shape
    return PartsResult(target, count, frames, time.perf_counter() - began, notes)


def views_of_source(source: str | Path, config: PartsConfig, progress: Progress) -> tuple[PartViews, tuple[str, ...]]:
    """The subject of a picture or a clip from all around, and what is to be known of it."""
    if Path(source).suffix.lower() in MESHES:
        raise UsageError("a model, where a picture or a clip is wanted", source, "diorama rig takes models")
    released = not is_own(config.model)
    cut = cutouts(source, config, size=512 if released else 128, progress=progress)
    if released:
        from diorama.diffusion.sp4d import generate_released

        made = generate_released(
            Path(config.model),
            cut.frames,
            steps=config.steps,
            guidance=config.guidance,
            seed=config.seed,
            progress=progress,
        )
    else:
        made = embedded_views(cut.frames, config, progress)
    azimuths = np.degrees(made.azimuths).astype(np.float32)
    if made.elevation is None:
        shapes = np.stack([silhouette(picture) for picture in made.colored[:, 0]])
        elevation = best_elevation(shapes, azimuths, RADIUS)
    else:
        elevation = made.elevation
    depth = None if made.depth is None else made.depth * np.float32(RADIUS)
    pictures = {"images": made.images, "colored": made.colored, "depth": depth}
    views = PartViews(azimuths, elevation, RADIUS, float(cut.fps), **pictures, guessed=depth is not None)
    return views, cut.notes


def is_own(model: str) -> bool:
    """Whether a model is of the small kind."""
    from diorama.diffusion.checkpoint import peek_shapes

    if model == "embedded":
        return True
    path = Path(model)
    if not path.exists():
        raise UsageError(f"no model {path}", "--model", "give embedded, or a file or folder of weights")
    return path.is_file() and any(name.startswith("relief.") for name in peek_shapes(path))


def own_weights(model: str) -> Path:
    """The file of the small network."""
    from diorama.diffusion.parts_generate import EMBEDDED

    return EMBEDDED if model == "embedded" else Path(model)


def sampling(config: PartsConfig) -> "PartsSampleConfig":
    """How the small network is sampled."""
    from diorama.diffusion.parts_generate import PartsSampleConfig

    how = PartsSampleConfig(seed=config.seed)
    how = how if config.steps is None else replace(how, steps=config.steps)
    return how if config.guidance is None else replace(how, guidance=config.guidance)


def embedded_views(frames: UInt8[np.ndarray, "t h w 3"], config: PartsConfig, progress: Progress) -> "MadeViews":
    """Views by the small network: windows of four frames, each begun with the last frame of the one before."""
    import torch

    from diorama.diffusion.parts_generate import WINDOW, guess_of, load_parts, made_views, views_of

    network, how = load_parts(own_weights(config.model)), sampling(config)
    guess = guess_of(network, frames, how.views)  # of all windows at once: their parts have the first frame's colours
    done: list[torch.Tensor] = []
    start = 0
    while not done or start < len(frames) - 1:
        window = slice(start, start + WINDOW)
        carried = done[-1][:, :, -1:] if done else None
        made = views_of(
            network, frames[window], config=how, carried=carried, hint=guess.codes[:, window], progress=progress
        )
        done.append(made if carried is None else made[:, :, 1:])
        start += WINDOW - 1
    return made_views(network, torch.cat(done, dim=2), guess)
