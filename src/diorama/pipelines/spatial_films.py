"""Films of a fitted scene: an orbit, a stereo pair, slow motion; and how well it agrees with what it was fitted to."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float32, UInt8

from diorama.core.camera import Cameras, StereoRig
from diorama.core.gaussians import MovingGaussians
from diorama.core.progress import Progress
from diorama.geometry.fit import PosedFrames
from diorama.geometry.splat import splat
from diorama.media.atomic import write_bytes
from diorama.media.boxes import inject
from diorama.media.encoding import Encoding
from diorama.media.formats import container_tags
from diorama.media.write import FrameWriter, StreamSpec

ENLARGED = 2
"""How much larger films are than what the scene was fitted to."""
SWAY = 0.4
"""How far an orbit goes, in parts of the baseline to each side; beyond half of it nothing was seen."""
LEAST_SECONDS = 4.0
"""Of an orbit: a short clip is played again and again."""
LEAST_ALPHA = 0.5
"""Of a pixel whose depth is compared."""


@dataclass(frozen=True, eq=False)
class Filmed:
    """A scene with the camera of its clip.

    Attributes:
        moving: the scene.
        camera: of the clip.
        baseline: between the outermost cameras that it was fitted to, metres.
        fps: of the clip.
        focus: inverse depth that a stereo pair puts on the screen, 1/m.
    """

    moving: MovingGaussians
    camera: Cameras
    baseline: float
    fps: float
    focus: float

    @property
    def large(self) -> Cameras:
        """The camera for films."""
        return self.camera.scaled(self.camera.height * ENLARGED, self.camera.width * ENLARGED)

    def times(self, per_frame: int = 1) -> Float32[np.ndarray, " n"]:
        """Moments of the clip, `per_frame` of them for each of its frames."""
        count = max(round(self.moving.seconds * self.fps * per_frame) + 1, 1)
        return (self.moving.times[0] + np.arange(count) / (self.fps * per_frame)).astype(np.float32)


def picture(moving: MovingGaussians, time: float | int, camera: Cameras) -> UInt8[np.ndarray, "h w 3"]:
    """The scene at a moment from one camera."""
    color = splat(moving.at(time), camera).color
    return np.rint(np.clip(color, 0, 1) * 255).astype(np.uint8)


def beside(camera: Cameras, x: float, y: float = 0.0) -> Cameras:
    """The same camera, metres to the right and down."""
    viewmats = camera.viewmats.copy()
    viewmats[:, :2, 3] -= x, y
    return Cameras(viewmats, camera.Ks, camera.height, camera.width)


def orbit(filmed: Filmed) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The clip from a camera that goes round on a small ellipse, once in the whole film."""
    times = filmed.times()
    count = max(len(times), round(LEAST_SECONDS * filmed.fps))
    for number in range(count):
        angle = 2 * np.pi * number / count
        x, y = SWAY * filmed.baseline * np.sin(angle), SWAY * filmed.baseline * 0.3 * np.cos(angle)
        there = len(times) - 1 - abs(number % max(2 * len(times) - 2, 1) - (len(times) - 1))  # there and back
        yield picture(filmed.moving, float(times[there]), beside(filmed.large, float(x), float(y)))


def stereo_pair(filmed: Filmed, eyes: float) -> Iterator[UInt8[np.ndarray, "h w2 3"]]:
    """Both eyes side by side, at any distance of the eyes."""
    large = filmed.large
    rig = StereoRig(float(large.Ks[0, 0, 0]), eyes, filmed.focus).cameras(large.height, large.width)
    for time in filmed.times().tolist():
        yield np.concatenate([picture(filmed.moving, time, rig[eye : eye + 1]) for eye in range(2)], axis=1)


def slow_motion(filmed: Filmed, per_frame: int) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The clip from its own camera with pictures between its frames."""
    for time in filmed.times(per_frame).tolist():
        yield picture(filmed.moving, time, filmed.large)


def write_film(
    path: Path, frames: Iterator[UInt8[np.ndarray, "h w 3"]], fps: float, progress: Progress, *, sbs: bool = False
) -> int:
    """Write a film; returns how many frames it has. Side-by-side films say so to players."""
    rate = Fraction(fps).limit_denominator(1001)
    first = next(frames)
    spec = StreamSpec(first.shape[1], first.shape[0], 1 / rate, rate)
    with TemporaryDirectory() as folder:  # containers go by the suffix, which a partial file lacks
        made, count = Path(folder) / f"film{path.suffix}", 0
        with FrameWriter(made, spec, Encoding().resolved(path.suffix, 8)) as writer:
            for count, frame in enumerate(_from(first, frames), 1):
                writer.write(frame, count - 1)
                progress.advance()
        tags = container_tags("sbs").mp4
        if sbs and tags is not None:
            tagged = made.with_name(f"tagged{path.suffix}")
            inject(made, tagged, tags)
            made = tagged
        write_bytes(path, made.read_bytes())
    return count


def _from(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from rest


def agreement(posed: PosedFrames, moving: MovingGaussians) -> dict[str, float]:
    """How a scene agrees with its frames: PSNR (dB), relative error of depth, and flicker (levels).

    Flicker is the mean absolute change of the error from frame to frame, of the reference view.
    """
    squared, errors, relative = [], [], []
    for t, time in enumerate(posed.times.tolist()):
        now = moving.at(time)
        for view in range(len(posed.frames)):
            drawn = splat(now, posed.rigs[t][view : view + 1])
            error = np.clip(drawn.color, 0, 1) * 255 - posed.frames[view, t]
            squared.append(float(np.square(error).mean()))
            if view == posed.reference:
                errors.append(error)
                seen = (drawn.alpha > LEAST_ALPHA) & np.isfinite(drawn.depth)
                depth = posed.depth if posed.depth.ndim == 3 else posed.depth[view]
                relative.append(float(np.abs(drawn.depth / depth[t] - 1)[seen].mean()) if seen.any() else 1.0)
    changes = [float(np.abs(b - a).mean()) for a, b in pairwise(errors)]
    return {
        "psnr": round(float(10 * np.log10(255**2 / max(float(np.mean(squared)), 1e-6))), 2),
        "depth_error": round(float(np.mean(relative)), 4),
        "flicker": round(float(np.mean(changes)), 3) if changes else 0.0,
    }
