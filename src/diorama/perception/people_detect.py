"""The embedded answer to "where are people": the detector inside the mediapipe wheel, asked for all that it sees.

The package's own solutions keep one person a picture. The graph here ends after the detector's suppression of
neighbours, with a lower threshold, and looks at square parts of a wide picture as well: the network sees 224 x 224
pixels and was made for one person that fills the picture. What it finds is a guess until a pose confirms it.
"""

from dataclasses import dataclass, replace
from math import atan2, ceil, hypot, pi
from typing import Any

import numpy as np
from jaxtyping import UInt8

from diorama.core.extras import need
from diorama.perception._mediapipe import graph, quiet

LEAST_SCORE = 0.25  # a boy half out of the picture has 0.25-0.31, scaffolding without anybody up to 0.58
LEAST_SIDE = 24  # pixels: nothing to see in less
OVERLAP = 0.4  # of two head boxes, from which on they are one
ROOM = 1.25  # of the circle around the whole body, as the landmark network was trained
SAME_CENTER, SAME_SIZE, SAME_HEAD = 0.25, 1.7, 0.15  # of a side; ratio; of a side: two regions that mean one person
PART = 0.6  # of the longer side of a picture that is nearly square

_GRAPH = """
input_stream: "IMAGE:image"
output_stream: "DETECTIONS:detections"
node { calculator: "PoseDetectionCpu" input_stream: "IMAGE:image" output_stream: "DETECTIONS:detections" }
"""


@dataclass(frozen=True)
class Region:
    """A square around a whole body, turned so that the body stands upright in it.

    Attributes:
        x, y: its centre, the middle of the hips; pixels, 0 at the picture's left and upper edge.
        side: pixels.
        turn: radians, clockwise as seen.
    """

    x: float | int
    y: float | int
    side: float | int
    turn: float | int = 0.0

    def scaled(self, factor: float) -> "Region":
        """The region in a picture that is `factor` times as large."""
        return Region(self.x * factor, self.y * factor, self.side * factor, self.turn)

    def moved(self, across: float | int, down: float | int) -> "Region":
        """The region so many pixels to the right and further down."""
        return replace(self, x=self.x + across, y=self.y + down)

    def like(self, other: "Region") -> bool:
        """Whether both mean the same person, most likely."""
        ratio = self.side / other.side
        apart = hypot(self.x - other.x, self.y - other.y) / max(self.side, other.side)
        return apart < SAME_CENTER and 1 / SAME_SIZE < ratio < SAME_SIZE


@dataclass(frozen=True)
class Candidate:
    """Where a person may be.

    Attributes:
        region: around the whole body.
        x, y: the middle of head and chest, pixels; two who cross have one region and two heads.
        score: the detector's, 0..1.
    """

    region: Region
    x: float | int
    y: float | int
    score: float

    def like(self, other: "Candidate") -> bool:
        """Whether both mean the same person, most likely."""
        apart = hypot(self.x - other.x, self.y - other.y)
        return apart < SAME_HEAD * max(self.region.side, other.region.side) and self.region.like(other.region)


def around(hips: tuple[float, float], rim: tuple[float, float]) -> Region:
    """The region of a body from the middle of its hips and a point above it on the circle around it (pixels)."""
    across, down = rim[0] - hips[0], rim[1] - hips[1]
    turn = (pi / 2 - atan2(-down, across) + pi) % (2 * pi) - pi
    return Region(hips[0], hips[1], max(1.0, 2 * ROOM * hypot(across, down)), turn)


Part = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""


def parts_of(height: int, width: int) -> list[Part]:
    """The whole picture, then squares that overlap by a third and cover it; few, whatever the shape."""
    whole = (0, 0, width, height)
    side = round(min(height, width, PART * max(height, width)))
    if side < LEAST_SIDE:
        return [whole]
    return [whole, *((x, y, side, side) for y in _steps(height, side) for x in _steps(width, side))]


def _steps(length: int, side: int) -> list[int]:
    count = min(6, 1 + ceil((length - side) / (side * 2 / 3)))
    return [round(place) for place in np.linspace(0, length - side, count)]


class PeopleDetector:
    """Finds candidates in a picture; nothing is loaded before the first call, `close` frees the network.

    Raises (when called):
        ModelError: mediapipe is not installed or not usable.
    """

    def __init__(self) -> None:
        self._graph: Any = None

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], parts: list[Part] | None = None) -> list[Candidate]:
        """Candidates in pixels of `image`, the surest first, each once; in `parts` of it, all by default."""
        height, width = image.shape[:2]
        if min(height, width) < LEAST_SIDE:
            return []
        found: list[Candidate] = []
        for left, top, across, down in parts if parts is not None else parts_of(height, width):
            part = np.ascontiguousarray(image[top : top + down, left : left + across])
            found += [_moved(candidate, left, top) for candidate in self._look(part)]
        return distinct(found)

    def close(self) -> None:
        """Free the network; a later call loads it again."""
        if self._graph is not None:
            self._graph.close()
        self._graph = None

    def _look(self, image: UInt8[np.ndarray, "h w 3"]) -> list[Candidate]:
        if self._graph is None:
            self._graph = graph(_GRAPH, settle=_settle)
            with quiet():
                return self._candidates(image)
        return self._candidates(image)

    def _candidates(self, image: UInt8[np.ndarray, "h w 3"]) -> list[Candidate]:
        height, width = image.shape[:2]
        found = []
        for detection in self._graph.process(image).detections or []:
            hips, rim = ((p.x * width, p.y * height) for p in list(detection.location_data.relative_keypoints)[:2])
            box = detection.location_data.relative_bounding_box
            x, y = (box.xmin + box.width / 2) * width, (box.ymin + box.height / 2) * height
            found.append(Candidate(around(hips, rim), x, y, min(1.0, float(detection.score[0]))))
        return found


def _settle(node: Any) -> None:
    """Let unsure answers pass; keep of neighbours the surest, where the package would average two who stand close."""
    if node.calculator == "TensorsToDetectionsCalculator":
        options = need("mediapipe.calculators.tensor.tensors_to_detections_calculator_pb2")
        node.options.Extensions[options.TensorsToDetectionsCalculatorOptions.ext].min_score_thresh = LEAST_SCORE
    if node.calculator == "NonMaxSuppressionCalculator":
        kind = need("mediapipe.calculators.util.non_max_suppression_calculator_pb2").NonMaxSuppressionCalculatorOptions
        node.options.Extensions[kind.ext].algorithm = kind.DEFAULT
        node.options.Extensions[kind.ext].min_suppression_threshold = OVERLAP


def distinct(candidates: list[Candidate]) -> list[Candidate]:
    """The surest of every group of candidates that mean one person, the surest first."""
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: -c.score):
        if not any(candidate.like(other) for other in kept):
            kept.append(candidate)
    return kept


def _moved(candidate: Candidate, left: int, top: int) -> Candidate:
    region = candidate.region.moved(left, top)
    return Candidate(region, candidate.x + left, candidate.y + top, candidate.score)
