"""A codec by name, or from a file or folder."""

from pathlib import Path

import torch

from diorama.diffusion.codec import Codec
from diorama.diffusion.codec_kl import open_folder
from diorama.diffusion.codec_small import EMBEDDED, open_small
from diorama.errors import ModelError

NAMED = {"codec-s": EMBEDDED}
"""What comes with the package."""


def load_codec(name: str | Path = "codec-s", *, device: torch.device | str = "cpu") -> Codec:
    """A codec, in evaluation mode, float32.

    Args:
        name: "codec-s" (embedded); a ``.safetensors`` file of that architecture; or a folder of AutoencoderKL or
            AutoencoderTiny of `diffusers`, or of a pipeline that has one in ``vae``.
        device: where to put it.

    Raises:
        ModelError: unknown, missing, damaged, or of another architecture.
    """
    path = NAMED.get(str(name), Path(name))
    if path.is_dir():
        return open_folder(path).to(device)
    if path.suffix != ".safetensors":
        known = ", ".join(NAMED)
        raise ModelError(f"no codec called {str(name)!r}", name, f"known: {known}; or name a folder or a file")
    return open_small(path).to(device)
