"""SP4D's dual UNet: the published numbers, the laws of its exchange and attention, and what it refuses."""

import json
import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention import TemporalBasicTransformerBlock
from diffusers.models.resnet import SpatioTemporalResBlock
from safetensors.torch import load_file, save_file

from diorama.diffusion.dual_condition import DualCondition, bound
from diorama.diffusion.dual_keys import key_map, shape_from
from diorama.diffusion.dual_load import load_dual, load_single
from diorama.diffusion.dual_unet import DualUNet
from diorama.diffusion.view_attention import camera_layout, camera_restore
from diorama.diffusion.view_cameras import camera_vector, guidance_scales, novel_cameras, without_condition
from diorama.diffusion.view_inputs import check_inputs
from diorama.diffusion.view_shape import PRESETS, ViewShape
from diorama.diffusion.view_unet import ViewUNet
from diorama.errors import ModelError, UsageError

GOLDEN = Path(os.environ.get("DIORAMA_GOLDEN", Path(__file__).parents[2] / "../shared/golden")) / "sp4d_tiny"
golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no golden numbers of SP4D")

SHAPE = ViewShape(
    widths=(32, 32),
    layers_per_level=1,
    attention_levels=(False, True),
    head_dim=16,
    context_dim=24,
    vector_dim=40,
)
FRAMES, VIEWS = 2, 3


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        yield


@pytest.fixture(scope="module")
def network() -> DualUNet:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return DualUNet.of(SHAPE).eval()


def given(shape: ViewShape = SHAPE, *, batch: int = 1, branches: int = 2, size: int = 8) -> dict[str, torch.Tensor]:
    """Random inputs of a network."""
    count = batch * FRAMES * VIEWS
    return {
        "sample": torch.randn(count, 2 * branches * shape.latent_channels, size, size),
        "timestep": torch.full((count,), 0.3),
        "context": torch.randn(batch, FRAMES, shape.context_dim),
        "vector": torch.randn(count, shape.vector_dim),
        "cond_view": torch.randn(batch, VIEWS, shape.latent_channels, size, size),
    }


