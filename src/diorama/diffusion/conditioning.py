"""What a network is told besides x and the level: four named places, cut together with the frames.

A fifth place is a design decision, not a keyword (design.md, idea 4).
"""

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float, Int64

from diorama.diffusion.reference import ReferenceCache
from diorama.errors import UsageError


@dataclass(frozen=True)
class Conditioning:
    """Conditions of b videos of t frames at latent size h x w; any of them may be absent.

    Attributes:
        concat: joined to x along channels: scene, occluder, masks, source view.
        context: tokens for cross-attention, one set a video "b n d" or one a frame "b t n d".
        reference: extra keys and values of self-attention.
        residual: added after the first convolution: pose, camera; as wide as that convolution's output.
    """

    concat: Float[torch.Tensor, "b c t h w"] | None = None
    context: Float[torch.Tensor, "b n d"] | Float[torch.Tensor, "b t n d"] | None = None
    reference: ReferenceCache | None = None
    residual: Float[torch.Tensor, "b r t h w"] | None = None

    def cut(self, spans: Int64[torch.Tensor, "k s"]) -> "Conditioning":
        """The conditions of k windows of s frames, "k*b ..." with the window outermost."""

        def video(value: torch.Tensor | None) -> torch.Tensor | None:
            return None if value is None else torch.cat([value[:, :, span] for span in spans])

        context = self.context
        if context is not None:
            whole = context.ndim == 3
            context = torch.cat([context if whole else context[:, span] for span in spans])
        return replace(self, concat=video(self.concat), context=context, residual=video(self.residual))

    def beside(self, other: "Conditioning", videos: int) -> "Conditioning":
        """Both as one batch: `videos` videos under these conditions, then as many under `other` (guidance in one call).

        A missing residual or context counts as zeros, which is what it is to the network; the others read no reference.

        Raises:
            UsageError: conditions that one batch cannot hold: another number of tokens, concat in one alone, or a
                reference in `other`.
        """
        if other.reference is not None:
            raise UsageError("a reference in the second half of a batch", "reference", "bind both one by one")
        cache = None if self.reference is None else replace(self.reference, readers=videos)
        parts = {}
        for name in ("concat", "context", "residual"):
            pair = [getattr(self, name), getattr(other, name)]
            given = [each for each in pair if each is not None]
            if not given:
                continue
            zeros = len(given) == 1 and name != "concat"
            alike = len(given) == 2 and given[0].shape[1:] == given[1].shape[1:]
            if not (zeros or alike) or any(videos % len(each) for each in given):
                shapes = [None if each is None else tuple(each.shape) for each in pair]
                raise UsageError(f"{shapes[0]} and {shapes[1]} for {videos} videos", name, "bind both one by one")
            whole = [torch.zeros_like(given[0]) if each is None else each for each in pair]
            rest = [1] * (given[0].ndim - 1)
            parts[name] = torch.cat([each.repeat(videos // len(each), *rest) for each in whole])
        return Conditioning(reference=cache, **parts)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "Conditioning":
        """The same on another device, in another type."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return Conditioning(**{k: None if v is None else v.to(device=device, dtype=dtype) for k, v in moved.items()})

    def frame_context(self, frames: int) -> Float[torch.Tensor, "bt n d"] | None:
        """Context tokens repeated for each of `frames` frames, frames innermost.

        Raises:
            UsageError: tokens of another number of frames.
        """
        if self.context is None:
            return None
        if self.context.ndim == 3:
            return self.context.repeat_interleave(frames, dim=0)
        if self.context.shape[1] != frames:
            raise UsageError(f"context of {self.context.shape[1]} frames for {frames} frames", "context")
        return self.context.flatten(0, 1)
