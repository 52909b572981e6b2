"""Straight lines and the point where those that lead away from the camera meet."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

Segments = Float64[np.ndarray, "n 4"]

LEAST = 0.035  # shortest line used, in picture units
MOST = 100  # longest lines used
PAIRED = 32  # ... of which pairs are intersected
TOLERANCE = np.sin(np.radians(2.0))


@dataclass(frozen=True)
class Vanishing:
    """A vanishing point in picture units: origin at the centre, x right, y down, the longer side is 1.

    Attributes:
        confidence: 0..1; how clearly this point beats every other point elsewhere.
    """

    x: float
    y: float
    confidence: float


NOWHERE = Vanishing(0.0, 0.0, 0.0)


def find_segments(grey: UInt8[np.ndarray, "h w"]) -> Segments:
    """The longest straight edges, longest first, as x0, y0, x1, y1 in picture units (see `Vanishing`)."""
    found = cv2.createLineSegmentDetector().detect(grey)[0]
    if found is None:
        return np.zeros((0, 4))
    height, width = grey.shape
    center = np.array([width, height, width, height]) / 2
    lines = (found.reshape(-1, 4).astype(np.float64) - center) / max(height, width)
    length = np.hypot(lines[:, 2] - lines[:, 0], lines[:, 3] - lines[:, 1])
    order = np.argsort(-length, kind="stable")
    return lines[order[length[order] > LEAST]][:MOST]


def vanishing_point(lines: Segments) -> Vanishing:
    """Where the lines along the viewing direction meet.

    Every pair of the longest lines proposes its intersection; all lines vote with their length where they point to it
    within two degrees. Upright and level lines lie across the view and stay out. A bundle of lines that all lie in one
    direction fixes no point, so the spread of directions counts. The best point is trusted by its lead over the
    best point elsewhere: for texture and clutter the two are about equal.
    """
    step = lines[:, 2:] - lines[:, :2]
    slope = np.degrees(np.arctan2(np.abs(step[:, 1]), np.abs(step[:, 0])))
    lines = lines[(slope > 2) & (slope < 75)]
    points = _intersections(lines[:PAIRED])
    if len(points) == 0:
        return NOWHERE
    votes, score = _votes(lines, points)
    best = int(score.argmax())
    elsewhere = np.hypot(*(points - points[best]).T) > 0.15
    rival = float(score[elsewhere].max()) if elsewhere.any() else 0.0
    lead = score[best] / (rival + 1e-3)
    confidence = np.clip((lead - 1.3) / 1.2, 0, 1) * np.clip((votes[best] - 0.04) / 0.12, 0, 1)
    return Vanishing(float(points[best, 0]), float(points[best, 1]), float(confidence))


def _intersections(lines: Segments) -> Float64[np.ndarray, "m 2"]:
    """Intersections of all pairs, of which those stay that can be seen down a corridor, a street or a wall."""
    if len(lines) < 3:
        return np.zeros((0, 2))
    ones = np.ones((len(lines), 1))
    through = np.cross(np.hstack([lines[:, :2], ones]), np.hstack([lines[:, 2:], ones]))
    a, b = np.triu_indices(len(lines), 1)
    meet = np.cross(through[a], through[b])
    meet = meet[np.abs(meet[:, 2]) > 1e-9]
    points = meet[:, :2] / meet[:, 2:]
    return points[(np.abs(points[:, 0]) < 3.0) & (points[:, 1] > -0.8) & (points[:, 1] < 0.34)]


def _votes(lines: Segments, points: Float64[np.ndarray, "m 2"]) -> tuple[Float64[np.ndarray, "m"], ...]:
    """Length of the lines that agree with each point, by spread of direction; the same with a prior on the horizon."""
    step, middle = lines[:, 2:] - lines[:, :2], (lines[:, 2:] + lines[:, :2]) / 2
    length = np.hypot(*step.T)
    towards = points[:, None] - middle[None]
    distance = np.hypot(towards[..., 0], towards[..., 1])
    off = np.abs(towards[..., 0] * step[:, 1] - towards[..., 1] * step[:, 0]) / (distance * length + 1e-9)
    vote = np.exp(-((off / TOLERANCE) ** 2)) * (length**2 / (length + 0.05)) * (distance > 0.08)
    double = 2 * np.arctan2(towards[..., 1], towards[..., 0])
    total = vote.sum(1) + 1e-9
    spread = 1 - np.hypot((vote * np.cos(double)).sum(1), (vote * np.sin(double)).sum(1)) / total
    strength = total * np.sqrt(np.maximum(spread, 0))
    return strength, strength * np.exp(-(((points[:, 1] + 0.06) / 0.32) ** 2))
