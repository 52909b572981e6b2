"""Keys and values of reference pictures, layer by layer: read once, shared by all frames, windows and steps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import nn

from diorama.errors import UsageError

Table = dict[str, torch.Tensor]
Heads = Float[torch.Tensor, "r heads n d"]


@dataclass(frozen=True)
class ReferenceCache:
    """Keys and values of r references (one for each video, or one for all), by layer.

    Attributes:
        keys, values: "r heads n d" of each layer, in the reading network's own projections.
        bias: added to the logits of reference keys, "r 1 1 n": log strength, and minus infinity where masked.
        grid: height and width of the reference latents, and of the videos that may read it unless `any_size`.
        signature: of the weights that made the keys; a cache of other weights is refused.
        any_size: whether videos of another size may read it, as networks trained so can.
        frames: of the videos that read, so that a frame finds its video's reference.
        readers: the first so many videos of a batch read, the others do not (guidance in one call); all where None.
    """

    keys: Mapping[str, Heads]
    values: Mapping[str, Heads]
    grid: tuple[int, int]
    signature: tuple[object, ...] = ()
    bias: Mapping[str, Float[torch.Tensor, "r 1 1 n"]] | None = None
    frames: int = 1
    any_size: bool = False
    readers: int | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(each.nbytes for table in (self.keys, self.values) for each in table.values())

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "ReferenceCache":
        """The same on another device, in another type."""

        def moved(table: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {name: each.to(device=device, dtype=dtype) for name, each in table.items()}

        bias = None if self.bias is None else moved(_floored(self.bias, dtype))
        return replace(self, keys=moved(self.keys), values=moved(self.values), bias=bias)

    def joined(self, other: "ReferenceCache") -> "ReferenceCache":
        """Both references together: the target may look at either (cost grows by one reference).

        Raises:
            UsageError: caches of different networks or numbers of videos.
        """
        if self.signature != other.signature or self.keys.keys() != other.keys.keys():
            raise UsageError("two references of different networks or weights", "reference", "encode both anew")
        if len(self) != len(other):
            given = f"references of {len(self)} and of {len(other)} videos"
            raise UsageError(given, "reference", "join those of as many videos")

        def both(
            one: Mapping[str, torch.Tensor], two: Mapping[str, torch.Tensor], axis: int
        ) -> dict[str, torch.Tensor]:
            return {name: torch.cat([one[name], two[name]], dim=axis) for name in one}

        bias = None
        if self.bias is not None or other.bias is not None:
            bias = both(self._full_bias(), other._full_bias(), 3)
        return replace(self, keys=both(self.keys, other.keys, 2), values=both(self.values, other.values, 2), bias=bias)

    def scaled(self, strength: float | int) -> "ReferenceCache":
        """Reference logits moved by log `strength`: 1 changes nothing, 2 equals showing it twice, 0 switches it off.

        Raises:
            UsageError: a negative strength.
        """
        if not 0 <= strength < math.inf:
            raise UsageError(f"a reference strength of {strength}", "strength", "give 0 or more")
        return self._shifted(math.log(strength) if strength > 0 else -math.inf)

    def masked(self, mask: Float[torch.Tensor, "r h w"]) -> "ReferenceCache":
        """Only reference tokens where `mask` (at the latents' size, 1 shown, 0 hidden) is at least one half are seen.

        In layers of fewer tokens it is averaged; where nothing reaches one half there, the fullest tokens are seen.

        Raises:
            UsageError: a mask of another size or range, one that hides a whole reference, or joined references.
        """
        if tuple(mask.shape) != (len(self), *self.grid):
            given = f"a mask of {tuple(mask.shape)} for {len(self)} references of {self.grid}"
            raise UsageError(given, "mask", "give it at the size of the latents")
        if not bool(((mask >= 0) & (mask <= 1)).all()):
            raise UsageError("a mask with values outside [0, 1]", "mask", "give 1 where shown, 0 where hidden")
        if not bool((mask >= 0.5).flatten(1).any(dim=1).all()):
            raise UsageError("the mask hides a whole reference", "mask", "leave a part of it, or give no reference")
        bias = self._full_bias()
        hidden = {name: _hidden(mask, each.shape[3], self.grid).to(each.device) for name, each in bias.items()}
        return replace(self, bias={k: each.masked_fill(hidden[k], _never(each.dtype)) for k, each in bias.items()})

    def kept(self, keep: Bool[torch.Tensor, " r"]) -> "ReferenceCache":
        """Videos where `keep` is false read no reference: training's dropout, one draw a video.

        Raises:
            UsageError: not one flag a video.
        """
        if len(keep) != len(self):
            raise UsageError(f"{len(keep)} flags for {len(self)} references", "kept", "read one reference a video")
        return self._shifted(torch.where(keep, 0.0, -math.inf)[:, None, None, None])

    def over(self, frames: int) -> "ReferenceCache":
        """Itself, read by videos of `frames` frames."""
        return replace(self, frames=frames)

    def __len__(self) -> int:
        """Videos that have references of their own here; 1 may be shared."""
        return len(next(iter(self.keys.values())))

    def _shifted(self, shift: float | Float[torch.Tensor, "r 1 1 1"]) -> "ReferenceCache":
        bias = {name: each + torch.as_tensor(shift).to(each) for name, each in self._full_bias().items()}
        return replace(self, bias=_floored(bias, next(iter(bias.values())).dtype))

    def _full_bias(self) -> dict[str, torch.Tensor]:
        if self.bias is not None:
            return dict(self.bias)
        return {name: each.new_zeros(len(each), 1, 1, each.shape[2]) for name, each in self.keys.items()}


def _never(dtype: torch.dtype) -> float:
    """A logit shift after which nothing is left, without infinities that would make nan of empty rows."""
    return torch.finfo(dtype).min / 4


def _floored(bias: Mapping[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {name: each.clamp_min(_never(dtype)) for name, each in bias.items()}


def _hidden(mask: Float[torch.Tensor, "r h w"], count: int, grid: tuple[int, int]) -> Bool[torch.Tensor, "r 1 1 n"]:
    """Tokens not to be seen in a layer of `count`; its size is the grid halved some times, rounded up."""
    height, width = grid
    while height * width > count:
        height, width = -(-height // 2), -(-width // 2)
    if height * width != count:
        raise UsageError(f"{count} tokens do not fit a grid of {grid}", "mask", "mask before joining references")
    small = nn.functional.adaptive_avg_pool2d(mask[:, None].float(), (height, width)).flatten(1)
    return (small < small.amax(dim=1, keepdim=True).clamp_max(0.5))[:, None, None]
