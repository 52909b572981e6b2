"""Clips whose other eye is known: what a stereo engine is given, what it should make, and which pixels count.

Clips of the theatre are drawn for both eyes. Of a clip that was filmed with one eye the frame counts as the right one
and the left is warped from it; what is lost on the way is what the engine must find again (the protocol of GRT, specs
s2vg.md 1.10).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from diorama.core.camera import Cameras
from diorama.core.video import Frame
from diorama.errors import UsageError
from diorama.geometry.warp import TEAR, eye_warp
from diorama.media.decode import ReadOptions
from diorama.media.read import open_media
from diorama.perception.depth import EmbeddedDepth
from diorama.perception.extend import edge_fill
from diorama.perception.shots import track
from diorama.perception.upsample import upsample
from diorama.theatre.cameras import KINDS, Kind
from diorama.theatre.clip import Clip, Script, random_clip
from diorama.theatre.render import FrameView
from diorama.train.draws import seed_of
from diorama.train.split import theatre_seed

NEAR = 2
"""Percent of a picture's pixels that count as its near things."""
PARALLAX = (0.04, 0.10)
"""Of near things, in picture widths."""
SLACK = 1.5
"""Factor by which a clip may miss its parallax."""
FPS = 12.0
SKY = 1e4
"""Metres at which the sky counts as a surface."""
OFF = 0.02
"""Share of a depth, and metres, by which one and the same surface may differ between two frames."""
FILMED_PARALLAX = 0.05
"""Of the nearest point of clips that were filmed with one eye, in picture widths."""
STEP = 1.0
"""Pixels of parallax by which something must be nearer to hide what is behind it."""
FINE = 256
"""Steps of a pixel in which parallax is carried along by a warp."""
TRIES = 40
_MOVING: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind != "static")
Frames = UInt8[np.ndarray, "t h w 3"]
Maps = Float32[np.ndarray, "t h w"]
Masks = Bool[np.ndarray, "t h w"]


@dataclass(frozen=True, eq=False)
class StereoCase:
    """A clip for the left eye, and the truth for the right one.

    Attributes:
        name: of the clip.
        tag: the group of tables it belongs to.
        left: what is given.
        right: what should be made.
        disparity: parallax of `left`, pixels, 0 at infinity.
        holes: pixels of `right` that count.
        sides: those that lie beyond the side of `left`.
        never: those that no frame of the clip shows; None where that is not known. A moving surface counts as shown
            only in its own frame.
        fps: frames a second.
    """

    name: str
    tag: str
    left: Frames
    right: Frames
    disparity: Maps
    holes: Masks
    sides: Masks
    never: Masks | None = None
    fps: float = FPS

    @property
    def masks(self) -> dict[str, Masks]:
        """Regions that are measured, by name."""
        found = {"holes": self.holes, "sides": self.sides}
        return found if self.never is None else {"never": self.never, **found}

    @cached_property
    def mark(self) -> str:
        """Of all that the clip holds: another clip has another one, whatever its name."""
        found = hashlib.blake2b(repr((self.name, self.tag, self.fps)).encode(), digest_size=8)
        for array in (self.left, self.right, self.disparity, self.holes, self.sides, self.never):
            found.update(b"" if array is None else repr(array.shape).encode() + array.tobytes())
        return found.hexdigest()

    @property
    def label(self) -> str:
        """For files: the name, and what tells the clip from another one of that name."""
        return f"{self.name}-{self.mark[:8]}"

    def start(self, count: int) -> "StereoCase":
        """The first frames."""
        never = None if self.never is None else self.never[:count]
        arrays = {name: getattr(self, name)[:count] for name in ("left", "right", "disparity", "holes", "sides")}
        return replace(self, never=never, **arrays)


@dataclass(frozen=True)
class Size:
    """Of clips.

    Attributes:
        frames: how many.
        height, width: pixels.
    """

    frames: int = 16
    height: int = 256
    width: int = 448

    def __post_init__(self) -> None:
        if self.frames < 2 or self.height < 32 or self.width < 32:
            given = f"{self.frames} frames of {self.width}x{self.height}"
            raise UsageError(given, "bench stereo", "give 2 frames or more, of 32 pixels a side or more")


