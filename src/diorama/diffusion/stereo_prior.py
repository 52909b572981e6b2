"""scene-s, the embedded prior of scenes: given a picture whose holes are filled by guess, it says what is there."""

from pathlib import Path

import torch
from jaxtyping import Float

from diorama.diffusion.backbone import Given

EMBEDDED = Path(__file__).parent / "data" / "scene-s.safetensors"


def guess_of(guess: Float[torch.Tensor, "b c t h w"], unknown: Float[torch.Tensor, "b 1 t h w"]) -> Given:
    """A guess as the backbone takes it: a preview that covers the holes of a scene.

    Args:
        guess: latents with the holes filled.
        unknown: the share of each position that is guessed, 0 to 1.
    """
    everywhere = torch.ones_like(unknown)
    return Given(scene=guess, scene_known=everywhere, preview=guess, preview_alpha=unknown)
