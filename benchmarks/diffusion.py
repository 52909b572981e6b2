"""MIMO's pipeline at the golden width: seconds and FLOPs of each part, and what each saving is worth."""

import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from safetensors.torch import load_file
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

from diorama.core.memory import keep_freed_memory
from diorama.diffusion.clip_image import image_tokens
from diorama.diffusion.coding import decode_video, encode_video
from diorama.diffusion.conditioning import Conditioning
from diorama.diffusion.mimo import MimoInputs, MimoNetworks, MimoSettings, generate
from diorama.diffusion.mimo_load import load_mimo
from diorama.diffusion.motion_unet import predict, read_reference
from diorama.diffusion.pose_encoder import encode_poses
from diorama.diffusion.reference import Recorder, spatial_attentions
from diorama.diffusion.windows import WindowConfig
from table import show

ROOT = Path(__file__).parents[1]
GOLDEN = Path(os.environ.get("DIORAMA_GOLDEN", ROOT.parent / "shared" / "golden")) / "mimo_tiny"
REPEATS, GOAL = 5, 1.3

Row = dict[str, object]


def median(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds: the middle one of five runs, after one that warms up."""
    work()
    times = []
    for _ in range(REPEATS):
        start = clock()
        work()
        times.append(clock() - start)
    return statistics.median(times)


def versus(slow: Callable[[], object], fast: Callable[[], object]) -> float:
    """How many times faster, in processor time: turns are taken, so that a busy machine slows both."""
    ratios = []
    slow(), fast()
    for _ in range(REPEATS):
        spent = []
        for work in (slow, fast):
            start = time.process_time()
            work()
            spent.append(time.process_time() - start)
        ratios.append(spent[0] / spent[1])
    return statistics.median(ratios)


def flops(work: Callable[[], object]) -> float:
    """Floating-point operations, 2 for a multiplication and an addition."""

    def attention(q: list[int], k: list[int], v: list[int], *_: object, **__: object) -> int:
        return 2 * q[0] * q[1] * q[2] * k[2] * (q[3] + v[3])

    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with FlopCounterMode(display=False, custom_mapping={kernel: attention}) as counter:
        work()
    return counter.get_total_flops()


class Published:
    """Reference attention as published code has it (mimo.md 1.5, 6.1, 6.2): for measuring against.

    The reference's tokens are copied for each frame and projected anew in each call; rows without reference attend to
    it, too, and are then done again without it.
    """

    def __init__(self, bank: torch.Tensor) -> None:
        self.bank = bank

    def __call__(self, attn: Attention, hidden_states: torch.Tensor, **_: object) -> torch.Tensor:
        half = len(hidden_states) // 2
        both = torch.cat([hidden_states, self.bank.expand(len(hidden_states), -1, -1)], dim=1)
        out = self._attend(attn, hidden_states, both)
        return torch.cat([self._attend(attn, hidden_states[:half], hidden_states[:half]), out[half:]])

    @staticmethod
    def _attend(attn: Attention, x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        pairs = ((attn.to_q, x), (attn.to_k, seen), (attn.to_v, seen))
        q, k, v = (layer(each).unflatten(2, (attn.heads, -1)).transpose(1, 2) for layer, each in pairs)
        return attn.to_out[0](scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def golden() -> tuple[MimoNetworks, MimoInputs, MimoSettings, torch.Tensor]:
    """The golden run."""
    config, given = json.loads((GOLDEN / "config.json").read_text()), load_file(GOLDEN / "end_to_end.safetensors")
    windows = WindowConfig(config["context_frames"], config["context_overlap"], mode="release", at_once=2)
    settings = MimoSettings(config["steps"], config["guidance_scale"], windows=windows)
    inputs = MimoInputs(given["reference_image"][None], given["pose_images"], given["background_images"])
    return load_mimo(GOLDEN), inputs, settings, given["initial_latents"]


def parts(networks: MimoNetworks, inputs: MimoInputs, latents: torch.Tensor) -> dict[str, Callable[[], object]]:
    """What happens before and after denoising."""
    floats = {
        name: each.permute(0, 3, 1, 2).float() / 255
        for name, each in (("reference", inputs.reference), ("scene", inputs.scene), ("poses", inputs.poses))
        if each is not None
    }
    told = Conditioning(context=image_tokens(networks.image_encoder, inputs.reference))
    picture = encode_video(networks.codec, floats["reference"]).transpose(0, 1)
    return {
        "clip": lambda: image_tokens(networks.image_encoder, inputs.reference),
        "encode": lambda: [encode_video(networks.codec, floats[name]) for name in ("reference", "scene")],
        "pose": lambda: encode_poses(networks.pose_encoder, floats["poses"]),
        "reference": lambda: read_reference(networks.reference, picture, told, reader=networks.denoiser),
        "decode": lambda: decode_video(networks.codec, latents[0]),
    }


def one_call(networks: MimoNetworks, *, side: int = 28, frames: int = 4) -> dict[str, Callable[[], Any]]:
    """Both rows of guidance for one window: here, as published, and as published with the reference read each time."""
    unet, channels = networks.denoiser, networks.codec.channels
    size = (frames, side, side)
    scene, residual = torch.randn(1, channels, *size), torch.randn(1, unet.conv_in.out_channels, *size)
    told, picture = torch.randn(1, 1, unet.config.cross_attention_dim), torch.randn(1, channels, side, side)
    cache = read_reference(networks.reference, picture, Conditioning(context=told), reader=unet)
    free = Conditioning(scene, torch.zeros_like(told), None, residual)
    cond = Conditioning(scene, told, cache, residual)
    x, times = torch.randn(1, channels, *size).repeat(2, 1, 1, 1, 1), torch.full((2,), 500.0)
    both, other = cond.beside(free, 1), free.beside(replace(cond, reference=None), 1)

    def bank(rows: int) -> dict[str, torch.Tensor]:
        recorder = Recorder()
        shown, context = picture.expand(rows, -1, -1, -1), told.expand(rows, -1, -1)
        networks.reference(shown, torch.zeros(rows), context, cross_attention_kwargs={"reference": recorder})
        return {name: each[-1:] for name, each in recorder.tokens.items()}

    tokens = bank(1)

    def published(again: bool) -> torch.Tensor:
        layers = spatial_attentions(unet)
        ours = {name: layer.processor for name, layer in layers.items()}
        found = bank(2) if again else tokens  # published code reads it for both rows
        for name, layer in layers.items():
            layer.set_processor(Published(found[name]))
        try:
            return predict(unet, x, times, other)
        finally:
            for name, layer in layers.items():
                layer.set_processor(ours[name])

    return {
        "here": lambda: predict(unet, x, times, both),
        "unguided": lambda: predict(unet, x[:1], times[:1], cond),
        "apart": lambda: [predict(unet, x[:1], times[:1], each) for each in (cond, free)],
        "published": lambda: published(False),
        "each time": lambda: published(True),
    }


def ratios(networks: MimoNetworks, inputs: MimoInputs, settings: MimoSettings, start: torch.Tensor) -> list[Row]:
    """What is saved, and how much it is worth."""
    call = one_call(networks)
    here, there = call["here"](), call["published"]().roll(1, 0)
    gap = float((here - there).norm() / there.norm())
    work = {name: flops(each) for name, each in call.items()}
    q, k, v = (torch.randn(2, 8, 1024, 80) for _ in range(3))

    def plain() -> torch.Tensor:
        with sdpa_kernel(SDPBackend.MATH):
            return scaled_dot_product_attention(q, k, v)

    def made(**changes: object) -> Callable[[], object]:
        return lambda: generate(networks, inputs, replace(settings, **changes), start=start)

    alone = replace(settings.windows, at_once=1)
    rows = [
        ("reference keys kept, not projected anew in each call", call["published"], call["here"], 0.0,
         f"same result but for {gap:.0e}; {work['published'] / 1e9:.2f} -> {work['here'] / 1e9:.2f} GFLOP"),
        ("the same against reading the reference each time", call["each time"], call["here"], 1.3,
         f"{work['each time'] / 1e9:.2f} GFLOP"),
        ("fused attention against plain, 1024 tokens", plain, lambda: scaled_dot_product_attention(q, k, v), 1.5, ""),
        ("guidance off, against guidance in two calls", call["apart"], call["unguided"], 1.5, "another result"),
        ("both rows of guidance in one call", call["apart"], call["here"], 0.0, "same result"),
        ("two windows at once, whole run", made(windows=alone), made(), 0.0, "same result"),
    ]  # fmt: skip
    out = []
    for figure, slow, fast, goal, note in rows:
        ratio = versus(slow, fast)
        row: Row = {"figure": figure, "measured": f"{ratio:.2f}x", "note": note}
        out.append({**row, "goal": f">= {goal}x", "ok": ratio >= goal} if goal else row)
    return out


@torch.inference_mode()
def main() -> list[Row]:
    """All rows; none without the golden folder."""
    if not (GOLDEN / "config.json").is_file():
        return [{"figure": "MIMO, golden width", "measured": "not measured", "note": f"no folder {GOLDEN}"}]
    keep_freed_memory()
    networks, inputs, settings, start = golden()

    def whole() -> object:
        return generate(networks, inputs, settings, start=start)

    took, work = median(whole), flops(whole)
    size = f"{len(inputs.poses)} frames of {inputs.poses.shape[2]} x {inputs.poses.shape[1]}"
    figure = f"MIMO end to end, {size}, {settings.num_inference_steps} steps"
    note = f"{work / 1e9:.1f} GFLOP; published code about 2.4 s; {torch.get_num_threads()} threads"
    rows: list[Row] = [
        {"figure": figure, "measured": f"{took:.2f} s", "goal": f"<= {GOAL} s", "ok": took <= GOAL, "note": note}
    ]
    seconds, costs = {}, {}
    for name, part in parts(networks, inputs, start).items():
        seconds[name], costs[name] = median(part), flops(part)
    seconds["denoise"], costs["denoise"] = took - sum(seconds.values()), work - sum(costs.values())
    for name, spent in seconds.items():
        rows.append({"figure": f"- {name}", "measured": f"{spent:.3f} s", "note": f"{costs[name] / 1e9:.2f} GFLOP"})
    return rows + ratios(networks, inputs, settings, start)


if __name__ == "__main__":
    show(main())
