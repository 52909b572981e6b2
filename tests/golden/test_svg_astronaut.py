"""The multi-plane warp against the frame matrix released with SVG (spec s2vg.md 1.3 and law 8)."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from diorama.geometry.multiplane import multiplane_warp

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("DIORAMA_GOLDEN", ROOT.parent / "shared" / "golden")) / "svg_astronaut"

pytestmark = pytest.mark.skipif(not (FOLDER / "meta.json").is_file(), reason="golden svg_astronaut not found")


def settings() -> dict[str, Any]:
    values: dict[str, Any] = json.loads((FOLDER / "meta.json").read_text())
    return values


def inverse_depth(frame: int, meta: dict[str, Any]) -> np.ndarray:
    """SVG's normalisation: the clip's range to [0, 1], and the farthest point's inverse depth added."""
    with np.load(FOLDER / f"{frame:05d}_disparity.npz") as stored:
        disparity = np.maximum(stored["disparity"], 1e-6)
    low, high = meta["disparity_min"], meta["disparity_max"]
    return (disparity - low) / (high - low) + 1 / meta["farthest"]


def picture(name: str, mode: int = cv2.IMREAD_COLOR) -> np.ndarray:
    image = cv2.imread(str(FOLDER / name), mode)
    assert image is not None, name
    return image


def test_every_mask_pixel_is_the_same_and_colours_agree_to_their_jpeg(
    record_property: Callable[[str, object], None],
) -> None:
    meta = settings()
    scores = []
    for frame in meta["frames"]:
        image, near = picture(f"{frame:05d}.jpg"), inverse_depth(frame, meta)
        for view, baseline in enumerate(np.linspace(0, meta["baseline"], meta["num_views"])):
            warped, known = multiplane_warp(
                image, near, focal=meta["focal_px"], baseline=float(baseline), num_planes=meta["num_planes"]
            )
            name = f"{frame:05d}_{view:03d}"
            mask = picture(f"{name}_mask.png", cv2.IMREAD_GRAYSCALE) > 127
            assert np.count_nonzero(mask != known) == 0, name
            error = (warped[known].astype(float) - picture(f"{name}.jpg")[known]) ** 2
            scores.append(10 * np.log10(255**2 / error.mean()))
            assert scores[-1] >= 39, f"{name}: {scores[-1]:.2f} dB"
    record_property("decibels", f"mean {np.mean(scores):.2f}, least {np.min(scores):.2f}, {len(scores)} views")
    assert len(scores) == len(meta["frames"]) * meta["num_views"]
