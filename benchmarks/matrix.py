"""From the released schedule of the frame matrix to "balanced", step by step: calls, pictures, seconds.

Run: ``OMP_NUM_THREADS=1 python benchmarks/matrix.py``. The network is Zeroscope's at a small width with random
weights: what it paints is noise, what it costs is told against the released schedule in the same run. Eight frames of
a theatre clip at 80 x 48; every row has the changes of those above it. Pictures so small are not cropped: what that
saves is told by "balanced" at two levels on a larger clip whose parallax is that of films.
"""

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet3DConditionModel

from diorama.bench._stereo_truth import Size, StereoCase, theatre_case
from diorama.core.memory import keep_freed_memory
from diorama.diffusion.codec_kl import DiffusersCodec
from diorama.diffusion.coding import Coding
from diorama.diffusion.levels import schedule
from diorama.diffusion.matrix_passes import Counted
from diorama.diffusion.prior import Frames, Latents
from diorama.diffusion.prior_unet import UNetPrior
from diorama.pipelines.matrix_config import QUALITIES, RELEASE, MatrixSettings
from diorama.pipelines.matrix_fill import Painter
from diorama.pipelines.matrix_views import camera_shares, motions_of, warp_views
from table import show

SIZE = Size(frames=8, height=48, width=80)
WIDTHS = (32, 64)
STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("the view that is known whole is never denoised", {"fixes_source": True}),
    ("what is known is renewed at every fourth level", {"inject_every": 4}),
    ("four views", {"num_views": 4}),
    ("20 levels", {"num_inference_steps": 20}),
    ("fewer resamplings", {"resamples": 2, "late_resamples": 1, "spatial_resamples": 2}),
    (
        "background is borrowed, guesses in place of black, one warp, crops",
        {"borrows": True, "guesses": True, "warp": "subpixel", "crops": True},
    ),
)
LARGE, SEED, PARALLAX = Size(frames=8, height=256, width=448), 6, 0.02
"""The clip for crops, and the parallax of its near things, in widths."""


@dataclass(eq=False)
class Told(UNetPrior):
    """A prior that tells how many pictures went through its autoencoder."""

    pictures: list[int] = field(default_factory=list)

    def encode(self, frames: Frames) -> Latents:
        """As the prior, counted."""
        self.pictures.append(len(frames))
        return super().encode(frames)

    def decode(self, latents: Latents) -> Frames:
        """As the prior, counted."""
        self.pictures.append(latents.shape[1])
        return super().decode(latents)


def prior() -> Told:
    """Zeroscope's kind of network, small."""
    torch.manual_seed(0)
    ends = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    codec = AutoencoderKL(block_out_channels=(8, 8, 16, 16), norm_num_groups=4, layers_per_block=1, **ends)
    unet = UNet3DConditionModel(
        sample_size=10,
        block_out_channels=WIDTHS,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=32,
        attention_head_dim=8,
    )
    return Told(
        name="small",
        size=(SIZE.height, SIZE.width),
        longest=16,
        unet=unet.eval(),
        codec=DiffusersCodec(codec.eval()),
        trained=schedule(),
        prediction="epsilon",
        context=torch.zeros(2, 4, 32),
        guidance_scale=1.0,
        coding=Coding(),
    )


def painted(case: StereoCase, settings: MatrixSettings, at_once: int = 4) -> tuple[Counted, int, float]:
    """What a quality asks of the network, pictures through the autoencoder, and seconds."""
    asked, shares = prior(), camera_shares("right", settings.num_views)
    near = (case.disparity / case.disparity.max()).astype(np.float32)
    start = time.perf_counter()
    motions = motions_of(case.left) if settings.borrows else None
    views = warp_views(case.left, case.disparity, near, shares[0], warp=settings.warp, motions=motions)
    counted = Counted(at_once=at_once)
    numbers = range(len(case.left))
    Painter(asked, settings, counted=counted).paint(views.pictures, views.known, source=shares[1], numbers=numbers)
    return counted, sum(asked.pictures), time.perf_counter() - start


def main() -> list[dict[str, object]]:
    """All rows."""
    keep_freed_memory()
    case, settings = theatre_case(0, SIZE), RELEASE
    painted(case, replace(QUALITIES["draft"], num_inference_steps=1))  # compiles
    first, released = _row("released schedule, one video at a time", painted(case, settings, 1), None)
    rows = [first, _row("columns and rows in batches of four", painted(case, settings), released)[0]]
    for title, changes in STEPS:
        settings = replace(settings, **changes)
        rows.append(_row(title, painted(case, settings), released)[0])
    assert settings == replace(QUALITIES["balanced"], outpaints=False)
    return [*rows, *_crops()]


def _crops() -> list[dict[str, object]]:
    case = theatre_case(SEED, LARGE)
    near = float(np.quantile(case.disparity, 0.98))
    case = replace(case, disparity=case.disparity * np.float32(PARALLAX * LARGE.width / near))
    settings = replace(QUALITIES["balanced"], outpaints=False, num_inference_steps=2)
    whole = painted(case, replace(settings, crops=False))[2]
    counted, _, seconds = painted(case, settings)
    note = f"{whole:.1f} s whole, {seconds:.1f} s in crops; {counted.calls} calls"
    figure = f"crops around holes at {LARGE.width} x {LARGE.height}, times as fast"
    return [{"figure": figure, "measured": f"{whole / seconds:.2f}", "note": note}]


def _row(
    title: str, found: tuple[Counted, int, float], released: tuple[int, float] | None
) -> tuple[dict[str, object], tuple[int, float]]:
    counted, pictures, seconds = found
    whole, slowest = released or (counted.latent_frames, seconds)
    share = counted.latent_frames / whole
    note = f"{counted.calls} calls, {pictures} pictures through the autoencoder; {slowest / seconds:.1f} times as fast"
    measured = f"{counted.latent_frames} latent frames ({share:.1%}), {seconds:.1f} s"
    row: dict[str, object] = {"figure": title, "measured": measured, "note": note}
    if title.startswith("background"):
        row |= {"goal": "<= 16.7 %", "ok": share <= 1 / 6}
    return row, (whole, slowest)


if __name__ == "__main__":
    show(main())
