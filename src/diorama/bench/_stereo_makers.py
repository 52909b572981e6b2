"""What is measured: each way from a clip for the left eye to the right one, through the engines as they ship."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8

from diorama.bench._stereo_truth import Frames, Maps, StereoCase
from diorama.core.camera import Cameras
from diorama.core.gaussians import Gaussians
from diorama.core.video import Frame
from diorama.diffusion.matrix_passes import Counted
from diorama.diffusion.prior import Prior
from diorama.geometry.splat import splat
from diorama.geometry.warp import TEAR, eye_warp
from diorama.perception.base import Tracked
from diorama.perception.extend import edge_fill
from diorama.perception.fill import telea_fill
from diorama.perception.flow import dense_flow
from diorama.perception.shots import reduce
from diorama.perception.stabilise import stabilise
from diorama.pipelines.frames import STEADY, Seen, Since, Viewed, fast_eyes
from diorama.pipelines.matrix_config import Generative, MatrixSettings
from diorama.pipelines.matrix_fill import Painter
from diorama.pipelines.matrix_frames import MatrixMaker
from diorama.pipelines.matrix_views import motions_of, warp_views
from diorama.pipelines.presets import Look
from diorama.train.draws import seed_of

NOISE = 0.03
"""Standard deviation of noise on depth, in its range over the clip."""
GRAIN = (6, 10)
"""Places down and across at which that noise is drawn for each frame."""
SPREAD = 0.5
"""Standard deviation of a pixel's Gaussian, pixels."""
SOLID = 0.99
COVERED = 0.5
"""Coverage from which on Gaussians count as a surface."""


@dataclass(frozen=True, eq=False)
class Made:
    """What a way made of a clip.

    Attributes:
        right: the other eye.
        counted: what a network was asked for it.
    """

    right: Frames
    counted: Counted | None = None


Way = Callable[[StereoCase], Made]


def telea(case: StereoCase) -> Made:
    """Every frame by itself, by OpenCV's inpainting."""
    return Made(np.stack([telea_fill(*each) for each in _warped(case)]))


def fast(case: StereoCase) -> Made:
    """The fast engine."""
    seen, look = seen_of(case)
    return Made(_right(fast_eyes(seen, Since(), look)))


def flow(case: StereoCase) -> Made:
    """Background that the frames around show, brought along by flow from both sides of time, and its extension."""
    inverse, _, _ = _spanned(case.disparity)
    shares = np.array([[0.0, 0.0], [1.0, 0.0]])
    views = warp_views(case.left, case.disparity, inverse, shares, motions=motions_of(case.left))
    return Made(views.pictures[1])


def gaussians(case: StereoCase) -> Made:
    """Each frame's pixels as Gaussians at their depth, seen by the other eye; what they leave open is extended."""
    return Made(np.stack([_splatted(*each) for each in zip(case.left, case.disparity, strict=True)]))


@dataclass(frozen=True, eq=False)
class MatrixWay:
    """The generative engine.

    Attributes:
        prior: what paints.
        settings: of the quality.
        config: of the engine.
    """

    prior: Prior
    settings: MatrixSettings
    config: Generative

    def __call__(self, case: StereoCase) -> Made:
        """As `diorama stereo --engine generative` does it, depth known."""
        seen, look = seen_of(case)
        painter = Painter(self.prior, self.settings, self.config.seed)
        with TemporaryDirectory(prefix="diorama-") as folder:
            maker = MatrixMaker(painter, self.config, look, Path(folder))
            return Made(_right(maker(seen, Since())), painter.counted)


class WithoutRows:
    """A prior that is asked about single views alone, as many times (a `diorama.diffusion.prior.Prior`)."""

    rows = False

    def __init__(self, prior: Prior) -> None:
        self._prior = prior
        self.name, self.size, self.multiple = prior.name, prior.size, prior.multiple
        self.shortest, self.reads_guess = prior.shortest, prior.reads_guess
        self.fitting, self.ladder = prior.fitting, prior.ladder
        self.encode, self.decode, self.denoiser = prior.encode, prior.decode, prior.denoiser

    @property
    def longest(self) -> int:
        """Of the prior."""
        return self._prior.longest

    @property
    def device(self) -> torch.device:
        """Of the prior."""
        return self._prior.device


