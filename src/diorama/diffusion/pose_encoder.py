"""Pose pictures to a residual of the denoiser's first convolution: a few convolutions of stride 8 (mimo.md 1.6).

The network is `ControlNetConditioningEmbedding` of diffusers; its last convolution starts as zero.
"""

from pathlib import Path

import torch
from jaxtyping import Float

from diorama.diffusion import key_maps
from diorama.diffusion.checkpoint import read_tensors
from diorama.diffusion.families import FAMILIES, shapes_of
from diorama.diffusion.fit import fit
from diorama.diffusion.skeletons import skeleton
from diorama.errors import ModelError, UsageError

STRIDE = 8
"""Pixels a side of one latent position."""


def load_pose_encoder(path: Path) -> torch.nn.Module:
    """The pose encoder of MIMO, Moore-AnimateAnyone or a ControlNet, in evaluation mode, float32, on the CPU.

    Raises:
        ModelError: damaged weights, or of another network.
    """
    tensors = key_maps.pose_guider(read_tensors(path))
    network = skeleton(FAMILIES["pose-guider"], shapes_of(tensors))
    if network is None:
        raise ModelError("no pose encoder", path)
    fit(network, tensors, source=str(path))
    return network.eval().requires_grad_(False)


def encode_poses(
    network: torch.nn.Module, frames: Float[torch.Tensor, "t 3 h w"], *, at_once: int = 8
) -> Float[torch.Tensor, "r t hh ww"]:
    """The residual of each frame, an eighth of its size; frames in [0, 1].

    Args:
        at_once: frames in one call: at 784 x 784 the first layers take 19 MB a frame.

    Raises:
        UsageError: no frames, or sides that are no multiples of 8.
    """
    if not len(frames) or frames.shape[2] % STRIDE or frames.shape[3] % STRIDE or min(frames.shape) < 1:
        given = f"{len(frames)} pose pictures of {frames.shape[3]} x {frames.shape[2]}"
        raise UsageError(given, "poses", f"give frames whose sides are multiples of {STRIDE}")
    weight = next(network.parameters())
    return torch.cat([network(part.to(weight)) for part in frames.split(at_once)]).transpose(0, 1)
