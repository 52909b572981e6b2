"""The released MIMO networks and pipeline at a small width (spec mimo.md), against numbers of their own code."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from diorama.diffusion import key_maps
from diorama.diffusion.conditioning import Conditioning
from diorama.diffusion.mimo import MimoInputs, MimoNetworks, MimoSettings, generate
from diorama.diffusion.mimo_load import load_mimo
from diorama.diffusion.motion_unet import adapt, predict, read_reference
from diorama.diffusion.pose_encoder import encode_poses
from diorama.diffusion.skeletons import motion_unet_config, unet_config
from diorama.diffusion.windows import WindowConfig

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("DIORAMA_GOLDEN", ROOT.parent / "shared" / "golden")) / "mimo_tiny"

pytestmark = pytest.mark.skipif(not (FOLDER / "config.json").is_file(), reason="golden mimo_tiny not found")


@pytest.fixture(scope="module")
def networks() -> MimoNetworks:
    return load_mimo(FOLDER)


@pytest.fixture(scope="module")
def call() -> dict[str, torch.Tensor]:
    return load_file(FOLDER / "forward.safetensors")


def settings(at_once: int) -> MimoSettings:
    config: dict[str, Any] = json.loads((FOLDER / "config.json").read_text())
    mode = "release" if config["closed_loop"] else "open"
    windows = WindowConfig(config["context_frames"], config["context_overlap"], mode=mode, at_once=at_once)
    return MimoSettings(config["steps"], config["guidance_scale"], windows=windows)


def far(one: torch.Tensor, two: torch.Tensor) -> float:
    """Relative distance."""
    return float((one - two).norm() / two.norm())


def poses(networks: MimoNetworks, call: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        clips = call["pose"].transpose(1, 2)
        return torch.stack([encode_poses(networks.pose_encoder, clip, at_once=3) for clip in clips])


def told(networks: MimoNetworks, call: dict[str, torch.Tensor], **places: Any) -> torch.Tensor:
    """v of the denoiser under the call's scene and poses, and what else is given."""
    cond = Conditioning(call["background_latents"], residual=call["pose_features"], **places)
    times = call["timestep"].float().expand(len(call["latents"]))
    return predict(networks.denoiser, call["latents"], times, cond)


def cached(networks: MimoNetworks, call: dict[str, torch.Tensor]) -> Any:
    cond = Conditioning(context=call["clip_embeds"])
    return read_reference(networks.reference, call["reference_latents"], cond, reader=networks.denoiser)


def test_pose_features(networks: MimoNetworks, call: dict[str, torch.Tensor]) -> None:
    assert far(poses(networks, call), call["pose_features"]) < 1e-5


def test_the_denoiser_without_a_reference(networks: MimoNetworks, call: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        out = told(networks, call, context=call["clip_embeds"])
    assert far(out, call["noise_pred_no_reference"]) < 1e-5


@pytest.mark.parametrize("gradients", [False, True])
def test_both_rows_of_guidance(networks: MimoNetworks, call: dict[str, torch.Tensor], gradients: bool) -> None:
    free, full = call["noise_pred_cfg"].chunk(2)
    with torch.set_grad_enabled(gradients):  # with them, attention takes another path
        cache = cached(networks, call)
        assert far(told(networks, call, context=torch.zeros_like(call["clip_embeds"])), free) < 1e-5
        assert far(told(networks, call, context=call["clip_embeds"], reference=cache), full) < 1e-5


def test_both_rows_in_one_call(networks: MimoNetworks, call: dict[str, torch.Tensor]) -> None:
    count = len(call["latents"])
    with torch.no_grad():
        places = {"concat": call["background_latents"], "residual": call["pose_features"]}
        full = Conditioning(context=call["clip_embeds"], reference=cached(networks, call), **places)
        both = full.beside(Conditioning(context=torch.zeros_like(call["clip_embeds"]), **places), count)
        times = call["timestep"].float().expand(2 * count)
        out = predict(networks.denoiser, torch.cat([call["latents"]] * 2), times, both)
    assert far(out, call["noise_pred_cfg"].roll(count, 0)) < 1e-5


@pytest.mark.parametrize("at_once", [1, 2])
def test_the_whole_pipeline(networks: MimoNetworks, at_once: int) -> None:
    given = load_file(FOLDER / "end_to_end.safetensors")
    inputs = MimoInputs(given["reference_image"][None], given["pose_images"], given["background_images"])
    made = generate(networks, inputs, settings(at_once), start=given["initial_latents"])
    assert far(made.latents, given["final_latents"]) < 1e-3
    error = (made.frames.transpose(0, 1)[None] - given["video"].float()).square().mean()
    assert float(-10 * error.log10()) >= 40


def listed(name: str) -> dict[str, torch.Tensor]:
    """Every tensor of a full-size file, without memory."""
    loaded = json.loads((FOLDER / name).read_text())
    shapes = {key: value["shape"] if isinstance(value, dict) else value for key, value in loaded.items()}
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def test_full_size_networks_have_exactly_the_released_tensors() -> None:
    denoiser = key_maps.mimo_denoiser({}, listed("full_size_denoiser_keys.json"))
    reference = key_maps.mimo_reference(listed("full_size_reference_keys.json"))
    from diffusers import UNet2DConditionModel, UNetMotionModel

    with torch.device("meta"):
        video = adapt(UNetMotionModel(**motion_unet_config({k: tuple(v.shape) for k, v in denoiser.items()})))
        picture = adapt(UNet2DConditionModel(**unet_config({k: tuple(v.shape) for k, v in reference.items()})))
    assert {k: v.shape for k, v in video.state_dict().items()} == {k: v.shape for k, v in denoiser.items()}
    places = {k: v.shape for k, v in picture.state_dict().items() if k not in key_maps.REFERENCE_ABSENT}
    assert places == {k: v.shape for k, v in reference.items()}
    assert round(sum(parameter.numel() for parameter in video.parameters()) / 1e6) == 1313
