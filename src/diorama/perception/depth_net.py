"""The depth networks of `transformers`: what each wants to see, and what its numbers mean.

Written without the image processors of `transformers`, which pull torchvision. Sizes and normalisation are those of
the published models, and a ``preprocessor_config.json`` beside the weights overrides them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from diorama.errors import ModelError

Meaning = Literal["inverse", "metric"]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
LONGEST = 2072
NEAREST_METRES = 0.1
_RESAMPLING = {0: cv2.INTER_NEAREST, 2: cv2.INTER_LINEAR, 3: cv2.INTER_CUBIC}
_ASPECT = 0.02


@dataclass(frozen=True)
class Input:
    """How a picture becomes a network's input.

    Attributes:
        height, width: the size the network was trained at, pixels.
        fit: "lower" (aspect kept, both sides at least that size), "near" (aspect kept, the side that changes
            less decides), or "exact" (that size, whatever the aspect).
        multiple: sides are rounded to multiples of this many pixels.
        resampling: OpenCV interpolation.
        mean, std: normalisation of RGB in [0, 1].
        padding: reflect a border of ``int(3 sqrt(side / 2))`` pixels first, and cut it off the result (ZoeDepth).
    """

    height: int
    width: int
    fit: Literal["lower", "near", "exact"] = "exact"
    multiple: int = 1
    resampling: int = cv2.INTER_CUBIC
    mean: tuple[float, ...] = IMAGENET[0]
    std: tuple[float, ...] = IMAGENET[1]
    padding: bool = False

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Input height and width for a (padded) picture of this size; the longer side is at most `LONGEST`."""
        down, across = self.height / height, self.width / width
        if self.fit == "lower":
            down = across = min(max(down, across), LONGEST / max(height, width))
        elif self.fit == "near":
            down = across = across if abs(1 - across) < abs(1 - down) else down
        sides = (round(side / self.multiple) * self.multiple for side in (down * height, across * width))
        rounded_height, rounded_width = (max(self.multiple, side) for side in sides)
        return rounded_height, rounded_width


# Depth Pro is given as canonical inverse depth: the true one times a factor that only the focal length sets. One
# focal length a shot cancels in the scale over the shot, and a separately guessed one a frame would flicker.
FAMILIES: Mapping[str, tuple[str, Meaning, Input]] = {
    "depth_anything": (
        "DepthAnythingForDepthEstimation",
        "inverse",
        Input(518, 518, "lower", 14),
    ),
    "dpt": (
        "DPTForDepthEstimation",
        "inverse",
        Input(384, 384, mean=HALF[0], std=HALF[1]),
    ),
    "zoedepth": (
        "ZoeDepthForDepthEstimation",
        "metric",
        Input(384, 512, "near", 32, cv2.INTER_LINEAR, *HALF, padding=True),
    ),
    "depth_pro": (
        "DepthProForDepthEstimation",
        "inverse",
        Input(1536, 1536, resampling=cv2.INTER_LINEAR, mean=HALF[0], std=HALF[1]),
    ),
}
CLASSES = {family: name for family, (name, _, _) in FAMILIES.items()}


def meaning(config: Mapping[str, Any]) -> Meaning:
    """Whether a network's output is inverse depth (of unknown scale and shift) or distance in metres.

    Depth Anything says so in its configuration; DPT heads on DINOv2 were trained on distances (NYU, KITTI), all other
    DPT models on inverse depth.
    """
    family = str(config.get("model_type"))
    backbone = config.get("backbone_config")
    if config.get("depth_estimation_type") == "metric":
        return "metric"
    if family == "dpt" and isinstance(backbone, Mapping) and backbone.get("model_type") == "dinov2":
        return "metric"
    return FAMILIES[family][1]


def input_for(config: Mapping[str, Any], preprocessor: Mapping[str, Any], where: object) -> Input:
    """The input of a model, its family's unless its own files say otherwise.

    Raises:
        ModelError: the preprocessor's values cannot be used.
    """
    wanted = FAMILIES[str(config["model_type"])][2]
    try:
        wanted = replace(wanted, **_stated(preprocessor, wanted))
    except (TypeError, ValueError, KeyError) as error:
        raise ModelError(f"preprocessor_config.json cannot be used ({error})", where) from error
    sides = (wanted.height, wanted.width)
    if not all(16 <= side <= 4096 for side in sides) or not 1 <= wanted.multiple <= 64 or 0 in wanted.std:
        raise ModelError(f"an input of {sides[1]}x{sides[0]} in steps of {wanted.multiple}", where)
    return wanted


