"""Options of the embedded generator that trade: what each saves, and what it costs."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from diorama.bench.people import Case, held_out_cases, psnr
from diorama.core.memory import keep_freed_memory
from diorama.diffusion.backbone import Backbone
from diorama.diffusion.codec import Codec
from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.coding import Coding, decode_video, encode_video, seam_error
from diorama.diffusion.generate import SampleConfig, generate, load_backbone
from diorama.diffusion.pictures import to_frames
from table import show

CLIPS, FRAMES = 4, 16
FULL = SampleConfig(num_inference_steps=24, guidance_interval=(0.0, math.inf))
"""What the others are compared with."""
Row = dict[str, object]


@dataclass(frozen=True)
class Made:
    """Clips made with some options, and seconds each took (the middle one)."""

    clips: list[np.ndarray]
    seconds: float


OPTIONS: dict[str, SampleConfig] = {
    "24 steps, guided throughout": FULL,
    "12 steps, guided throughout": replace(FULL, num_inference_steps=12),
    "12 steps, guided in the middle (default)": SampleConfig(),
    "12 steps, no guidance": replace(FULL, num_inference_steps=12, guidance_scale=1.0),
    "8 steps, guided in the middle": SampleConfig(num_inference_steps=8),
    "6 steps, guided in the middle": SampleConfig(num_inference_steps=6),
    "6 steps of DPM++ 2M, guided in the middle": SampleConfig(num_inference_steps=6, solver="dpm++2m"),
    "4 steps, no guidance": replace(FULL, num_inference_steps=4, guidance_scale=1.0),
}


def made(network: Backbone, codec: Codec, cases: list[Case], config: SampleConfig) -> Made:
    """Without preview, where guidance and steps have most to do."""
    clips, spent = [], []
    for case in cases:
        given = replace(case.given, preview=None, preview_alpha=None)
        start = time.perf_counter()
        latents = generate(network, given, case.latents, config=config)
        spent.append(time.perf_counter() - start)
        clips.append(codec.decode(latents[0].transpose(0, 1)).permute(0, 2, 3, 1).numpy())
    return Made(clips, statistics.median(spent))


def sampling(network: Backbone, codec: Codec, cases: list[Case]) -> list[Row]:
    """Steps and guidance."""
    rows, best = [], None
    for name, config in OPTIONS.items():
        found = made(network, codec, cases, config)
        best = best or found
        truths = [case.seen.image / np.float32(255) for case in cases]
        true = np.mean([psnr(a, t, case.inside) for a, t, case in zip(found.clips, truths, cases, strict=True)])
        change = [psnr(a, b, case.inside) for a, b, case in zip(found.clips, best.clips, cases, strict=True)]
        note = "" if found is best else f"{np.mean(change):.1f} dB to the first row"
        gain = f"{best.seconds / found.seconds:.2f}x"
        rows.append({"figure": name, "measured": f"{gain}, {true:.2f} dB to the truth inside", "note": note})
    return rows


def tiling(codec: Codec, cases: list[Case]) -> list[Row]:
    """Tiles of the decoder: memory for time; encoding is exact."""
    first, second, third = (to_frames(case.seen.image[:4]) for case in cases[:3])
    upper = torch.cat([first, second, third], dim=3)
    latents = encode_video(codec, torch.cat([upper, upper.flip(3)], dim=2))
    seconds, rows = _median(lambda: decode_video(codec, latents)), []
    for tile, overlap in ((256, 64), (256, 32), (128, 32)):
        coding = Coding(tile=tile, overlap=overlap)
        seams = seam_error(codec, latents, coding)
        rows.append(
            {
                "figure": f"decoding 512 x 768 in tiles of {tile} that share {overlap}",
                "measured": f"{seconds / _median(lambda coding=coding: decode_video(codec, latents, coding)):.2f}x",
                "note": f"{seams.psnr:.1f} dB to whole, largest error {seams.largest:.3f}",
            }
        )
    return rows


def _median(work: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@torch.inference_mode()
def main() -> list[Row]:
    """All rows."""
    keep_freed_memory()
    codec = load_codec()
    cases = held_out_cases(CLIPS, FRAMES, codec)
    return sampling(load_backbone(), codec, cases) + tiling(codec, cases)


if __name__ == "__main__":
    show(main())
