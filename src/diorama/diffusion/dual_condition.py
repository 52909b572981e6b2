"""SP4D's network with its conditions bound: what `diorama.diffusion.denoise.from_v_edm` takes."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float

from diorama.diffusion.dual_unet import DualUNet
from diorama.diffusion.view_cameras import without_condition


@dataclass(frozen=True, eq=False)
class DualCondition:
    """What SP4D is told about the object (spec sp4d.md 2.3).

    Attributes:
        image: latents of the input frames, not scaled (the codec's mode).
        context: image embedding of each input frame.
        cameras: vector of each view, from `camera_vector`.
        cond_view: latents of the views at the first frame where they are known, else zeros.
    """

    image: Float[torch.Tensor, "b t l h w"]
    context: Float[torch.Tensor, "b t d"]
    cameras: Float[torch.Tensor, "b v e"]
    cond_view: Float[torch.Tensor, "b v l h w"]

    def dropped(self) -> "DualCondition":
        """The unconditional pass: only the cameras stay."""
        return replace(
            self,
            image=torch.zeros_like(self.image),
            context=torch.zeros_like(self.context),
            cameras=without_condition(self.cameras),
            cond_view=torch.zeros_like(self.cond_view),
        )


def bound(network: DualUNet, condition: DualCondition) -> Callable[[torch.Tensor, float], torch.Tensor]:
    """The network as ``(x, c_noise) -> v`` for latents "b c n h w": c colours then parts, n frames x views, views
    fastest.
    """
    views = condition.cameras.shape[1]
    frames = condition.image.shape[1]
    image = condition.image.repeat_interleave(views, dim=1).flatten(0, 1)
    vector = condition.cameras.repeat(1, frames, 1).flatten(0, 1)

    def predict(x: Float[torch.Tensor, "b c n h w"], time: float) -> Float[torch.Tensor, "b c n h w"]:
        rgb, part = x.transpose(1, 2).flatten(0, 1).chunk(2, dim=1)
        sample = torch.cat([rgb, image, part, image], dim=1)
        times = torch.full((len(sample),), time, device=x.device)
        out = network(sample, times, context=condition.context, vector=vector, cond_view=condition.cond_view)
        return out.unflatten(0, (x.shape[0], -1)).transpose(1, 2)

    return predict