def theatre_case(number: int, size: Size = Size()) -> StereoCase:
    """Clip `number` of those that no training meets: even ones with a camera that stands, odd ones with a moving one.

    Near things have a parallax of 4 to 10 % of the width.
    """
    still = number % 2 == 0
    base = theatre_seed(0, "held-out")
    for attempt in range(TRIES):
        seed = seed_of("stereo", base, number, attempt)
        wanted = float(np.random.default_rng(seed).uniform(*PARALLAX))
        baseline = 0.1 * wanted / _parallax(random_clip(seed, _script(size, 0.1, still=still, small=True)))
        found = _parallax(random_clip(seed, _script(size, baseline, still=still, small=True)))
        if wanted / SLACK < found < wanted * SLACK:
            clip = random_clip(seed, _script(size, baseline, still=still))
            return _drawn(f"theatre-{number:03d}", clip, size)
    raise UsageError(f"no clip number {number}", "bench stereo", "give another size")


def _script(size: Size, baseline: float, *, still: bool, small: bool = False) -> Script:
    """For clips to be looked over, the same in pictures of a quarter."""
    part = 4 if small and min(size.height, size.width) >= 128 else 1
    return Script(
        size.frames,
        FPS,
        size.height // part,
        size.width // part,
        cameras=("static",) if still else _MOVING,
        occluders=0.5,
        stereo=baseline,
    )


def _parallax(clip: Clip) -> float:
    """Of near things, in picture widths: the mean of the first frame and the last."""
    found = []
    for t in (0, len(clip) - 1):
        depth = clip.frame(t).depth
        near = float(np.percentile(depth[np.isfinite(depth)], NEAR)) if np.isfinite(depth).any() else SKY
        found.append(_baseline(clip) * float(clip.views[0].Ks[t, 0, 0]) / near / depth.shape[1])
    return float(np.mean(found))


def _baseline(clip: Clip) -> float:
    left, right = (view.centers[0] for view in clip.views)
    return float(np.linalg.norm(right - left))


def _drawn(name: str, clip: Clip, size: Size) -> StereoCase:
    left, right = ([clip.frame(t, view) for t in range(size.frames)] for view in (0, 1))
    focal, baseline = float(clip.views[0].Ks[0, 0, 0]), _baseline(clip)
    disparity, other = (
        np.stack([focal * baseline / seen.depth for seen in eye]).astype(np.float32) for eye in (left, right)
    )
    pictures = np.stack([seen.image for seen in left])
    holes = ~np.stack([known_pixels(*each) for each in zip(pictures, disparity, strict=True)])
    moves = clip.of_role("actor") + clip.of_role("object")
    never = np.stack([holes[t] & ~_shown(t, holes[t], left, right[t], clip.views, moves) for t in range(size.frames)])
    tag = "standing camera" if clip.filmed == "static" else "moving camera"
    sides = holes & _beyond(other)
    return StereoCase(name, tag, pictures, np.stack([seen.image for seen in right]), disparity, holes, sides, never)


def _beyond(disparity: Maps) -> Masks:
    """Pixels of right pictures that lie beyond the side of the left ones."""
    width = disparity.shape[2]
    return np.arange(width) + disparity + 0.5 >= width