def _stated(preprocessor: Mapping[str, Any], usual: Input) -> dict[str, Any]:
    found: dict[str, Any] = {}
    size = preprocessor.get("size")
    if isinstance(size, Mapping) and "shortest_edge" not in size:
        found |= {"height": int(size["height"]), "width": int(size["width"])}
    elif size is not None:
        side = int(size["shortest_edge"] if isinstance(size, Mapping) else size)
        found |= {"height": side, "width": side}
    for ours, theirs in (("mean", "image_mean"), ("std", "image_std")):
        if theirs in preprocessor:
            values = tuple(float(value) for value in preprocessor[theirs])
            if len(values) != 3 or not all(math.isfinite(value) for value in values):
                raise ValueError(f"{theirs} {values}")
            found[ours] = values
    if int(preprocessor.get("ensure_multiple_of", 0)) > 0:
        found["multiple"] = int(preprocessor["ensure_multiple_of"])
    if preprocessor.get("resample") in _RESAMPLING:
        found["resampling"] = _RESAMPLING[preprocessor["resample"]]
    if "keep_aspect_ratio" in preprocessor:
        kept = usual.fit if usual.fit != "exact" else "near"
        found["fit"] = kept if preprocessor["keep_aspect_ratio"] else "exact"
    if usual.padding:
        found["padding"] = bool(preprocessor.get("do_pad", True))
    return found


def prepare(image: UInt8[np.ndarray, "h w 3"], wanted: Input) -> UInt8[np.ndarray, "nh nw 3"]:
    """A picture padded and resized for the network; 8 bits are kept, so that it can be hashed and compared."""
    if wanted.padding:
        down, across = border(image.shape[0]), border(image.shape[1])
        image = cv2.copyMakeBorder(image, down, down, across, across, cv2.BORDER_REFLECT_101)
    height, width = wanted.size(*image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=wanted.resampling)


def border(side: int) -> int:
    """Pixels that ZoeDepth reflects at each end of a side, fewer than the side has."""
    return min(int(math.sqrt(side / 2) * 3), side - 1)


def inverse(predicted: Float32[np.ndarray, "*b nh nw"], meant: Meaning) -> Float32[np.ndarray, "*b nh nw"]:
    """Network output -> inverse depth, larger is nearer; distances below 0.1 m count as 0.1 m."""
    if meant == "inverse":
        return predicted
    return 1 / np.maximum(predicted, np.float32(NEAREST_METRES))


def fit_to(depth: Float32[np.ndarray, "nh nw"], wanted: Input, height: int, width: int) -> Float32[np.ndarray, "dh dw"]:
    """A network's map in the aspect of the frame it belongs to, without the padded border.

    Args:
        depth: as the network gives it, for the whole padded frame.
        wanted: how the frame was prepared.
        height, width: of the frame, pixels.
    """
    down = border(height) if wanted.padding else 0
    across = border(width) if wanted.padding else 0
    per_y, per_x = depth.shape[0] / (height + 2 * down), depth.shape[1] / (width + 2 * across)
    if not wanted.padding and abs(per_x / per_y - 1) <= _ASPECT and per_x <= 1:
        return depth
    # The finer of the two scales decides, so that nothing the network saw is lost; never finer than the frame.
    scale = min(max(per_x, per_y), 1.0)
    size = max(2, round(width * scale)), max(2, round(height * scale))
    step_x, step_y = width / size[0], height / size[1]
    # Pixel centres: out x covers (x + 0.5) step_x of the frame, which lies `across` further in the padded one.
    matrix = np.array(
        [
            [step_x * per_x, 0, (0.5 * step_x + across) * per_x - 0.5],
            [0, step_y * per_y, (0.5 * step_y + down) * per_y - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(depth, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
