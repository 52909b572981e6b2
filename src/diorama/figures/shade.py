"""A character made to belong in a scene: its light, its colours, its sharpness and its grain.

Light is taken from the actor who is replaced, whose colours without light are known from the other frames; or, where
nobody was there, from the picture of the scene itself. All gains are bounded: an estimate that fails must not be worse
than none.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from torch.nn import functional

from diorama.core.camera import Cameras
from diorama.errors import UsageError
from diorama.figures.garment import check_sights, moved_out
from diorama.figures.harmonics import EVEN, Lighting, fit_light, harmonics, sphere
from diorama.figures.show import Shown
from diorama.figures.sight import Sight, taken_from
from diorama.figures.texture import Character

NORM = 6
"""Of the Minkowski mean by which the colour of light is told (shades of grey; Finlayson and Trezzi 2004)."""
MOST_GAIN = 1.8
TOLD_BY_PEOPLE, TOLD_BY_SCENE, TINT = 0.67, 0.55, 0.2
"""Powers of a ratio of brightness, or of colour, that a gain is: what regression over the theatre's clips gives."""
BLOCK = 16
"""Pixels along a side of the blocks in which noise is measured."""
STRONG = 12.0
"""Levels a pixel by which the brightness changes at an edge that tells of sharpness."""
MOST_BLUR, MOST_GRAIN = 3.0, 25.0
_EVERY = 7  # of the texels, for fits of nine numbers


@dataclass(frozen=True)
class Look:
    """How a camera shows a scene.

    Attributes:
        blur: deviation of the spread of a sharp edge, pixels.
        grain: deviation of the noise, of 255.
    """

    blur: float | int = 0.0
    grain: float | int = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.blur <= 100 and 0 <= self.grain <= 255):
            raise UsageError(f"blur {self.blur} and grain {self.grain}", "Look", "give pixels and levels, 0 or more")


def light_of_actor(actor: Character, sight: Sight) -> Lighting:
    """The light on a person in one frame whose colours without light are known; in the axes of the world.

    Raises:
        UsageError: a frame with another body, or one that shows next to nothing of it.
    """
    check_sights(actor.body, [sight])
    faces = actor.body.mesh.faces
    taken = taken_from(sight.moved(moved_out(sight.vertices, faces, actor.offset)), faces, actor.texels)
    chosen = np.flatnonzero((taken.weight > 0) & (actor.known > 0))[::_EVERY]
    colors, albedo = taken.colors[chosen], actor.colors[chosen]
    weight = taken.weight * actor.texels.areas(actor.body.mesh)
    return fit_light(taken.normals[chosen], colors, albedo, weight[chosen])


