"""Upscalers of `transformers` as ours: Swin2SR (arXiv 2209.11345), frame by frame, and then brought in step.

These networks know no neighbours. What is warped from them takes part afterwards: where it is believed, the result is
the mean of the network's answer and the neighbours, which quietens what the network makes up anew in every frame.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from diorama.core.extras import need
from diorama.diffusion.upscaler import High, Low, Neighbour
from diorama.errors import ModelError, OutOfMemoryError
from diorama.perception import hub
from diorama.pipelines.upscale_config import GIVE

CLASSES = {"swin2sr": "Swin2SRForImageSuperResolution"}
FACTORS = (2, 4)
WITHOUT = ("pixelshuffle_aux", "")
"""Heads that give more than a picture, or one of the same size."""
TILE, MARGIN = 256, 16
"""Pixels a side that are worked off at once, and around them."""
FAITH = 0.5
"""Share of a neighbour where its mask is 1; two of them share it."""


def open_hub(name: str | Path, note: Callable[[str], None], device: str = "auto") -> "HubUpscaler":
    """A model from a local folder, the download cache, or the hub; see `located`.

    Args:
        name: folder or hub name.
        note: told of the licence, and of a download.
        device: "auto" (CUDA where there is one), "cpu", "cuda", ...

    Raises:
        ModelError: not found, of another family, damaged, or not for RGB at 2 or 4 times the size; no such device.
    """
    folder = located(name, note)
    config = folder.config
    factor, head = config.get("upscale", 2), config.get("upsampler", "pixelshuffle")
    if folder.family in CLASSES and (factor not in FACTORS or head in WITHOUT or config.get("num_channels", 3) != 3):
        what = f"a model of the factor {factor!r} with the head {head!r}"
        raise ModelError(what, folder.path, "choose one of RGB pictures at 2 or 4 times the size")
    note(folder.terms)
    return HubUpscaler(_placed(hub.load(folder, CLASSES), device), int(factor), folder.path)


def located(name: str | Path, note: Callable[[str], None]) -> hub.ModelFolder:
    """As `diorama.perception.hub.locate`, but the catalogue's names are those of other networks.

    Raises:
        ModelError: as there; a name that is neither a folder's nor one of the hub.
    """
    if not Path(name).is_dir() and not hub.HUB_NAME.fullmatch(str(name)):
        raise ModelError(f"{str(name)!r} is no folder and no upscaler that is known", "--upscaler", GIVE)
    return hub.locate(name, note)


def _placed(network: Any, device: str) -> Any:
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        return network.to(chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:160]
        raise ModelError(f"cannot use the device {chosen!r} ({reason})", "--device", "use cpu") from error


@dataclass(frozen=True, eq=False)
class HubUpscaler:
    """An `Upscaler`.

    Attributes:
        network: of `transformers`.
        factor: pixels a side for each pixel.
        where: its folder, for messages.
    """

    network: Any
    factor: int
    where: Path

    def __call__(self, frame: Low, before: Neighbour | None, beside: Neighbour | None) -> High:
        """As `Upscaler`.

        Raises:
            ModelError: the network does not run on this size, or its answer is not finite.
            OutOfMemoryError: memory does not hold a tile.
        """
        made = self._alone(frame).clamp(0, 1)
        neighbours = [neighbour for neighbour in (before, beside) if neighbour is not None]
        return blended(made, neighbours)

    def _alone(self, frame: Low) -> High:
        """In tiles, each with a margin that is cut off."""
        height, width = frame.shape[-2:]
        made = frame.new_empty((len(frame), 3, self.factor * height, self.factor * width))
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                rows, columns = _span(top, height), _span(left, width)
                found = self._forward(frame[..., rows[0] : rows[3], columns[0] : columns[3]])
                cut = [slice(self.factor * (a[1] - a[0]), self.factor * (a[2] - a[0])) for a in (rows, columns)]
                into = [slice(self.factor * a[1], self.factor * a[2]) for a in (rows, columns)]
                made[..., into[0], into[1]] = found[..., cut[0], cut[1]]
        return made

    def _forward(self, tile: Low) -> High:
        """Padded by its mirror image to whole windows of attention, as the published preprocessing does."""
        height, width = tile.shape[-2:]
        window = int(self.network.config.window_size)
        padded = _mirrored(tile, -height % window + window, -width % window + window)
        try:
            found: torch.Tensor = self.network(pixel_values=padded.to(self.network.device)).reconstruction
        except (MemoryError, need("torch").OutOfMemoryError) as error:
            raise OutOfMemoryError(f"upscaling {width}x{height} pixels", self.where, "use the embedded one") from error
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"the model does not run on {width}x{height} pixels ({reason})", self.where) from error
        found = found[..., : self.factor * height, : self.factor * width].float().to(tile.device)
        if found.shape[-2:] != (self.factor * height, self.factor * width) or not bool(torch.isfinite(found).all()):
            raise ModelError("the model's answer is not finite, or too small", self.where)
        return found


def _span(start: int, side: int) -> tuple[int, int, int, int]:
    """Where a tile's margin begins, it itself, it ends, and its margin ends."""
    stop = min(start + TILE, side)
    return max(0, start - MARGIN), start, stop, min(side, stop + MARGIN)


def _mirrored(tile: Low, down: int, across: int) -> High:
    """With rows and columns added at the end: the mirror image with the border twice, again and again if need be."""
    rows, columns = (_mirror(side, more) for side, more in zip(tile.shape[-2:], (down, across), strict=True))
    return tile[..., rows, :][..., columns]


def _mirror(side: int, more: int) -> torch.Tensor:
    places = torch.arange(side + more) % (2 * side)
    return torch.where(places < side, places, 2 * side - 1 - places)


def blended(made: High, neighbours: list[Neighbour]) -> High:
    """A picture, and neighbours with equal shares where they are believed.

    Args:
        made: RGB in [0, 1].
        neighbours: warped to its pixels, and masks at any size.
    """
    if not neighbours:
        return made
    total, weight = made.clone(), torch.ones_like(made[:, :1])
    for neighbour in neighbours:
        mask = functional.interpolate(neighbour.mask, made.shape[-2:], mode="bilinear", align_corners=False)
        share = mask * FAITH / (1 - FAITH) / len(neighbours)
        total += share * neighbour.image.clamp(0, 1)
        weight = weight + share
    return total / weight
