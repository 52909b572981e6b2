"""What cameras and codecs do to pictures: crops, light, haze, defocus, noise, compression, each by chance."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional

Image = Float[torch.Tensor, "3 h w"]
Plane = Float[torch.Tensor, "h w"]
Cut = tuple[Float[torch.Tensor, "3 a b"], Float[torch.Tensor, "a b"]]
CLEAN, HAZY, DEFOCUSED = 0.35, 0.2, 0.2
# Quantisation of luma of the JPEG standard (ITU-T T.81, table K.1).
_LUMA = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""


@dataclass(frozen=True, eq=False)
class Spoiled:
    """A picture as a network gets it.

    Attributes:
        image: RGB in [0, 1].
        inverse: of its pixels, on half the grid.
        known: 1 where the truth counts.
    """

    image: Image
    inverse: Float[torch.Tensor, "hh hw"]
    known: Float[torch.Tensor, "hh hw"]


def spoil(image: Image, inverse: Plane, rng: np.random.Generator, *, height: int, width: int) -> Spoiled:
    """A crop of a picture at the network's size, spoiled at random.

    Args:
        image: RGB in [0, 1].
        inverse: inverse depth of its pixels, 1/m.
        rng: the source of chance.
        height, width: of the result, pixels.
    """
    image, inverse = _cropped(image, inverse, rng, width / height)
    image = functional.interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0]
    near = functional.interpolate(inverse[None, None], (height, width), mode="nearest-exact")[0, 0]
    if rng.random() < HAZY:
        image = _hazed(image, near, rng)
    if rng.random() < DEFOCUSED:
        image = _defocused(image, near, rng)
    image = _lit(image, rng)
    if rng.random() >= CLEAN:
        image = _coarsened(image, rng)
    truth = functional.interpolate(inverse[None, None], (height // 2, width // 2), mode="nearest-exact")[0, 0]
    known = torch.ones_like(truth)
    if rng.random() < 0.06:
        bar = int(rng.integers(1, max(2, height // 14))) * 2
        image = image.clone()
        image[:, :bar], image[:, -bar:], known[: bar // 2], known[-bar // 2 :] = 0, 0, 0, 0
    return Spoiled(image.clamp(0, 1), truth, known)


def _coarsened(image: Image, rng: np.random.Generator) -> Image:
    """Blur or sharpening, noise, compression."""
    if rng.random() < 0.35:
        image = _blurred(image, float(rng.uniform(0.3, 1.4)))
    elif rng.random() < 0.25:
        image = image + float(rng.uniform(0.3, 1.2)) * (image - _blurred(image, 1.0))
    if rng.random() < 0.5:
        image = _grainy(image, rng)
    if rng.random() < 0.5:
        image = _compressed(image.clamp(0, 1), float(np.exp(rng.uniform(np.log(0.15), np.log(2.5)))))
    return image


def _cropped(image: Image, inverse: Plane, rng: np.random.Generator, aspect: float) -> Cut:
    rows, columns = inverse.shape
    high = min(rows, columns / aspect) * float(rng.uniform(0.7, 1.0))
    h, w = max(8, int(high)), max(8, int(high * aspect))
    top, left = int(rng.integers(rows - h + 1)), int(rng.integers(columns - w + 1))
    image, inverse = image[:, top : top + h, left : left + w], inverse[top : top + h, left : left + w]
    return (image.flip(2), inverse.flip(1)) if rng.random() < 0.5 else (image, inverse)


def _hazed(image: Image, near: Plane, rng: np.random.Generator) -> Image:
    air = torch.tensor(float(rng.uniform(0.55, 0.95)) + rng.normal(0, 0.05, 3), dtype=torch.float32)[:, None, None]
    share = 1 - torch.exp(-float(np.exp(rng.uniform(-4.5, -2.2))) / near.clamp(min=1e-3))
    return image + share * (air - image)


def _defocused(image: Image, near: Plane, rng: np.random.Generator) -> Image:
    """Sharp at one distance; blur grows with the difference of inverse depth."""
    focus = float(near.flatten()[int(rng.integers(near.numel()))])
    reach = float(torch.quantile(near, 0.95)) + 1e-6
    amount = ((near - focus).abs() / reach * float(rng.uniform(1, 4))).clamp(0, 1)
    amount = _blurred(amount[None], 1.0)
    return image + amount * (_blurred(image, float(rng.uniform(0.8, 3.0))) - image)


def _lit(image: Image, rng: np.random.Generator) -> Image:
    """Exposure, contrast, gamma, saturation, tint, and light that falls off to a side or to the corners."""
    grey = image.mean(0, keepdim=True)
    if rng.random() < 0.06:
        image = grey.expand_as(image)
    image = grey + float(rng.uniform(0.3, 1.7)) * (image - grey)
    if rng.random() < 0.1:
        image = image[rng.permutation(3).tolist()]
    tint = torch.tensor(np.exp(rng.normal(0, 0.1, 3)), dtype=torch.float32)[:, None, None]
    image = (image * tint).clamp(1e-4, 1) ** float(np.exp(rng.normal(0, 0.3)))
    image = float(np.exp(rng.normal(0, 0.25))) * (0.5 + float(np.exp(rng.normal(0.1, 0.25))) * (image - 0.5))
    height, width = image.shape[1:]
    y, x = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)[None]
    if rng.random() < 0.35:
        angle, depth = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0, 0.5))
        image = image * (1 + depth * (np.cos(angle) * x + np.sin(angle) * y))
    if rng.random() < 0.3:
        image = image * (1 - float(rng.uniform(0, 0.35)) * (x * x + y * y) / 2)
    return image.clamp(0, 1)


def _blurred(image: Float[torch.Tensor, "c h w"], sigma: float) -> Float[torch.Tensor, "c h w"]:
    half = max(1, round(2.5 * sigma))
    taps = torch.exp(-((torch.arange(-half, half + 1) / sigma) ** 2) / 2)
    taps = (taps / taps.sum())[None, None]
    padded = functional.pad(image[:, None], (half, half, half, half), mode="replicate")
    return functional.conv2d(functional.conv2d(padded, taps[:, :, None]), taps[..., None])[:, 0]


def _grainy(image: Image, rng: np.random.Generator) -> Image:
    """Noise of the sensor, grey and in colour, sometimes coarse."""
    height, width = image.shape[1:]
    strength = float(rng.uniform(0.004, 0.05))
    coarse = int(rng.choice([1, 1, 2]))
    grain = rng.standard_normal((3, -(-height // coarse), -(-width // coarse)), np.float32)
    grain = grain.repeat(coarse, 1).repeat(coarse, 2)[:, :height, :width]
    together = float(rng.uniform(0, 1))
    noise = together * grain[:1] + (1 - together) * grain
    return image + strength * torch.from_numpy(np.ascontiguousarray(noise))


@cache
def _cosines() -> Float[torch.Tensor, "8 8"]:
    """The orthonormal DCT of eight samples."""
    k, n = torch.arange(8.0)[:, None], torch.arange(8.0)[None]
    matrix = torch.cos(torch.pi * (2 * n + 1) * k / 16) / 2
    matrix[0] /= 2**0.5
    return matrix


def _compressed(image: Image, scale: float) -> Image:
    """Rounded in blocks of 8 x 8 in the frequency domain, as JPEG and the codecs of films do; 1 is JPEG quality 50."""
    height, width = image.shape[1:]
    table = torch.tensor([float(v) for v in _LUMA.split()]).reshape(8, 8) * scale / 255
    low, high = -height % 8, -width % 8
    padded = functional.pad(image[None], (0, high, 0, low), mode="replicate")[0]
    luma = padded.mean(0, keepdim=True)
    planes = torch.cat([luma, padded - luma])
    rows, columns = planes.shape[1] // 8, planes.shape[2] // 8
    blocks = planes.reshape(4, rows, 8, columns, 8).transpose(2, 3)
    dct = _cosines()
    steps = torch.stack([table, *[1.5 * table] * 3])[:, None, None]
    kept = torch.round(dct @ blocks @ dct.T / steps) * steps
    back = (dct.T @ kept @ dct).transpose(2, 3).reshape(4, rows * 8, columns * 8)
    return (back[:1] + back[1:])[:, :height, :width]