def noisy(case: StereoCase) -> StereoCase:
    """The clip with a depth that is a little off, otherwise in every frame: what networks of single pictures give."""
    inverse, low, span = _spanned(case.disparity)
    rng = np.random.default_rng(seed_of("noise", case.name))
    height, width = inverse.shape[1:]
    off = [cv2.resize(rng.normal(0, NOISE, GRAIN), (width, height), interpolation=cv2.INTER_CUBIC) for _ in inverse]
    return replace(case, disparity=_scaled(np.clip(inverse + np.stack(off), 0, 1), low, span))


def steadied(case: StereoCase) -> StereoCase:
    """The clip with its depth averaged over time, as the pipeline does where a network flickers."""
    inverse, low, span = _spanned(case.disparity)
    maps = stabilise(zip(_tracked(case), inverse, strict=True), dense_flow, STEADY)
    return replace(case, disparity=_scaled(np.stack(list(maps)), low, span))


def seen_of(case: StereoCase) -> tuple[list[Seen], Look]:
    """A clip as the engines take it: frames of one shot with their depth, and the look that gives the parallax."""
    inverse, low, span = _spanned(case.disparity)
    look = Look(divergence=100 * span / case.left.shape[2], source_eye="left")
    tracked = zip(_tracked(case), inverse, strict=True)
    return [Seen(t, frame, 0, depth, -low / span) for t, (frame, depth) in enumerate(tracked)], look


def _tracked(case: StereoCase) -> list[Tracked]:
    small = [reduce(image) for image in case.left]
    flows = [None, *(dense_flow(here, before) for before, here in pairwise(small))]
    parts = zip(case.left, small, flows, strict=True)
    return [Tracked(Frame(image, t, 1, t), 0, t == 0, less, way) for t, (image, less, way) in enumerate(parts)]


def _spanned(disparity: Maps) -> tuple[Maps, float, float]:
    """Parallax as nearness in 0 to 1, its least, and its range in pixels."""
    low, high = float(disparity.min()), float(disparity.max())
    span = max(high - low, 1e-3)
    return ((disparity - np.float32(low)) / np.float32(span)).astype(np.float32), low, span


def _scaled(inverse: Float[np.ndarray, "t h w"], low: float, span: float) -> Maps:
    return (low + span * inverse).astype(np.float32)


def _warped(case: StereoCase) -> Iterator[tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]]:
    """The right eye with its holes."""
    for image, disparity in zip(case.left, case.disparity, strict=True):
        yield eye_warp(image, disparity, eye="right", tear=TEAR)


def _right(made: Iterator[Viewed]) -> Frames:
    return np.stack([viewed.eyes.views[-1] for viewed in made])


def _splatted(image: UInt8[np.ndarray, "h w 3"], disparity: Float32[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """A picture seen from a metre further right by a camera whose focal length is the width."""
    height, width = disparity.shape
    eyes = np.tile(np.eye(4), (2, 1, 1))
    eyes[1, 0, 3] = -1
    lens = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
    cameras = Cameras(eyes, np.stack([lens, lens]), height, width)
    depth = (width / np.maximum(disparity, 0.05)).astype(np.float64).ravel()
    rows, columns = np.mgrid[:height, :width]
    places = np.stack([columns.ravel(), rows.ravel()], axis=1) + 0.5
    means = cameras[:1].unproject(places[None], depth[None])[0].astype(np.float32)
    count = len(means)
    soft = Gaussians(
        means,
        np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        np.repeat((SPREAD * depth / width).astype(np.float32)[:, None], 3, axis=1),
        np.full(count, SOLID, np.float32),
        image.reshape(-1, 3).astype(np.float32) / 255,
    )
    found = splat(soft, cameras[1:])
    known = found.alpha >= COVERED
    color = found.color / np.maximum(found.alpha, COVERED)[..., None]
    drawn = np.rint(np.clip(color, 0, 1) * 255).astype(np.uint8)
    return edge_fill(np.where(known[..., None], drawn, 0).astype(np.uint8), known)
