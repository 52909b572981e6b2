"""PSNR, SSIM and L1 in float, of a whole frame or of a region: the corrected column.

Values are of each frame and then averaged over frames, as the field does. The field's own variants are in `disco`.
"""

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Shaped

from diorama.bench.metrics.frames import Frame, Mask, Video, frame_masks, mean_over_frames, pairs
from diorama.errors import UsageError

Channels = Literal["rgb", "luma"]

CEILING = 100.0
"""dB of frames that do not differ, as in the field's scripts."""

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2
"""Constants of Wang et al. 2004 for values in [0, 1]."""

LUMA = np.array([0.299, 0.587, 0.114])
"""BT.601, as in the code of Wang et al. (``rgb2gray``)."""


def decibels(error: float) -> float:
    """PSNR of a mean squared error of values in [0, 1]; at most `CEILING`."""
    return float(-10 * np.log10(max(error, 10 ** (-CEILING / 10))))


def psnr(made: Video, true: Video, mask: Mask | None = None, *, pool: Literal["frames", "pixels"] = "frames") -> float:
    """Peak signal-to-noise ratio, dB, larger is better.

    Args:
        made: "t h w 3", uint8, uint16, or float in [0, 1].
        true: what it should be, of the same size.
        mask: "t h w", the pixels that count; frames without any are left out.
        pool: "frames" averages the PSNR of frames (the field); "pixels" takes the PSNR of the error over all pixels,
            which is the steadier number for regions of a few pixels.

    Raises:
        UsageError: sizes that differ, values out of range, an empty mask.
    """
    errors = _by_frame(made, true, mask, _squared)
    if pool == "frames":
        return mean_over_frames(decibels(error) if count else np.nan for error, count in errors)
    found = [(error, count) for error, count in errors if count]
    return decibels(sum(error * count for error, count in found) / sum(count for _, count in found))


def l1(made: Video, true: Video, mask: Mask | None = None) -> float:
    """Mean absolute difference of values in [0, 1], smaller is better; arguments and errors as `psnr`."""
    errors = _by_frame(made, true, mask, np.abs)
    return mean_over_frames(error if count else np.nan for error, count in errors)


def ssim(made: Video, true: Video, mask: Mask | None = None, *, channels: Channels = "rgb") -> float:
    """Structural similarity (Wang et al. 2004): Gaussian window 11, sigma 1.5, K = 0.01, 0.03; 1 is equal.

    The window's weights add up to 1, and the border that it does not reach (5 pixels) does not count: what
    ``skimage.metrics.structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`` gives.

    Args:
        made: "t h w 3", uint8, uint16, or float in [0, 1].
        true: what it should be, of the same size.
        mask: "t h w", the centres of windows that count.
        channels: "rgb" averages over the colours' own values, "luma" measures BT.601 luma as the paper does.

    Raises:
        UsageError: as `psnr`, and frames of fewer than 11 pixels.
    """
    values = []
    for (one, two), chosen in zip(pairs(made, true), frame_masks(mask, true), strict=True):
        found = ssim_map(one, two, channels)
        kept = None if chosen is None else _inner(chosen)
        values.append(float(np.mean(found if kept is None else found[kept])) if kept is None or kept.any() else np.nan)
    return mean_over_frames(values)


def ssim_map(one: Frame, two: Frame, channels: Channels = "rgb") -> Float64[np.ndarray, "h2 w2"]:
    """SSIM of every window that lies inside the frame (10 pixels fewer a side), frames in [0, 1]."""
    if min(one.shape[:2]) < WINDOW:
        raise UsageError(f"frames of {one.shape[1]}x{one.shape[0]}, SSIM's window has {WINDOW} pixels", "frames")
    a, b = (one, two) if channels == "rgb" else (one @ LUMA, two @ LUMA)
    weights = cv2.getGaussianKernel(WINDOW, SIGMA, cv2.CV_64F)
    return similarity(a, b, lambda image: _inner(cv2.sepFilter2D(image, cv2.CV_64F, weights, weights)))


def similarity(
    a: Float64[np.ndarray, "h w *c"],
    b: Float64[np.ndarray, "h w *c"],
    blur: Callable[[Float64[np.ndarray, "h w *c"]], Float64[np.ndarray, "h2 w2 *c"]],
    *,
    constants: tuple[float, float] = (C1, C2),
    unbiased: float | int = 1,
) -> Float64[np.ndarray, "h2 w2"]:
    """Equation 13 of Wang et al.; the mean over channels where there are any.

    Args:
        blur: weighted mean over the window.
        constants: C1 and C2.
        unbiased: factor on variances, n / (n - 1) for those of samples.
    """
    mean_a, mean_b = blur(a), blur(b)
    variances = unbiased * (blur(a * a) + blur(b * b) - mean_a**2 - mean_b**2)
    covariance = unbiased * (blur(a * b) - mean_a * mean_b)
    c1, c2 = constants
    found = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    found = found / ((mean_a**2 + mean_b**2 + c1) * (variances + c2))
    return found.mean(axis=2) if found.ndim == 3 else found


def _inner(image: Shaped[np.ndarray, "h w *c"]) -> Shaped[np.ndarray, "h2 w2 *c"]:
    edge = WINDOW // 2
    return image[edge:-edge, edge:-edge]


def _squared(difference: Float64[np.ndarray, "*any"]) -> Float64[np.ndarray, "*any"]:
    return difference**2


def _by_frame(
    made: Video,
    true: Video,
    mask: Mask | None,
    error: Callable[[Float64[np.ndarray, "*any"]], Float64[np.ndarray, "*any"]],
) -> list[tuple[float, int]]:
    """Mean error and number of pixels of each frame."""
    both = zip(pairs(made, true), frame_masks(mask, true), strict=True)
    return [_mean_error(error(one - two), chosen) for (one, two), chosen in both]


def _mean_error(errors: Frame, chosen: Bool[np.ndarray, "h w"] | None) -> tuple[float, int]:
    kept = errors.reshape(-1, 3) if chosen is None else errors[chosen]
    return (float(np.mean(kept)), len(kept)) if len(kept) else (0.0, 0)
