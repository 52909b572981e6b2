"""A shot seen by a row or ring of cameras, holes painted: what a scene is fitted to (S2VG; s2vg.md 1.2 to 1.8)."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from diorama.core.camera import FOCAL_WIDTHS, Cameras, middle
from diorama.core.progress import Progress
from diorama.errors import UsageError
from diorama.geometry.fit import PosedFrames
from diorama.perception.upsample import upsample
from diorama.pipelines.frames import Seen
from diorama.pipelines.matrix_config import Generative, Warp
from diorama.pipelines.matrix_fill import Painter
from diorama.pipelines.matrix_steady import steadied
from diorama.pipelines.matrix_store import Painted, WindowStore
from diorama.pipelines.matrix_views import FARTHEST, Motions, Views, camera_shares, motions_of, warp_views
from diorama.pipelines.spatial_config import SpatialConfig

INVENTED = 0.5
"""How much a pixel counts that no frame shows."""
LEAST = 16
"""Pixels a side."""


@dataclass(frozen=True, eq=False)
class Shot:
    """Frames of one shot, small.

    Attributes:
        frames: 8 bits.
        inverse_depth: 0.1 (farthest) to 1.1 (nearest) 1/m, as published.
        times: seconds from the first frame.
        places: their numbers in the clip.
    """

    frames: UInt8[np.ndarray, "t h w 3"]
    inverse_depth: Float32[np.ndarray, "t h w"]
    times: Float32[np.ndarray, " t"]
    places: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class SmallFrame:
    """A frame at the size of the fit: all that is kept of it while a shot is read.

    Attributes:
        image: 8 bits.
        inverse_depth: 0 to 1.
        seconds: when it is shown.
        place: its number in the clip.
    """

    image: UInt8[np.ndarray, "h w 3"]
    inverse_depth: Float32[np.ndarray, "h w"]
    seconds: float
    place: int


def shrunk(seen: Seen, seconds: float, config: SpatialConfig) -> SmallFrame:
    """A frame at the size of the fit."""
    image = seen.tracked.frame.image
    height, width = image.shape[:2]
    small = min(config.width, width)
    size = small, max(round(height * small / width), LEAST)
    picture = image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)
    full = upsample(seen.inverse_depth, image)
    return SmallFrame(
        np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8),
        np.asarray(cv2.resize(full, size, interpolation=cv2.INTER_AREA), np.float32),
        seconds,
        seen.place,
    )


def shot_of(frames: list[SmallFrame], config: SpatialConfig) -> Shot:
    """Frames evenly apart.

    Raises:
        UsageError: no frames.
    """
    if not frames:
        raise UsageError("no frame could be read", "spatial")
    count = min(len(frames), config.most_frames)
    chosen = [frames[i] for i in np.unique(np.round(np.linspace(0, len(frames) - 1, count)).astype(int))]
    times = np.array([frame.seconds - chosen[0].seconds for frame in chosen], np.float32)
    near = np.clip(np.stack([frame.inverse_depth for frame in chosen]), 0, 1) + np.float32(FARTHEST)
    pictures = np.stack([frame.image for frame in chosen])
    return Shot(pictures, near.astype(np.float32), times, tuple(frame.place for frame in chosen))


@dataclass(frozen=True, eq=False)
class Rig:
    """Cameras around the clip's own.

    Attributes:
        cameras: all of them.
        shares: where they stand, in units of the baseline.
        source: the clip's own.
    """

    cameras: Cameras
    shares: Float32[np.ndarray, "v 2"]
    source: int


def rig_of(config: SpatialConfig, height: int, width: int) -> Rig:
    """The cameras of a layout; a ring gets the clip's own in its middle."""
    shares, source = camera_shares(config.layout, config.views)
    if source is None:
        shares, source = np.concatenate([np.zeros((1, 2)), shares]), 0
    cameras = middle(len(shares), config.baseline, height=height, width=width)
    viewmats = cameras.viewmats.copy()
    viewmats[:, :2, 3] = -shares * config.baseline
    return Rig(Cameras(viewmats, cameras.Ks, height, width), shares.astype(np.float32), source)


def posed_frames(
    shot: Shot,
    rig: Rig,
    config: SpatialConfig,
    painter: Painter | None,
    *,
    windows: tuple[Generative, Path],
    progress: Progress,
) -> PosedFrames:
    """The shot from all cameras.

    Args:
        painter: None leaves the guess in the holes.
        windows: how long they are, and where finished ones are kept.
        progress: told of each window.
    """
    width = shot.frames.shape[2]
    disparity = (shot.inverse_depth * np.float32(FOCAL_WIDTHS * width * config.baseline)).astype(np.float32)
    asked: Warp = "subpixel" if painter is None else painter.settings.warp
    row = config.layout == "middle"
    kind: Warp = asked if row else "multiplane"
    motions = motions_of(shot.frames) if row and (painter is None or painter.settings.follows) else Motions()
    views = warp_views(
        shot.frames,
        disparity,
        shot.inverse_depth - np.float32(FARTHEST),
        rig.shares.astype(float),
        warp=kind,
        motions=motions if painter is None or painter.settings.borrows else None,
    )
    pictures = views.pictures
    if painter is not None:
        pictures = _painted(views, shot, painter, windows, progress)
        if painter.settings.steadies:
            pictures = steadied(pictures, views, motions, disparity)
    weights = np.where(views.known, np.float32(1), np.float32(INVENTED))
    return PosedFrames(pictures, rig.cameras, shot.times, 1 / shot.inverse_depth, rig.source, weights)


def _painted(
    views: Views, shot: Shot, painter: Painter, windows: tuple[Generative, Path], progress: Progress
) -> UInt8[np.ndarray, "v t h w 3"]:
    """All views in windows; what a window has painted is known to the next."""
    config, folder = windows
    out, known = views.pictures.copy(), views.known.copy()
    count, step = out.shape[1], config.window - config.overlap
    starts = range(0, max(count - config.overlap, 1), step)
    store = WindowStore(folder)
    progress.begin("paint", len(starts))
    for start in starts:
        end = min(start + config.window, count)
        painted = store.load(end, out[:, start:end].shape)
        if painted is None:
            numbers = shot.places[start:end]
            painted = Painted(
                painter.paint(out[:, start:end], known[:, start:end], source=views.source, numbers=numbers)
            )
            store.save(end, painted)
        out[:, start:end], known[:, start:end] = painted.paint, True
        progress.advance()
    return out
