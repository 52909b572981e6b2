"""The numbers of the field's scripts, faults included: only for comparison with published tables.

They follow ``tool/metrics`` of DisCo, which MagicAnimate, UniAnimate, Champ and others use (specs mimo.md 3, scd.md 5).
Frames are uint8; where sizes differ the made frame is resized to the true one (OpenCV, bilinear, never said in the
tables); published sizes are 256 x 256 for DisCo and 512 or more for others, and numbers of different sizes do not
compare. Every name ends in ``_disco``; the right numbers are in `pixels` and `perceptual`.
"""

from collections.abc import Callable, Iterator
from math import log10, sqrt

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8, UInt16

from diorama.bench.metrics.frames import Measured, Video, check_video, unit
from diorama.bench.metrics.perceptual import Perceptual, frame_distance
from diorama.bench.metrics.pixels import similarity
from diorama.errors import UsageError

Bytes = UInt8[np.ndarray, "h w 3"]
Picture = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"] | Float[np.ndarray, "h w 3"]

IDENTICAL = 100.0
GREY_WINDOW = 7
"""Side of the flat window, the default of scikit-image."""


def quantised(frame: Picture) -> Bytes:
    """A frame as written to PNG: uint8, the nearest value."""
    return frame if frame.dtype == np.uint8 else np.floor(unit(frame) * 255 + 0.5).astype(np.uint8)


def psnr_overflow_disco(made: Video, true: Video) -> float:
    """PSNR as published until 2024, far too high: the difference and its square overflow in uint8.

    A difference of 16 counts as none, and no frame can do worse than 24 dB. Papers name the right one "PSNR*".
    """
    return _mean(made, true, lambda a, b: _psnr(float(np.mean((a - b) ** 2))))


def psnr_fixed_disco(made: Video, true: Video) -> float:
    """PSNR of uint8 frames after DisCo's correction ("PSNR*"), dB; 100 for identical frames."""
    return _mean(made, true, lambda a, b: _psnr(float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))))


def ssim_grey_disco(made: Video, true: Video) -> float:
    """SSIM of grey uint8 frames with a flat window of 7 and sample covariance (the defaults of scikit-image)."""
    return _mean(made, true, _grey_ssim)


def l1_per_pixel_disco(made: Video, true: Video) -> float:
    """L1 of values in 0..255, divided by the number of pixels: the same error counts 4 times less at twice the size."""
    return _mean(made, true, lambda a, b: float(np.mean(np.abs(a.astype(float) - b) / float(a.shape[0] * a.shape[1]))))


def lpips_unscaled_disco(network: Perceptual, made: Video, true: Video) -> Measured:
    """LPIPS of frames in [0, 1] given to a network that expects [-1, 1]: slightly low. DisCo's network is VGG.

    Unlike the other numbers, DisCo does not resize here: sizes must agree.
    """
    if made.shape != true.shape:
        raise UsageError("videos of different size", "made, true", "DisCo's LPIPS does not resize: do it first")

    def distance(a: Bytes, b: Bytes) -> float:
        one, two = (torch.from_numpy(x).permute(2, 0, 1)[None].float() / 255 for x in (a, b))
        return frame_distance(network, one, two)

    return Measured(_mean(made, true, distance), f"{network.name}, inputs not scaled (DisCo)")


def _mean(made: Video, true: Video, measure: Callable[[Bytes, Bytes], float]) -> float:
    return float(np.mean([measure(a, b) for a, b in _frames(made, true)]))


def _frames(made: Video, true: Video) -> Iterator[tuple[Bytes, Bytes]]:
    check_video(made, "made")
    check_video(true, "true")
    if len(made) != len(true):
        raise UsageError(f"videos of {len(made)} and {len(true)} frames", "made, true", "cut one of them")
    for one, two in zip(made, true, strict=True):
        a, b = quantised(one), quantised(two)
        yield (a if a.shape == b.shape else cv2.resize(a, (b.shape[1], b.shape[0]))), b


def _psnr(error: float) -> float:
    return IDENTICAL if error == 0 else 20 * log10(255 / sqrt(error))


def _grey_ssim(a: Bytes, b: Bytes) -> float:
    if min(a.shape[:2]) < GREY_WINDOW:
        raise UsageError(f"frames of {a.shape[1]}x{a.shape[0]}, the window has {GREY_WINDOW} pixels", "frames")
    grey_a, grey_b = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY).astype(np.float64) for x in (a, b))
    count, edge = GREY_WINDOW**2, GREY_WINDOW // 2

    def blur(image: Float64[np.ndarray, "h w"]) -> Float64[np.ndarray, "h2 w2"]:
        return cv2.blur(image, (GREY_WINDOW, GREY_WINDOW))[edge:-edge, edge:-edge]

    constants = ((0.01 * 255) ** 2, (0.03 * 255) ** 2)
    return float(similarity(grey_a, grey_b, blur, constants=constants, unbiased=count / (count - 1)).mean())
