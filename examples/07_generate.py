"""The embedded generator: somebody it has never met, in a new pose: python examples/07_generate.py [folder]"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from diorama.bench.people import Case, held_out_cases
from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.generate import SampleConfig, generate, load_backbone
from diorama.media.images import save_image
from diorama.train.preview import grid, to_picture

STEPS = 12


def main(folder: Path) -> None:
    """Rows: true frames; the preview that was given; made from it; made without it; made without a reference."""
    folder.mkdir(parents=True, exist_ok=True)
    codec, network = load_codec(), load_backbone()
    (case,) = held_out_cases(1, 4, codec)
    bare = replace(case.given, preview=None, preview_alpha=None)
    nobody = replace(bare, reference=None, reference_codes=None)
    options = SampleConfig(num_inference_steps=STEPS)

    def frames(latents: torch.Tensor) -> list[np.ndarray]:
        return [to_picture(frame.numpy()) for frame in codec.decode(latents[0].transpose(0, 1))]

    made = [frames(generate(network, given, case.latents, config=options)) for given in (case.given, bare, nobody)]
    save_image(folder / "generated.png", grid([list(case.seen.image), list(_pasted(case)), *made]))
    print(f"{folder / 'generated.png'}: {len(case.seen.image)} frames in {STEPS} steps")


def _pasted(case: Case) -> np.ndarray:
    shown = case.seen.codes.any(axis=-1, keepdims=True)
    return case.seen.preview * shown + case.seen.scene * ~shown


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
