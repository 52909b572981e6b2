"""Landmarks of people from ViTPose (Xu et al., NeurIPS 2022), by box; decoded as its authors do.

The crop follows "unbiased data processing" (Huang et al., CVPR 2020): the first and the last pixel's middle of the
network's input and of its heatmaps lie on the edges of the region. Peaks are refined by DARK (Zhang et al., CVPR 2020):
a Newton step on the logarithm of the smoothed heatmap. Places here count from the picture's edge: the network's, which
count from the first pixel's middle, lie half a pixel before.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from diorama.core.extras import need
from diorama.core.person import Box, Points
from diorama.core.video import Pixels
from diorama.errors import ModelError
from diorama.perception.people_hub import Answerer, Question, pair_of
from diorama.perception.people_mask import CENTER
from diorama.perception.people_points import LEAST_KNOWN, ORDERS, to_landmarks
from diorama.perception.shrink import eight_bits

POSE = Question("pose", "network of landmarks", {"vitpose": "VitPoseForPoseEstimation"})
ROOM = 1.25  # of the box on each axis, as the networks were trained
KERNEL, SPREAD = 11, 0.8  # pixels of a heatmap: smoothing before the peak is refined
FLOOR = 0.001  # of a heatmap, for its logarithm
FARTHEST = 1.0  # pixels of a heatmap from its highest one to the peak: farther ones mean no peak
BATCH = 16  # people


class HubPose(Answerer):
    """Finds the landmarks of people whose boxes are known; nothing is loaded before the first call.

    Args:
        model: a folder, a catalogue name, or a hub name in the download cache.
        device: "auto", "cpu", "cuda", ...
        note: receives the licence.

    Raises:
        ModelError: see `people_hub.locate`; another number of landmarks than COCO's. When called: see
            `people_hub.Network`.
    """

    def __init__(self, model: str | Path, device: str = "auto", note: Callable[[str], None] = lambda _: None) -> None:
        super().__init__(model, POSE, device, note)
        backbone = self.folder.config.get("backbone_config")
        backbone = backbone if isinstance(backbone, dict) else {}
        self.size = pair_of(backbone.get("image_size", [256, 192]), "image_size", self.folder.path)
        experts = backbone.get("num_experts") or 1
        if not isinstance(experts, int):
            what = f"num_experts {str(experts)[:50]} in config.json"
            raise ModelError(what, self.folder.path, "expected a number; download the model again")
        self.experts = experts

    def __call__(self, image: Pixels, boxes: Float32[np.ndarray, "n 4"]) -> list[Points | None]:
        """The landmarks in each box, pixels of the frame; visibility 0 for those that the network does not know.

        None where it is sure of hardly any.
        """
        picture, out = eight_bits(image), list[Points | None]()
        for start in range(0, len(boxes), BATCH):
            part = [region_of(box, self.size) for box in boxes[start : start + BATCH]]
            crops = np.stack([cropped(picture, region, self.size) for region in part])
            heatmaps = self.network.run(self._looked, crops, f"landmarks of {len(part)} people")
            places, scores = peaks(heatmaps)
            for region, there, sure in zip(part, places, scores, strict=True):
                out.append(self._named(in_frame(there, region, heatmaps.shape[2:]), sure))
        return out

    def _looked(self, crops: UInt8[np.ndarray, "b nh nw 3"]) -> Float32[np.ndarray, "b k hh hw"]:
        network, options = self.network, {}
        if self.experts > 1:  # the first of several data sets is COCO
            options["dataset_index"] = need("torch").zeros(len(crops), dtype=need("torch").long, device=network.device)
        heatmaps = network.module(network.prepared(crops), **options).heatmaps.float().cpu().numpy()
        self._check_finite(heatmaps)
        if heatmaps.shape[1] not in ORDERS:
            known = ", ".join(map(str, ORDERS))
            fix = f"give --pose a network of {known} landmarks, such as those of COCO or COCO-WholeBody"
            raise ModelError(f"{heatmaps.shape[1]} landmarks", self.folder.path, fix)
        return np.asarray(heatmaps, np.float32)

    def _named(self, places: Float64[np.ndarray, "k 2"], scores: Float[np.ndarray, "k"]) -> Points | None:
        sure = scores.clip(0, 1)
        if (sure > 0).sum() < LEAST_KNOWN:
            return None
        points = np.concatenate([places, sure[:, None]], axis=1).astype(np.float64)
        known = points[[*ORDERS[len(points)].values()], 2] > 0
        return to_landmarks(points, self.folder.path) if known.sum() >= LEAST_KNOWN else None


Rectangle = tuple[float, float, float, float]
"""Middle (x, y), width and height, pixels from the picture's edge."""


