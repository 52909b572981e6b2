"""The embedded answer to "how does this person stand": the landmark network inside the mediapipe wheel, on one region.

The region is cut out here, so that the network's own mask comes back as it is (256 x 256) and is enlarged only when
somebody wants it; 16-bit frames cost no more than 8-bit ones. The next frame's region follows from this frame's pose,
so that the detector is not needed where nobody is new.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from diorama.core.extras import need
from diorama.core.person import LANDMARKS, PersonFrame, Points
from diorama.core.video import Pixels
from diorama.perception._mediapipe import graph, quiet
from diorama.perception.people_detect import Region, around
from diorama.perception.people_mask import SoftMask, cut_out, region_matrix

SIZE = 256  # pixels of the network's input and of its mask
LEAST_REGION = 16.0  # pixels
SEEN = 0.5  # visibility from which on a landmark counts as seen
NEEDED = 4  # landmarks seen inside the frame, for a person
TRUNK = tuple(LANDMARKS.index(f"{side}_{joint}") for joint in ("shoulder", "hip") for side in ("left", "right"))
BINS = 8  # of each colour channel
LIGHT_BINS = 4

_GRAPH = """
input_stream: "IMAGE:image"
input_stream: "ROI:region"
input_side_packet: "MODEL_COMPLEXITY:model_complexity"
input_side_packet: "ENABLE_SEGMENTATION:enable_segmentation"
output_stream: "LANDMARKS:landmarks"
output_stream: "AUXILIARY_LANDMARKS:auxiliary"
output_stream: "WORLD_LANDMARKS:world"
output_stream: "SEGMENTATION_MASK:mask_image"
output_stream: "MASK:mask"
node {
  calculator: "PoseLandmarkByRoiCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:region"
  input_side_packet: "MODEL_COMPLEXITY:model_complexity"
  input_side_packet: "ENABLE_SEGMENTATION:enable_segmentation"
  output_stream: "LANDMARKS:landmarks"
  output_stream: "AUXILIARY_LANDMARKS:auxiliary"
  output_stream: "WORLD_LANDMARKS:world"
  output_stream: "SEGMENTATION_MASK:mask_image"
}
node { calculator: "FromImageCalculator" input_stream: "IMAGE:mask_image" output_stream: "IMAGE_CPU:mask" }
"""
# Complexity 1 is the one network inside the wheel.
_GIVEN = {"model_complexity": 1, "enable_segmentation": True}
_INSIDE = "poselandmarkbyroicpu__tensorstoposelandmarksandsegmentation__"
_SCORE = f"{_INSIDE}pose_presence_score"
Look = Float32[np.ndarray, "n"]


@dataclass(frozen=True, eq=False)
class Pose:
    """What the network saw in one region.

    Attributes:
        person: box, score, landmarks, world.
        mask: the person's coverage.
        region: where to look in the next frame.
        look: colours of head, trunk and legs (see `look_of`).
    """

    person: PersonFrame
    mask: SoftMask
    region: Region
    look: Look


class PoseNetwork:
    """Finds the pose in a region; nothing is loaded before the first call, `close` frees the network.

    It keeps nothing between calls: the same picture and region give the same answer.

    Args:
        least: score 0..1 below which nobody is there; 0 where it is known that somebody is.

    Raises (when called):
        ModelError: mediapipe is not installed or not usable.
    """

    def __init__(self, least: float = 0.5) -> None:
        self.least = least
        self._graph: Any = None

    def __call__(self, image: Pixels, region: Region) -> Pose | None:
        """The pose in pixels of `image`, None where the network sees nobody or hardly anything of somebody."""
        if region.side < LEAST_REGION:
            return None
        picture = cut_out(image, region, SIZE)
        seen = self._look(picture)
        if seen.landmarks is None or seen.mask is None or seen.auxiliary is None:
            return None
        return _pose(seen, picture, region, image.shape[:2])

    def close(self) -> None:
        """Free the network; a later call loads it again."""
        if self._graph is not None:
            self._graph.close()
        self._graph = None

    def _look(self, picture: UInt8[np.ndarray, "s s 3"]) -> Any:
        if self._graph is None:
            self._graph = graph(_GRAPH, observed={_SCORE: "SCORE"}, settle=self._settle, given=_GIVEN)
            with quiet():
                return self._graph.process({"image": picture, "region": _whole_picture()})
        return self._graph.process({"image": picture, "region": _whole_picture()})

    def _settle(self, node: Any) -> None:
        if node.calculator == "ThresholdingCalculator":
            options = need("mediapipe.calculators.util.thresholding_calculator_pb2").ThresholdingCalculatorOptions
            node.options.Extensions[options.ext].threshold = self.least


def _whole_picture() -> Any:
    kind = need("mediapipe.framework.formats.rect_pb2").NormalizedRect
    return kind(x_center=0.5, y_center=0.5, width=1.0, height=1.0, rotation=0.0)


def _pose(seen: Any, picture: UInt8[np.ndarray, "s s 3"], region: Region, shape: tuple[int, ...]) -> Pose | None:
    matrix = region_matrix(region, SIZE)
    points = np.array([[p.x * SIZE, p.y * SIZE, p.visibility] for p in seen.landmarks.landmark], np.float64)
    values = np.array(seen.mask, np.float32)
    mask = SoftMask(values if values.ndim == 2 else values[..., 0], matrix)
    placed = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    landmarks = np.concatenate([placed, points[:, 2:].clip(0, 1)], axis=1).astype(np.float32)
    body = _body(mask.values, points)
    box = None if body is None else SoftMask(body, matrix).bounds()
    if box is None or not _inside(landmarks, shape):
        return None
    height, width = shape[:2]
    box = np.minimum(np.maximum(box, 0), np.array([width, height] * 2)).astype(np.float32)
    if (box[2:] <= box[:2]).any():
        return None
    score = float(getattr(seen, _SCORE) or 0.0)
    person = PersonFrame(box, min(max(score, 0.0), 1.0), landmarks, _world(seen.world, region))
    return Pose(person, mask, _next_region(seen.auxiliary, matrix), look_of(picture, mask.values, points))


def _world(points: Any, region: Region) -> Points:
    """Metres about the hips, turned back as the region was turned."""
    values = np.array([[p.x, p.y, p.z] for p in points.landmark], np.float64)
    cos, sin = np.cos(region.turn), np.sin(region.turn)
    values[:, :2] = values[:, :2] @ np.array([[cos, sin], [-sin, cos]])
    return values.astype(np.float32)


def _next_region(auxiliary: Any, matrix: np.ndarray) -> Region:
    points = np.array([[p.x * SIZE, p.y * SIZE] for p in auxiliary.landmark], np.float64)
    hips, rim = points[:2] @ matrix[:, :2].T + matrix[:, 2]
    return around((float(hips[0]), float(hips[1])), (float(rim[0]), float(rim[1])))


def _inside(landmarks: Points, shape: tuple[int, ...]) -> bool:
    x, y, visibility = landmarks.T
    return int(((visibility > SEEN) & (x > 0) & (y > 0) & (x < shape[1]) & (y < shape[0])).sum()) >= NEEDED


def _body(values: Float32[np.ndarray, "s s"], points: np.ndarray) -> Float32[np.ndarray, "s s"] | None:
    """The mask without parts that touch no landmark seen and are less than a tenth of the largest."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((values > 0.5).astype(np.uint8), connectivity=4)
    if count < 2:
        return None
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
    areas[0] = 0
    kept = areas >= areas.max() / 10
    seen = points[points[:, 2] > SEEN, :2].astype(int)
    seen = seen[((seen >= 0) & (seen < SIZE)).all(axis=1)]
    kept[labels[seen[:, 1], seen[:, 0]]] = True
    kept[0] = False
    return np.where(kept[labels], values, np.float32(0))