def light_of_scene(background: UInt8[np.ndarray, "h w 3"], camera: Cameras, *, strength: float | int = 0.5) -> Lighting:
    """The light on somebody who was not there, guessed from the picture: bright places shine, of mean factor 1.

    The picture stands for all directions: what is behind the camera is its mirror image, what is above or below it
    goes on from its border.

    Args:
        background: the scene.
        camera: of the picture.
        strength: 0 for even light, 1 for all that the picture says.
    """
    ways = sphere(600)
    local = ways @ camera.viewmats[0, :3, :3].T.astype(np.float32)
    local[:, 2] = np.maximum(np.abs(local[:, 2]), 0.05)
    at = local @ camera.Ks[0].T.astype(np.float32)
    x, y = np.clip(at[:, :2] / at[:, 2:], 0, [camera.width - 1, camera.height - 1]).astype(np.int64).T
    tile = max(1, min(background.shape[:2]) // 12)
    smooth = functional.avg_pool2d(_planes(background), 2 * tile + 1, 1, tile, count_include_pad=False)[0]
    shine = smooth[:, torch.from_numpy(y), torch.from_numpy(x)].T.numpy()
    fall = np.maximum(ways @ ways.T, 0)
    falls = fall @ shine / fall.sum(axis=1, keepdims=True)
    level = falls / max(float(falls.mean()), 1e-3)
    factors = np.linalg.lstsq(harmonics(ways), level, rcond=None)[0]
    return Lighting((strength * factors + (1 - strength) * EVEN.factors).astype(np.float32))


def exposure_from_actor(character: Character, actor: Character) -> Float32[np.ndarray, "3"]:
    """Gains that bring a character to the exposure of the clip of an actor, by what is bright on either of them.

    Among dressed people the brightest tenth tells most of the light: over ten clips of the theatre its logarithm goes
    with that of the light at a correlation of 0.84 (slope 0.67), what is around people at 0.55.

    Raises:
        UsageError: one of which nothing was seen.
    """
    levels = [_bright(who) for who in (actor, character)]
    gain = np.clip((levels[0] / levels[1]) ** TOLD_BY_PEOPLE, 1 / MOST_GAIN, MOST_GAIN)
    return np.full(3, gain, np.float32)


def balance(
    photo: UInt8[np.ndarray, "h w 3"],
    scene: UInt8[np.ndarray, "h2 w2 3"],
    beside: Bool[np.ndarray, "h w"],
    around: Bool[np.ndarray, "h2 w2"],
) -> Float32[np.ndarray, "3"]:
    """Gains that bring a photo's exposure and white balance to a scene's, told by what is around the people.

    Lawns and red walls are no white balance: of the ratio of colours a small part is taken.

    Args:
        photo: that the character is of.
        scene: that it comes into.
        beside: the pixels of the photo that count, without the person.
        around: those of the scene.

    Raises:
        UsageError: nothing counts.
    """
    if not beside.any() or not around.any():
        raise UsageError("no pixels beside the people", "balance", "leave the colours, or give wider pictures")
    ratio = _level(scene, around) / _level(photo, beside)
    whole = float(ratio.prod() ** (1 / 3))
    gain = whole**TOLD_BY_SCENE * (ratio / whole) ** TINT
    return np.clip(gain, 1 / MOST_GAIN, MOST_GAIN).astype(np.float32)


def look_of(image: UInt8[np.ndarray, "h w 3"], where: Bool[np.ndarray, "h w"] | None = None) -> Look:
    """Sharpness and grain of a picture, or of a part of it."""
    return Look(blur_of(image, where), noise_of(image, where))


def noise_of(image: UInt8[np.ndarray, "h w 3"], where: Bool[np.ndarray, "h w"] | None = None) -> float:
    """Deviation of a picture's noise, of 255, from its quiet blocks (Immerkaer's Laplacian, 1996, with medians).

    0 where no whole block counts.
    """
    kernel = torch.tensor([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]])[None, None] / 6
    gray = _planes(image).mean(dim=1, keepdim=True)
    counts = torch.ones(gray.shape) if where is None else torch.from_numpy(where)[None, None].float()
    counts = counts * ((gray > 4) & (gray < 251))  # what is clipped has no noise
    if min(gray.shape[2:]) < BLOCK + 2:
        return 0.0
    off = functional.conv2d(gray, kernel).abs()
    good = -functional.max_pool2d(-counts, 3, 1)
    blocks = functional.unfold(off, BLOCK, stride=BLOCK)[0]
    whole = functional.unfold(good, BLOCK, stride=BLOCK)[0].amin(dim=0) > 0
    if not whole.any():
        return 0.0
    sigmas = 1.4826 * blocks[:, whole].median(dim=0).values
    return float(sigmas.quantile(0.25)) * _GRAY_TO_CHANNEL


def blur_of(image: UInt8[np.ndarray, "h w 3"], where: Bool[np.ndarray, "h w"] | None = None) -> float:
    """Deviation of the spread of a picture's sharpest edges, pixels (Zhuo and Sim, "Defocus map estimation", 2011).

    An edge is blurred again by a known amount; by how much its gradient falls tells how sharp it was. 0 without edges.
    """
    again = 1.0
    gray = _planes(image).mean(dim=1, keepdim=True)
    if min(gray.shape[2:]) < 9:
        return 0.0
    (across, down), (wide, deep) = _slopes(gray), _slopes(_blurred(gray, again))
    first, second = (across**2 + down**2).sqrt(), (wide**2 + deep**2).sqrt()
    counts = torch.ones(gray.shape, dtype=torch.bool) if where is None else torch.from_numpy(where)[None, None]
    rows, columns = (functional.max_pool2d(first, size, 1, pad) for size, pad in (((1, 3), (0, 1)), ((3, 1), (1, 0))))
    peak = first == torch.where(across.abs() > down.abs(), rows, columns)
    strong = peak & counts & (first > STRONG)
    if int(strong.sum()) < 30:
        return 0.0
    ratio = (first[strong] / second[strong].clamp(min=1e-3)).clamp(min=1.0001)
    spread = again / (ratio**2 - 1).sqrt()
    return float(spread.clamp(max=2 * MOST_BLUR).quantile(0.2))


