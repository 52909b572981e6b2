"""A way to the other eye through a 4D scene: moving Gaussians fitted to the frame matrix, seen from the right."""

from dataclasses import dataclass

import numpy as np

from diorama.bench._stereo_makers import Made
from diorama.bench._stereo_truth import StereoCase
from diorama.core.camera import FOCAL_WIDTHS, line
from diorama.diffusion.prior import Prior
from diorama.geometry.fit import FitConfig, PosedFrames, fit
from diorama.geometry.splat import splat
from diorama.pipelines.matrix_config import MatrixSettings
from diorama.pipelines.matrix_fill import Painter
from diorama.pipelines.matrix_steady import steadied
from diorama.pipelines.matrix_views import camera_shares, motions_of, warp_views
from diorama.pipelines.spatial_frames import INVENTED

VIEWS = 4
NEAREST = 1.0
"""Metres to the nearest point."""
FARTHEST = 100.0


@dataclass(frozen=True, eq=False)
class SceneWay:
    """Moving Gaussians.

    Attributes:
        prior: what paints the views that they are fitted to.
        settings: of the quality.
        config: of the fit.
    """

    prior: Prior
    settings: MatrixSettings
    config: FitConfig

    def __call__(self, case: StereoCase) -> Made:
        """Paint views from one eye to the other, fit, and render the right one."""
        count, height, width = case.disparity.shape
        shares, source = camera_shares("right", VIEWS)
        assert source is not None
        settings, motions = self.settings, motions_of(case.left)
        borrowed = motions if settings.borrows else None
        near = (case.disparity / max(float(case.disparity.max()), 1e-3)).astype(np.float32)
        views = warp_views(case.left, case.disparity, near, shares, warp=settings.warp, motions=borrowed)
        painter = Painter(self.prior, settings, kept="all")
        paint = painter.paint(views.pictures, views.known, source=source, numbers=range(count))
        if settings.steadies:
            paint = steadied(paint, views, motions, case.disparity)
        baseline = NEAREST * float(case.disparity.max()) / (FOCAL_WIDTHS * width)
        depth = np.float32(baseline * FOCAL_WIDTHS * width) / np.maximum(case.disparity, 1e-3)
        rig = line(VIEWS, baseline, height=height, width=width)
        times = (np.arange(count) / case.fps).astype(np.float32)
        weights = np.where(views.known, np.float32(1), np.float32(INVENTED))
        posed = PosedFrames(paint, rig, times, np.minimum(depth, np.float32(FARTHEST)), source, weights)
        scene = fit(posed, self.config)
        drawn = [splat(scene.at(float(time)), rig[VIEWS - 1 :]).color for time in times]
        return Made(np.rint(np.clip(np.stack(drawn), 0, 1) * 255).astype(np.uint8), painter.counted)