def look_of(picture: UInt8[np.ndarray, "s s 3"], mask: Float32[np.ndarray, "s s"], points: np.ndarray) -> Look:
    """Colours of a person, for telling people apart: histograms of head, trunk and legs, each with the sum of a third.

    Args:
        picture: the person upright, as `cut_out` gives it.
        mask: coverage 0..1 on the same grid.
        points: "33 3", landmarks in pixels of the picture; those of the trunk part the body.
    """
    step = 2
    small = cv2.cvtColor(np.ascontiguousarray(picture[::step, ::step]), cv2.COLOR_RGB2YCrCb)
    weights = mask[::step, ::step]
    rows, columns = np.nonzero(weights > 0.5)
    shoulders, hips = points[TRUNK[0:2], 1].mean() / step, points[TRUNK[2:4], 1].mean() / step
    band = (rows + 0.5 > shoulders).astype(np.int64) + (rows + 0.5 > max(hips, shoulders))
    colours = small[rows, columns].astype(np.int64)
    light = colours[:, 0] * LIGHT_BINS // 256
    red, blue = (np.clip((colours[:, k] - 128) // 8 + BINS // 2, 0, BINS - 1) for k in (1, 2))
    size = LIGHT_BINS * BINS * BINS
    bins = band * size + (light * BINS + red) * BINS + blue
    counts = np.bincount(bins, weights[rows, columns], minlength=3 * size).reshape(3, size)
    totals = counts.sum(axis=1, keepdims=True)
    counts = counts / np.maximum(totals, 1e-9)
    present = totals[:, 0] > 0.02 * totals.sum()
    return (counts * present[:, None] / max(1, present.sum())).ravel().astype(np.float32)