def matched(
    shown: Shown,
    look: Look,
    rng: np.random.Generator,
    *,
    own: Look = Look(),
    gain: Float[np.ndarray, "3"] | None = None,
) -> Shown:
    """A character as the camera of a scene would show it.

    Args:
        shown: as drawn.
        look: of the scene.
        rng: for the grain.
        own: of the character as drawn: only what is missing is added.
        gain: on each channel, as from `balance`.
    """
    rows, columns = (np.flatnonzero((shown.alpha > 0).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return shown
    reach = int(np.ceil(3 * MOST_BLUR)) + 1
    here = np.s_[max(rows[0] - reach, 0) : rows[-1] + reach + 1, max(columns[0] - reach, 0) : columns[-1] + reach + 1]
    image, alpha = shown.image.copy(), shown.alpha.copy()
    colors = image[here] * (np.ones(3, np.float32) if gain is None else gain.astype(np.float32))
    missing = float(np.sqrt(max(look.blur**2 - own.blur**2, 0)))
    if missing > 0.25:
        colors, alpha[here] = _spread(colors, alpha[here], min(missing, MOST_BLUR))
    grain = min(float(np.sqrt(max(look.grain**2 - own.grain**2, 0))), MOST_GRAIN)
    if grain > 0.3:  # mostly of brightness, as that of cameras after coding
        size = colors.shape[:2]
        noise = 0.8 * rng.standard_normal((*size, 1), np.float32) + 0.6 * rng.standard_normal((*size, 3), np.float32)
        colors = colors + np.float32(grain) * noise
    image[here] = np.where(alpha[here][..., None] > 0, np.rint(np.clip(colors, 0, 255)), 0)
    return replace(shown, image=image, alpha=alpha)


def _spread(
    image: Float32[np.ndarray, "h w 3"], alpha: Float32[np.ndarray, "h w"], sigma: float
) -> tuple[Float32[np.ndarray, "h w 3"], Float32[np.ndarray, "h w"]]:
    """Colours and alpha blurred together, so that nothing of the black beside the character comes in."""
    both = np.concatenate([image * alpha[..., None], alpha[..., None] * 255], axis=-1)
    wide = _blurred(torch.from_numpy(both.astype(np.float32)).permute(2, 0, 1)[None], sigma)[0].permute(1, 2, 0).numpy()
    share = wide[..., 3:] / 255
    share = np.where(share < 1 / 512, 0, share)
    return wide[..., :3] / np.maximum(share, 1e-6) * (share > 0), share[..., 0].astype(np.float32)


_GRAY_TO_CHANNEL = 1 / (0.8**2 + 0.6**2 / 3) ** 0.5
"""From the noise of the channels' mean to that of a channel, for grain as `matched` adds it."""


def _bright(who: Character) -> float:
    seen = who.known > 0
    if not seen.any():
        raise UsageError("nothing of the person was seen", "exposure", "make the character from a better photo")
    return max(float(np.percentile(who.colors[seen].mean(axis=1), 90)), 1.0)


def _level(image: UInt8[np.ndarray, "h w 3"], where: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "3"]:
    values = image[where].astype(np.float64) / 255
    return 255 * np.maximum((values**NORM).mean(axis=0) ** (1 / NORM), 1 / 255)


def _planes(image: UInt8[np.ndarray, "h w 3"]) -> Float[torch.Tensor, "1 3 h w"]:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float()


def _slopes(
    gray: Float[torch.Tensor, "1 1 h w"],
) -> tuple[Float[torch.Tensor, "1 1 h w"], Float[torch.Tensor, "1 1 h w"]]:
    """How steep a picture is along its rows and its columns, levels a pixel."""
    wide = functional.pad(gray, (1, 1, 1, 1), mode="replicate")
    return (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]) / 2, (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]) / 2


def _blurred(planes: Float[torch.Tensor, "1 c h w"], sigma: float) -> Float[torch.Tensor, "1 c h w"]:
    reach = max(1, int(np.ceil(3 * sigma)))
    bell = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    bell = bell / bell.sum()
    channels = planes.transpose(0, 1)
    edges = functional.pad(channels, (reach, reach, reach, reach), mode="replicate")
    rows = functional.conv2d(edges, bell.view(1, 1, 1, -1))
    return functional.conv2d(rows, bell.view(1, 1, -1, 1)).transpose(0, 1)