def known_pixels(image: UInt8[np.ndarray, "h w 3"], disparity: Float32[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The pixels of the right eye that a warp of the left one reaches."""
    return eye_warp(image, disparity, eye="right", tear=TEAR)[1]


def _shown(
    number: int,
    asked: Bool[np.ndarray, "h w"],
    left: Sequence[FrameView],
    right: FrameView,
    views: tuple[Cameras, ...],
    moves: Sequence[int],
) -> Bool[np.ndarray, "h w"]:
    """Which of the asked pixels of a right picture any left one shows, by the true surfaces."""
    rows, columns = np.nonzero(asked)
    shown = np.zeros_like(asked)
    if not len(rows):
        return shown
    depth = np.where(np.isfinite(right.depth), right.depth, SKY)[rows, columns].astype(np.float64)
    pixels = np.stack([columns, rows], axis=1) + 0.5
    points = views[1][number : number + 1].unproject(pixels[None], depth[None])[0]
    stands = ~np.isin(right.owner[rows, columns], moves)
    found = np.zeros(len(rows), bool)
    for t, seen in enumerate(left):
        there = _sees(seen, views[0][t : t + 1], points)
        found |= there if t == number else there & stands
    shown[rows, columns] = found
    return shown


def _sees(seen: FrameView, camera: Cameras, points: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Whether the surface that a camera sees at a point's pixel is the point's own."""
    places, away = (each[0] for each in camera.project(points))
    height, width = seen.depth.shape
    inside = (away > 0) & (places >= 0).all(axis=1) & (places[:, 0] < width) & (places[:, 1] < height)
    x, y = (np.where(inside, places[:, axis], 0).astype(int) for axis in (0, 1))
    surface = np.where(np.isfinite(seen.depth), seen.depth, SKY)[y, x]
    return inside & (np.abs(surface - away) < OFF * away + OFF)


def filmed_case(path: Path, size: Size = Size()) -> StereoCase:
    """The first frames of a clip that was filmed with one eye, as large as fits, by its embedded depth.

    Raises:
        UsageError: fewer than 2 frames.
        MediaError: it cannot be read.
    """
    video = open_media(path, ReadOptions()).video
    scale = min(1.0, size.width / max(video.width, video.height))
    to = max(round(video.width * scale / 8), 1) * 8, max(round(video.height * scale / 8), 1) * 8
    images = [_resized(frame.image, to) for frame in video[: size.frames]]
    if len(images) < 2:
        raise UsageError(f"{len(images)} frames", path, "give a clip of 2 or more")
    frames = [Frame(image, t, 1, t) for t, image in enumerate(images)]
    nearness = [upsample(d, i) for d, i in zip(EmbeddedDepth()(track(frames)), images, strict=True)]
    case = warped_case(path.stem, np.stack(images), np.float32(FILMED_PARALLAX * to[0]) * np.stack(nearness))
    return replace(case, fps=float(video.fps))


def warped_case(name: str, right: Frames, disparity: Maps) -> StereoCase:
    """A case of frames that count as the right eye's, with their parallax in pixels, 0 at infinity."""
    left, parallax, holes = [], [], []
    for image, shift in zip(right, disparity, strict=True):
        picture, known = eye_warp(image, shift, eye="left", tear=TEAR)
        left.append(edge_fill(picture, known, eye="left"))
        parallax.append(_carried(shift))
        holes.append(_lost(shift))
    lost = np.stack(holes)
    sides = lost & _beyond(disparity)
    return StereoCase(name, "filmed with one eye", np.stack(left), right, np.stack(parallax), lost, sides)


def _carried(disparity: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Parallax of a right picture as its left one has it."""
    fine = np.clip(np.rint(disparity * FINE), 0, np.iinfo(np.uint16).max).astype(np.uint16)
    warped, known = eye_warp(np.repeat(fine[..., None], 3, axis=2), disparity, eye="left", tear=TEAR)
    return (edge_fill(warped, known, eye="left")[..., 0] / np.float32(FINE)).astype(np.float32)


def _lost(disparity: Float32[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels of a right picture that its left one does not show: beyond its side, or behind something nearer."""
    height, width = disparity.shape
    goal = np.floor(np.arange(width) + disparity + 0.5).astype(int)
    inside = goal < width
    rows = np.broadcast_to(np.arange(height)[:, None], goal.shape)
    nearest = np.zeros((height, width), np.float32)
    np.maximum.at(nearest, (rows[inside], goal[inside]), disparity[inside])
    return ~inside | (nearest[rows, np.minimum(goal, width - 1)] > disparity + STEP)


def _resized(image: np.ndarray, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    bright = image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)
    return np.asarray(cv2.resize(bright, size, interpolation=cv2.INTER_AREA))