def region_of(box: Box, size: tuple[int, int]) -> Rectangle:
    """What a network of inputs of `size` (height, width) looks at: the box with room, in the input's shape."""
    left, top, right, bottom = (float(side) for side in box)
    aspect = size[1] / size[0]
    width = max(right - left, aspect * (bottom - top))
    return (left + right) / 2, (top + bottom) / 2, ROOM * width, ROOM * width / aspect


def cropped(
    image: UInt8[np.ndarray, "h w 3"], region: Rectangle, size: tuple[int, int]
) -> UInt8[np.ndarray, "nh nw 3"]:
    """The region at the network's size, black beyond the picture."""
    x, y, width, height = region
    step_x, step_y = width / (size[1] - 1), height / (size[0] - 1)
    matrix = np.array([[step_x, 0, x - width / 2 - CENTER], [0, step_y, y - height / 2 - CENTER]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, matrix, (size[1], size[0]), flags=flags), np.uint8)


def in_frame(places: Float[np.ndarray, "k 2"], region: Rectangle, shape: tuple[int, ...]) -> Float64[np.ndarray, "k 2"]:
    """From places (x, y) on a heatmap of `shape` (rows, columns) to pixels of the frame, from its edge."""
    x, y, width, height = region
    steps = np.array([width / (shape[1] - 1), height / (shape[0] - 1)])
    return places.astype(np.float64) * steps + [x - width / 2, y - height / 2]


def peaks(
    heatmaps: Float32[np.ndarray, "b k hh hw"],
) -> tuple[Float64[np.ndarray, "b k 2"], Float32[np.ndarray, "b k"]]:
    """Places (x, y) of the peaks, from the middle of the first pixel, and how high they are."""
    count, kinds, rows, columns = heatmaps.shape
    flat = heatmaps.reshape(count * kinds, rows * columns)
    best = flat.argmax(axis=1)
    scores = flat[np.arange(len(flat)), best].reshape(count, kinds)
    places = np.stack([best % columns, best // columns], axis=1).astype(np.float64)
    maps = flat.reshape(-1, rows, columns)
    steps = [_step(heatmap, int(x), int(y)) for heatmap, (x, y) in zip(maps, places, strict=True)]
    refined = (places + np.stack(steps)).clip(0, [columns - 1, rows - 1])
    return refined.reshape(count, kinds, 2), scores


def _step(heatmap: Float32[np.ndarray, "hh hw"], x: int, y: int) -> Float64[np.ndarray, "2"]:
    """From the highest pixel to the peak: the slope over the curvature of the logarithm; 0 where it has no peak."""
    soft = cv2.GaussianBlur(heatmap, (KERNEL, KERNEL), SPREAD, borderType=cv2.BORDER_REFLECT)
    rows, columns = (np.clip([at - 1, at, at + 1], 0, side - 1) for at, side in ((y, len(soft)), (x, len(soft[0]))))
    near = np.log(np.maximum(soft[np.ix_(rows, columns)].astype(np.float64), FLOOR))
    slope = np.array([near[1, 2] - near[1, 0], near[2, 1] - near[0, 1]]) / 2
    across, down = near[1, 2] - 2 * near[1, 1] + near[1, 0], near[2, 1] - 2 * near[1, 1] + near[0, 1]
    mixed = (near[2, 2] - near[1, 2] - near[2, 1] + 2 * near[1, 1] - near[1, 0] - near[0, 1] + near[0, 0]) / 2
    bent = across * down - mixed**2
    if across >= 0 or bent <= np.finfo(np.float32).eps:
        return np.zeros(2)
    step = -np.array([down * slope[0] - mixed * slope[1], across * slope[1] - mixed * slope[0]]) / bent
    return step if np.abs(step).max() <= FARTHEST else np.zeros(2)