@torch.no_grad()
def run(network: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    return network(inputs["sample"], inputs["timestep"], **{k: inputs[k] for k in ("context", "vector", "cond_view")})


def published(network: DualUNet | ViewUNet) -> dict[str, torch.Tensor]:
    state = network.state_dict()
    return {theirs: state[ours].contiguous() for theirs, ours in key_map(network).items()}


def away(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


# The published numbers


@golden
@pytest.mark.parametrize("name", sorted(p.stem.removeprefix("forward_") for p in GOLDEN.glob("forward_*.safetensors")))
def test_forward_pass_equals_the_published_code(name: str) -> None:
    config = json.loads((GOLDEN / f"config_{name}.json").read_text())
    numbers = load_file(GOLDEN / f"forward_{name}.safetensors")
    mode = "released" if config["use_3d_attention"] else "per_pixel_view"
    network = load_dual(GOLDEN / "dual_unet.safetensors", head_dim=config["num_head_channels"], camera_attention=mode)
    inputs = {
        "sample": numbers["sample"],
        "timestep": numbers["timesteps"],
        "context": numbers["context"],
        "vector": numbers["y"],
        "cond_view": numbers["cond_view"].unflatten(0, (-1, config["views"])),
    }
    assert numbers["context"].shape[1] == config["frames"]
    out = run(network, inputs)
    assert away(out, numbers["output"]) < 1e-5
    assert (out - numbers["output"]).abs().max() < 1e-5 * numbers["output"].abs().max()
    assert network.shape.widths == tuple(m * config["model_channels"] for m in config["channel_mult"])


@golden
def test_full_size_keys_and_shapes_equal_the_published_ones_without_memory() -> None:
    with torch.device("meta"):
        network = DualUNet.of(PRESETS["sp4d"])
    names, state = key_map(network), network.state_dict()
    assert len(set(names.values())) == len(names)
    assert set(names.values()) == set(state)
    shapes = {theirs: list(state[ours].shape) for theirs, ours in names.items()}
    assert shapes == json.loads((GOLDEN / "full_size_keys.json").read_text())
    assert sum(p.numel() for p in network.parameters()) == 4_090_471_156
    assert sum(p.numel() for p in network.rgb.parameters()) == 2_010_961_338
    assert len(network.rgb.state_dict()) == len(network.part.state_dict()) == 1_924
    assert len(state) == 3_948


def test_size_is_read_off_the_tensors() -> None:
    for shape in (PRESETS["sp4d"], PRESETS["sp4d-tiny"], replace(SHAPE, latent_channels=6)):
        with torch.device("meta"):
            network = DualUNet.of(shape)
        options = {"head_dim": shape.head_dim, "camera_attention": shape.camera_attention}
        assert shape_from(published(network), "file", **options) == shape


def test_fusions_stand_after_every_step() -> None:
    widths = PRESETS["sp4d"].fusion_widths
    assert widths == (*[320] * 4, *[640] * 3, *[1280] * 5, 1280, *[1280] * 6, *[640] * 3, *[320] * 3)
    assert len(widths) == 25


# The exchange


def test_without_fusion_each_branch_is_a_lone_network() -> None:
    network = DualUNet.of(SHAPE).eval()
    network.zero_fusions()
    inputs = given(batch=2)
    rgb, part = inputs["sample"].chunk(2, dim=1)
    out = run(network, inputs)
    assert torch.equal(out[:, :4], run(network.rgb, inputs | {"sample": rgb}))
    alone = run(network.part, inputs | {"sample": part})
    assert not torch.allclose(out[:, 4:], alone), "the part branch's own embedding is not read"
    network.part.time_embedding.load_state_dict(network.rgb.time_embedding.state_dict())
    network.part.vector_embedding.load_state_dict(network.rgb.vector_embedding.state_dict())
    assert torch.equal(out[:, 4:], run(network.part, inputs | {"sample": part}))
    assert torch.equal(out, run(network, inputs))


def test_with_fusion_each_side_influences_the_other(network: DualUNet) -> None:
    inputs = given()
    out = run(network, inputs)
    for side in (0, 1):
        sample = inputs["sample"].clone()
        sample[:, 8 * side : 8 * side + 4] += 1
        other = slice(4, 8) if side == 0 else slice(0, 4)
        assert away(run(network, inputs | {"sample": sample})[:, other], out[:, other]) > 1e-4


def test_start_from_a_single_network_keeps_its_result(network: DualUNet) -> None:
    single = ViewUNet.of(SHAPE).eval()
    dual = DualUNet.of(replace(SHAPE, camera_attention="released")).eval()
    dual.start_from(single)
    inputs = given(branches=1)
    expected = run(single, inputs)
    out = run(dual, inputs | {"sample": inputs["sample"].repeat(1, 2, 1, 1)})
    assert torch.equal(out[:, :4], expected)
    assert torch.equal(out[:, 4:], expected)
    with pytest.raises(UsageError, match="start_from"):
        dual.start_from(ViewUNet.of(replace(SHAPE, context_dim=8)))


def test_batch_of_two_equals_two_singles(network: DualUNet) -> None:
    inputs = given(batch=2)
    for mode in ("released", "per_pixel_view", "full_3d"):
        with_mode = DualUNet.of(replace(SHAPE, camera_attention=mode)).eval()
        with_mode.load_state_dict(network.state_dict())
        parts = []
        for half in range(2):
            single = {k: v[half * len(v) // 2 : (half + 1) * len(v) // 2] for k, v in inputs.items()}
            parts.append(run(with_mode, single))
        assert away(run(with_mode, inputs), torch.cat(parts)) < 1e-5


# Attention between cameras


def views_together(mode: Any, *, views: int = 4, pixels: int = 16) -> tuple[list[set[int]], list[set[int]]]:
    """Which views and which frames meet in each sequence of the temporal block."""
    frames = 3
    tags = torch.arange(frames * views * pixels, dtype=torch.float32).view(1, frames, views, pixels, 1)
    rows, length = camera_layout(tags.expand(-1, -1, -1, -1, 8).contiguous(), mode)
    block = TemporalBasicTransformerBlock(8, 8, 1, 8, 8)
    seen: list[torch.Tensor] = []
    block.norm_in.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][..., 0].long()))
    block(rows, num_frames=length, encoder_hidden_states=torch.zeros(rows.shape[0] // length * frames, 1, 8))
    tokens = seen[0]
    by_view = [set((row // pixels % views).tolist()) for row in tokens]
    return by_view, [set((row // (pixels * views)).tolist()) for row in tokens]


def test_camera_attention_joins_what_its_mode_says() -> None:
    for mode in ("released", "per_pixel_view", "full_3d"):
        _, frames = views_together(mode)
        assert all(len(found) == 1 for found in frames), "never between frames"
    views, _ = views_together("per_pixel_view")
    assert all(found == {0, 1, 2, 3} for found in views)
    assert len(views) == 3 * 16
    views, _ = views_together("full_3d")
    assert all(found == {0, 1, 2, 3} for found in views)
    assert len(views) == 3
    views, _ = views_together("released")
    assert all(len(found) == 1 for found in views)
    assert len(views) == 3 * 16
    views, _ = views_together("released", pixels=9)
    assert 1 < sum(map(len, views)) / len(views) < 1.5, "runs across the border of two views"


@pytest.mark.parametrize("mode", ["released", "per_pixel_view", "full_3d"])
def test_camera_layout_is_undone(mode: Any) -> None:
    tokens = torch.randn(2, 3, 4, 5, 6)
    assert torch.equal(camera_restore(camera_layout(tokens, mode)[0], tokens.shape, mode), tokens)


@torch.no_grad()
def test_views_keep_their_order_only_through_the_convolution() -> None:
    network = ViewUNet.of(replace(SHAPE, camera_attention="per_pixel_view")).eval()
    inputs = given(branches=1)
    order = torch.tensor([2, 0, 1])
    swapped = {
        name: inputs[name].unflatten(0, (FRAMES, VIEWS))[:, order].flatten(0, 1) for name in ("sample", "vector")
    }
    swapped = inputs | swapped | {"cond_view": inputs["cond_view"][:, order]}

    def difference() -> float:
        expected = run(network, inputs).unflatten(0, (FRAMES, VIEWS))[:, order].flatten(0, 1)
        return away(run(network, swapped), expected)

    assert difference() > 1e-4
    for block in network.modules():
        if isinstance(block, SpatioTemporalResBlock):
            block.time_mixer.mix_factor.fill_(100)  # all of the picture's own
    assert difference() < 1e-5


def test_known_views_and_cameras_matter(network: DualUNet) -> None:
    inputs = given()
    out = run(network, inputs)
    for name in ("cond_view", "vector", "context", "timestep"):
        assert away(run(network, inputs | {name: inputs[name] + 0.5}), out) > 1e-4, name


# Training


def test_checkpointing_gives_the_same_gradients_and_dead_weights_get_none(network: DualUNet) -> None:
    trained = DualUNet.of(SHAPE)
    inputs = given(size=4)

    def gradients() -> dict[str, torch.Tensor | None]:
        trained.zero_grad()
        out = trained(
            inputs["sample"], inputs["timestep"], **{k: inputs[k] for k in ("context", "vector", "cond_view")}
        )
        out.square().mean().backward()
        return {name: p.grad for name, p in trained.named_parameters()}

    plain = gradients()
    trained.enable_gradient_checkpointing()
    assert trained.is_gradient_checkpointing
    again = gradients()
    assert {name.rsplit(".", 2)[0] for name, grad in plain.items() if grad is None} == {
        "part.time_embedding",
        "part.vector_embedding",
    }
    for name, grad in plain.items():
        other = again[name]
        assert (grad is None) == (other is None)
        if grad is not None and other is not None:
            assert torch.allclose(grad, other, atol=1e-6), name


def test_saves_and_opens_as_networks_of_diffusers_do(tmp_path: Path, network: DualUNet) -> None:
    network.save_pretrained(tmp_path)
    again = DualUNet.from_pretrained(tmp_path)
    assert again.shape == network.shape
    inputs = given()
    assert torch.equal(run(again, inputs), run(network, inputs))


def test_tiny_preset_learns() -> None:
    shape = PRESETS["sp4d-tiny"]
    network = DualUNet.of(shape)
    network.zero_fusions()
    assert sum(p.numel() for p in network.parameters()) < 8e6
    inputs = given(shape, size=4)
    target = torch.randn(len(inputs["sample"]), 8, 4, 4)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=2e-3)
    losses = []
    for _ in range(4):
        out = network(
            inputs["sample"], inputs["timestep"], **{k: inputs[k] for k in ("context", "vector", "cond_view")}
        )
        loss = (out - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.95 * losses[0]


# Conditions


def test_cameras_of_the_release() -> None:
    cameras = novel_cameras()
    assert torch.allclose(cameras.azimuth.rad2deg(), torch.arange(1, 13) * 360 / 13, atol=1e-4)
    assert torch.allclose(cameras.polar, torch.full((12,), math.pi / 2))
    assert float(novel_cameras(4, elevation=30).polar[0]) == pytest.approx(math.pi / 3)
    scales = guidance_scales()
    assert torch.equal(scales, torch.linspace(1, 3, 48))
    assert len(scales) == 48
    for wrong in ({"count": 0}, {"elevation": 91}):
        with pytest.raises(UsageError):
            novel_cameras(**wrong)


def test_camera_vector_is_noise_polar_azimuth_as_waves() -> None:
    cameras = novel_cameras()
    vector = camera_vector(cameras.polar, cameras.azimuth, 0.02)
    assert vector.shape == (12, 1280)
    start = 0
    for values, width in ((torch.full((12,), 0.02), 256), (cameras.polar, 512), (cameras.azimuth, 512)):
        periods = 10000.0 ** -(torch.arange(width // 2, dtype=torch.float64) / (width // 2))
        angles = values.double()[:, None] * periods
        waves = torch.cat([angles.cos(), angles.sin()], dim=1).float()
        assert torch.allclose(vector[:, start : start + width], waves, atol=1e-5)
        start += width
    free = without_condition(vector)
    assert not free[:, :256].any()
    assert torch.equal(free[:, 256:], vector[:, 256:])
    with pytest.raises(UsageError, match="multiple of 10"):
        camera_vector(cameras.polar, cameras.azimuth, size=128)


def test_bound_network_reads_the_same_image_for_colours_and_parts(network: DualUNet) -> None:
    inputs = given()
    image = torch.randn(1, FRAMES, 4, 8, 8)
    cameras = torch.randn(1, VIEWS, SHAPE.vector_dim)
    condition = DualCondition(image, inputs["context"], cameras, inputs["cond_view"])
    x = torch.randn(1, 8, FRAMES * VIEWS, 8, 8)
    with torch.no_grad():
        out = bound(network, condition)(x, 0.3)
    rows = x[0].transpose(0, 1)
    conds = image[0].repeat_interleave(VIEWS, dim=0)
    sample = torch.cat([rows[:, :4], conds, rows[:, 4:], conds], dim=1)
    vector = cameras[0].repeat(FRAMES, 1)
    assert torch.equal(out[0].transpose(0, 1), run(network, inputs | {"sample": sample, "vector": vector}))
    free = condition.dropped()
    assert not free.image.any()
    assert not free.context.any()
    assert not free.cond_view.any()
    assert torch.equal(free.cameras[..., 8:], cameras[..., 8:])


# Bad input


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("sample", lambda x: x[:-1], "sample has 5 rows"),
        ("sample", lambda x: x[:, :8], "sample has 8 channels.*takes 16"),
        ("sample", lambda x: x[0], "expected the axes"),
        ("sample", lambda x: x[..., :7], "latents of 8 x 7.*multiples of 2"),
        ("timestep", lambda x: x[:1], "timestep has 1 rows"),
        ("vector", lambda x: x[:, :-1], "vector has 39 channels.*takes 40"),
        ("context", lambda x: x[..., :-1], "context has 23 channels.*takes 24"),
        ("context", lambda x: x[:, :1], "1 frames x 3 views = 3"),
        ("cond_view", lambda x: x[:, :2], "2 frames x 2 views = 4"),
        ("cond_view", lambda x: x[:, :, :3], "cond_view has 3 channels"),
        ("cond_view", lambda x: x.to("meta"), "tensors on cpu and meta"),
    ],
)
def test_inputs_that_do_not_fit_are_named(name: str, change: Any, message: str) -> None:
    inputs = given()
    inputs[name] = change(inputs[name])
    with pytest.raises(UsageError, match=message):
        check_inputs(SHAPE, 2, inputs)


@pytest.mark.parametrize(
    "change",
    [
        {"widths": (32, 40)},
        {"widths": (96, 96), "head_dim": 64},
        {"widths": ()},
        {"widths": (32, 1 << 40)},
        {"attention_levels": (True,)},
        {"latent_channels": 0},
    ],
)
def test_sizes_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        replace(SHAPE, **change)


def test_files_open_with_and_without_the_rest_of_the_release(tmp_path: Path, network: DualUNet) -> None:
    tensors = published(network)
    whole = {f"model.diffusion_model.{name}": value for name, value in tensors.items()}
    save_file(whole | {"first_stage_model.decoder.conv_in.weight": torch.zeros(2)}, tmp_path / "whole.safetensors")
    again = load_dual(tmp_path / "whole.safetensors", head_dim=16)
    inputs = given()
    assert torch.equal(run(again, inputs), run(network, inputs))
    assert not again.training
    assert not again.part.time_embedding.linear_1.weight.requires_grad
    save_file(published(network.rgb), tmp_path / "single.safetensors")
    single = load_single(tmp_path / "single.safetensors", head_dim=16, dtype=torch.float64)
    assert single.dtype == torch.float64
    save_file(whole | {"stranger.weight": torch.zeros(2)}, tmp_path / "strange.safetensors")
    with pytest.raises(ModelError, match=r"stranger\.weight"):
        load_dual(tmp_path / "strange.safetensors", head_dim=16)


def test_tensors_that_do_not_fit_are_named_and_counted(tmp_path: Path, network: DualUNet) -> None:
    tensors = published(network)
    lost = [name for name in tensors if name.startswith("net2.input_blocks.3.1.motion_blocks")]
    for name in lost:
        del tensors[name]
    tensors["net1.surplus"] = torch.zeros(1)
    tensors["middle_cross.fusion_conv.0.bias"] = torch.zeros(3)
    save_file(tensors, tmp_path / "bad.safetensors")
    with pytest.raises(ModelError) as error:
        load_dual(tmp_path / "bad.safetensors", head_dim=16)
    text = str(error.value)
    assert f"{len(lost)} missing: {lost[0]}" in text
    assert lost[4] in text
    assert lost[5] not in text
    assert "1 unexpected: net1.surplus" in text
    assert "1 of another shape: middle_cross.fusion_conv.0.bias (3,) instead of (32,)" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net1.out.2.weight": torch.zeros(())}, "too few axes"),
        ({"net1.out.2.weight": None}, "no tensor 'out.2.weight'"),
        ({"net1.input_blocks.1.0.in_layers.2.weight": torch.zeros(1 << 40, 0)}, "sizes of"),
        ({"net1.input_blocks.1.0.in_layers.2.weight": torch.zeros(30, 32, 3, 3)}, r"widths \[30\]"),
    ],
)
def test_damaged_sizes_are_refused(network: DualUNet, change: dict[str, Any], message: str) -> None:
    tensors = {name: value for name, value in (published(network) | change).items() if value is not None}
    with pytest.raises(ModelError, match=message):
        shape_from(tensors, "file", head_dim=16)
