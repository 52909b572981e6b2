"""The baseline of clustered features: what a network of pictures says of each place, sorted into so many kinds.

As Amir et al. do with DINO ("Deep ViT features as dense visual descriptors", 2021), which SP4D compares with: features
of all pictures are clustered together, so kinds are tied over views and frames; they know nothing of places, so left
and right legs are of one kind. Needs a folder with DINOv2's weights.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch.nn import functional

from diorama.bench.parts_scores import agreement
from diorama.bench.parts_views import LEAST, Asked, ViewRow
from diorama.core.extras import need
from diorama.perception.hub import load, locate

FOLDER = "dinov2"
"""In the folder of weights."""
KINDS = 12
"""Into which places are sorted: about as many as creatures have parts."""
CELLS = 32
"""A side of the picture, of which the network says one feature each."""
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of its pictures' channels."""

Described = Callable[[UInt8[np.ndarray, "n h w 3"]], Float32[np.ndarray, "n y x c"]]


def is_there(weights: str) -> bool:
    """Whether a folder of weights holds the network."""
    return bool(weights) and (Path(weights) / FOLDER / "config.json").is_file()


def describer(weights: str) -> Described:
    """Features of pictures by DINOv2 (Oquab et al. 2023).

    Raises:
        ModelError: as `perception.hub.load`.
    """
    network = load(locate(Path(weights) / FOLDER, lambda _: None), {"dinov2": "Dinov2Model"})
    return lambda pictures: _features(network, pictures)


@torch.no_grad()
def _features(network: Any, pictures: UInt8[np.ndarray, "n h w 3"]) -> Float32[np.ndarray, "n y x c"]:
    side = CELLS * int(network.config.patch_size)
    large = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    large = functional.interpolate(large, (side, side), mode="bicubic", align_corners=False).clamp(0, 1)
    mean, spread = (torch.tensor(values)[:, None, None] for values in (MEAN, SPREAD))
    said = [network(((each - mean) / spread)[None]).last_hidden_state[0, 1:] for each in large]
    return torch.stack(said).unflatten(1, (CELLS, CELLS)).numpy()


def featured_row(describe: Described, seen: Asked) -> ViewRow:
    """Scores of features that are clustered within the true silhouettes: of all views, and of one view over time."""
    still = _kinds(describe, seen.images[:, 0], seen.parts[:, 0] >= 0)
    moving = _kinds(describe, seen.images[0], seen.parts[0] >= 0)
    views = agreement(still, seen.parts[:, 0], least=LEAST)
    return ViewRow(seen.family, views, agreement(moving, seen.parts[0], least=LEAST), float("nan"), float("nan"), 1.0)


def _kinds(
    describe: Described, pictures: UInt8[np.ndarray, "n h w 3"], inside: np.ndarray
) -> Int64[np.ndarray, "n h w"]:
    size = pictures.shape[2]
    maps = [cv2.resize(each, (size, size), interpolation=cv2.INTER_LINEAR) for each in describe(pictures)]
    values = np.stack(maps)[inside].astype(np.float64)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9)
    found = np.full(inside.shape, -1, np.int64)
    count = min(KINDS, len(values))
    if count:
        found[inside] = need("scipy.cluster.vq").kmeans2(values, count, minit="++", rng=0)[1]
    return found
