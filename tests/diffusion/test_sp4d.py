"""SP4D as released on small random networks in both layouts: names, sampling, windows, and the laws of sp4d.md 7."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from diorama.core.progress import Silent
from diorama.diffusion.clip_image import image_tokens
from diorama.diffusion.denoise import guided
from diorama.diffusion.dual_condition import DualCondition
from diorama.diffusion.dual_keys import key_map
from diorama.diffusion.dual_unet import DualUNet
from diorama.diffusion.levels import karras, of_ratio
from diorama.diffusion.noise import Noise, generators
from diorama.diffusion.parts_generate import MadeViews, PartsSampleConfig
from diorama.diffusion.sp4d import (
    GUIDANCE,
    SIGMA_MAX,
    SIGMA_MIN,
    STEPS,
    VIEWS,
    clip_latents,
    condition,
    decoded,
    generate_released,
    released_views,
    window_latents,
)
from diorama.diffusion.sp4d_load import (
    DECODER,
    ENCODER,
    TOWER,
    Released,
    codec_from,
    image_encoder_from,
    load_released,
)
from diorama.diffusion.view_cameras import guidance_scales
from diorama.diffusion.view_shape import PRESETS, ViewShape
from diorama.errors import ModelError, UsageError

transformers = pytest.importorskip("transformers")

DIM, SIZE = 24, 16
SHAPE = ViewShape(widths=(64,), layers_per_level=1, attention_levels=(False,), context_dim=DIM, vector_dim=40)
HOW = PartsSampleConfig(2, GUIDANCE, 2)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        yield


def tower() -> torch.nn.Module:
    sizes = {"hidden_size": 128, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.CLIPVisionConfig(
        **sizes, image_size=32, patch_size=16, projection_dim=DIM, hidden_act="gelu", initializer_factor=5.0
    )
    return transformers.CLIPVisionModelWithProjection(config).eval()


def autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(32, 64),
        layers_per_block=1,
        use_post_quant_conv=False,
    ).eval()


def published_tower(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names of OpenCLIP."""
    ends = {
        "embeddings.class_embedding": "class_embedding",
        "embeddings.patch_embedding.weight": "conv1.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
    }
    changes = (
        ("pre_layrnorm", "ln_pre"),
        ("post_layernorm", "ln_post"),
        ("encoder.layers", "transformer.resblocks"),
        ("self_attn", "attn"),
        ("layer_norm", "ln_"),
        ("fc1", "c_fc"),
        ("fc2", "c_proj"),
    )
    named = {"proj": state["visual_projection.weight"].T.contiguous()}
    for name, value in state.items():
        inner = ends.get(name.removeprefix("vision_model."), name.removeprefix("vision_model."))
        for ours, theirs in changes:
            inner = inner.replace(ours, theirs)
        if ".q_proj." in name:
            joint = [state[name.replace(".q_proj.", f".{each}_proj.")] for each in "qkv"]
            named[inner.replace("q_proj.", "in_proj_")] = torch.cat(joint)
        elif not re.search(r"visual_projection|\.[kv]_proj\.", name):
            named[inner] = value
    return {TOWER + name: value for name, value in named.items()}


def published_codec(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names of the authors: the encoder among the conditions, the decoder on its own."""
    changes = (
        (r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2"),
        (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
        (r"up_blocks\.(\d)\.resnets\.(\d)", r"up.\1.block.\2"),
        (r"up_blocks\.(\d)\.upsamplers\.0", r"up.\1.upsample"),
        (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
        (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
        (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
        (r"mid_block\.resnets\.0", "mid.block_1"),
        (r"mid_block\.resnets\.1", "mid.block_2"),
        ("conv_norm_out", "norm_out"),
        ("conv_shortcut", "nin_shortcut"),
        (r"decoder\.up\.(\d)", lambda found: f"decoder.up.{1 - int(found[1])}"),  # counted from the other end
    )
    named = {}
    for name, value in state.items():
        inner = name
        for ours, theirs in changes:
            inner = re.sub(ours, theirs, inner)
        if "attn_1" in inner and inner.endswith("weight") and value.ndim == 2:
            value = value[:, :, None, None]
        prefix = DECODER.removesuffix("decoder.") if inner.startswith("decoder.") else ENCODER
        named[prefix + inner] = value
    return named


def published_dual(network: DualUNet) -> dict[str, torch.Tensor]:
    state = network.state_dict()
    return {theirs: state[ours].contiguous() for theirs, ours in key_map(network).items()}


class Made:
    """Networks, and where they are written in both layouts."""

    def __init__(self, at: Path) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.network, self.codec, self.tower = DualUNet.of(SHAPE).eval(), autoencoder(), tower()
        self.file, self.folder = at / "sp4d.safetensors", at / "folder"
        dual = published_dual(self.network)
        encoders = published_codec(self.codec.state_dict())
        rest = {
            "conditioner.embedders.0.open_clip.model.logit_scale": torch.zeros(()),
            f"{ENCODER}post_quant_conv.weight": torch.zeros(4, 4, 1, 1),
            **{name.replace("embedders.1", "embedders.4"): v.clone() for name, v in encoders.items()},
        }
        whole = {f"model.diffusion_model.{name}": value for name, value in dual.items()}
        save_file(rest | whole | encoders | published_tower(self.tower.state_dict()), self.file)
        self.folder.mkdir()
        save_file(dual, self.folder / "dual.safetensors")
        settings = {"recipe": "sp4d-stage2", "head_dim": 64, "camera_attention": "released"}
        (self.folder / "settings.json").write_text(json.dumps(settings))
        self.codec.save_pretrained(self.folder / "vae")
        self.tower.save_pretrained(self.folder / "image_encoder")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("sp4d"))


@pytest.fixture(scope="module")
def networks(made: Made) -> Released:
    return load_released(made.file)


def pictures(count: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (count, size, size, 3), np.uint8)


# Names


@torch.no_grad()
def test_a_file_under_the_published_names_gives_the_networks_it_came_from(made: Made, networks: Released) -> None:
    shown = torch.from_numpy(pictures(2, 40))
    assert torch.equal(image_tokens(networks.image, shown), image_tokens(made.tower, shown))
    frames, latents = torch.rand(2, 3, SIZE, SIZE), torch.randn(2, 4, 8, 8)
    given = networks.codec.encode(frames)
    assert torch.equal(given, made.codec.encode(2 * frames - 1).latent_dist.mode() * 0.18215)
    out = made.codec.decode(latents / 0.18215).sample / 2 + 0.5
    assert torch.equal(networks.codec.decode(latents), out.clamp(0, 1))
    assert not made.codec.config.use_post_quant_conv
    ours, theirs = networks.network.state_dict(), made.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not any(p.requires_grad for p in networks.network.parameters())


def test_both_layouts_make_the_same_pictures(made: Made, networks: Released) -> None:
    from_file = released_views(networks, pictures(1), config=HOW)
    parted = load_released(made.folder)
    assert parted.network.shape == replace(SHAPE, camera_attention="released")
    from_folder = released_views(parted, pictures(1), config=HOW)
    assert np.array_equal(from_file.images, from_folder.images)
    assert np.array_equal(from_file.colored, from_folder.colored)


def test_a_folder_says_how_its_network_attends_and_may_hold_the_whole_file(made: Made, tmp_path: Path) -> None:
    (tmp_path / "sp4d.safetensors").symlink_to(made.file)
    (tmp_path / "settings.json").write_text(json.dumps({"head_dim": 32, "camera_attention": "per_pixel_view"}))
    opened = load_released(tmp_path).network.shape
    assert (opened.head_dim, opened.camera_attention) == (32, "per_pixel_view")
    for wrong in ({"head_dim": True}, {"head_dim": 0}, {"camera_attention": "all"}):
        (tmp_path / "settings.json").write_text(json.dumps(wrong))
        with pytest.raises(ModelError, match="head_dim"):
            load_released(tmp_path)


# Sampling


def test_a_picture_becomes_twelve_views(made: Made) -> None:
    told = Silent()
    one = generate_released(made.file, pictures(1), steps=1, guidance=(1.0, 1.0), progress=told)
    assert isinstance(one, MadeViews)
    assert one.images.shape == one.colored.shape == (12, 1, SIZE, SIZE, 3)
    assert np.allclose(np.degrees(one.azimuths), np.arange(1, 13) * 360 / 13, atol=1e-3)
    assert one.images.std() > 1


def test_a_seed_means_the_same_pictures(networks: Released) -> None:
    one, again, other = (released_views(networks, pictures(1), config=replace(HOW, seed=n)) for n in (0, 0, 1))
    assert np.array_equal(one.images, again.images)
    assert np.array_equal(one.colored, again.colored)
    assert not np.array_equal(one.images, other.images)
    assert not np.array_equal(one.colored, other.colored)


@pytest.mark.parametrize(("count", "windows"), [(1, 1), (4, 1), (5, 2), (7, 2), (8, 3)])
def test_as_many_frames_come_back_as_were_given(networks: Released, count: int, windows: int) -> None:
    class Stages(Silent):
        begun = 0

        def begin(self, stage: str, total: int | None) -> None:
            self.begun += stage == "sampling"

    told, how = Stages(), replace(HOW, steps=1, guidance=(1.0, 1.0))
    out = clip_latents(networks.network, condition(networks, pictures(count), 2), config=how, progress=told)
    assert out.shape == (1, 8, count, 2, 8, 8)
    assert told.begun == windows


def test_windows_share_a_frame_bit_by_bit(networks: Released) -> None:
    told = condition(networks, pictures(7), 2)
    first = DualCondition(told.image[:, :4], told.context[:, :4], told.cameras, told.cond_view)
    second = DualCondition(told.image[:, 3:], told.context[:, 3:], told.cameras, told.cond_view)

    def noise(window: int) -> Noise:
        return Noise(generators(1, "sp4d", 0, window))

    one = window_latents(networks.network, first, noise(0), config=HOW)
    two = window_latents(networks.network, second, noise(1), config=HOW, carried=one[:, :, 3])
    assert torch.equal(two[:, :, 0], one[:, :, 3])
    whole = clip_latents(networks.network, told, config=HOW)
    assert torch.equal(whole, torch.cat([one, two[:, :, 1:]], dim=2))
    apart = window_latents(networks.network, second, noise(1), config=HOW)
    assert not torch.allclose(apart[:, :, 1:], two[:, :, 1:]), "the network sees what was carried"


def test_half_precision_stays_close(made: Made, networks: Released) -> None:
    half = load_released(made.file, dtype=torch.bfloat16)
    assert half.network.dtype == next(half.image.parameters()).dtype == torch.bfloat16
    assert half.codec.network.dtype == torch.float32
    one, two = (clip_latents(n.network, condition(n, pictures(4), 2), config=HOW) for n in (networks, half))
    assert two.dtype == torch.float32
    assert (one - two).norm() < 0.05 * one.norm()


def test_the_condition_is_that_of_the_release(made: Made, networks: Released) -> None:
    frames = pictures(2)
    told = condition(networks, frames)
    with torch.no_grad():
        inside = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255 * 2 - 1
        latents = made.codec.encode(inside).latent_dist.mode()
    assert torch.allclose(told.image[0], latents, atol=1e-5), "not scaled"
    assert told.context.shape == (1, 2, DIM)
    assert told.cameras.shape == (1, VIEWS, 40)
    assert told.cond_view.shape == (1, VIEWS, 4, 8, 8)
    assert not told.cond_view.any()


# Laws (sp4d.md 7)


def test_law_3_sizes_without_memory() -> None:
    with torch.device("meta"):
        network = DualUNet.of(PRESETS["sp4d"])
    assert sum(p.numel() for p in network.parameters()) == 4_090_471_156
    assert len(key_map(network)) == len(network.state_dict()) == 3_948


def test_law_6_guidance_rises_over_the_pictures_and_one_asks_the_conditional_alone(networks: Released) -> None:
    first, last = GUIDANCE
    scales = guidance_scales(4, VIEWS, first=first, last=last)
    assert torch.equal(scales, torch.linspace(1, 3, 48))
    x = torch.randn(1, 8, 48, 2, 2)
    out = guided(lambda y, _: 0 * y + 1, lambda y, _: 0 * y, scales)(x, of_ratio(1.0))
    assert torch.allclose(out[0, 0, :, 0, 0], scales), "views fastest"
    assert torch.equal(out[:, :, 0], torch.ones(1, 8, 2, 2)), "the first picture is the conditional prediction"
    told = condition(networks, pictures(4), 2)
    plain, unguided = replace(HOW, steps=1, guidance=(1.0, 1.0)), replace(HOW, steps=1)
    alone = clip_latents(networks.network, told, config=plain)
    assert torch.allclose(
        clip_latents(networks.network, told, config=unguided)[:, :, 0, 0], alone[:, :, 0, 0], atol=1e-4
    )


def test_law_7_noise_levels_of_the_release() -> None:
    path = karras(STEPS, sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX)
    assert len(path) == 51
    assert [path[0].ratio, path[49].ratio, path[50].ratio] == pytest.approx([700, 0.002, 0])


@torch.no_grad()
def test_law_8_one_decoder_decodes_both_halves(made: Made, networks: Released) -> None:
    latents = torch.randn(1, 8, 2, 3, 8, 8) * 0.1
    halves = decoded(networks.codec, latents)
    flat = latents[0].flatten(1, 2).transpose(0, 1)
    side_by_side = torch.cat([made.codec.decode(half / 0.18215).sample for half in flat.chunk(2, dim=1)], dim=3)
    expected = ((side_by_side / 2 + 0.5).clamp(0, 1) * 255).permute(0, 2, 3, 1).unflatten(0, (2, 3)).transpose(0, 1)
    found = torch.from_numpy(np.concatenate(halves, axis=3)).float()
    assert (found - expected).abs().max() <= 0.51
    assert found.std() > 1


# What is refused


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        (TOWER, r"no image encoder \(image_encoder/ or conditioner\.embedders\.0"),
        (ENCODER, r"no encoder of pictures \(vae/ or conditioner\.embedders\.1"),
        (DECODER, r"no decoder of pictures \(vae/ or first_stage_model\.decoder"),
        ("model.diffusion_model.", "no SP4D"),
        ("model.diffusion_model.net2.out.0.bias", r"missing: net2\.out\.0\.bias"),
    ],
)
def test_what_is_missing_in_a_file_is_named(made: Made, tmp_path: Path, prefix: str, said: str) -> None:
    tensors = {name: value for name, value in load_file(made.file).items() if not name.startswith(prefix)}
    save_file(tensors, tmp_path / "some.safetensors")
    with pytest.raises(ModelError, match=said):
        load_released(tmp_path / "some.safetensors")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("proj", None, "no vision tower.*visual_projection"),
        ("transformer.resblocks.1.ln_1.bias", None, r"1 missing: .*layers\.1\.layer_norm1\.bias"),
        ("conv1.weight", torch.zeros(3), "no vision tower"),
        ("positional_embedding", torch.zeros(()), "no vision tower"),
        ("transformer.resblocks.0.attn.in_proj_bias", torch.zeros(2), "missing.*k_proj|v_proj"),
        ("transformer.resblocks.0.mlp.c_fc.weight", torch.zeros(32, 64), "of another shape"),
        ("stranger", torch.zeros(1), "unexpected tensors.*stranger"),
        ("transformer.resblocks.0.stranger", torch.zeros(1), "1 unexpected.*stranger"),
    ],
)
def test_damaged_image_encoders_are_named(made: Made, name: str, value: torch.Tensor | None, said: str) -> None:
    tensors = changed(published_tower(made.tower.state_dict()), TOWER + name, value)
    with pytest.raises(ModelError, match=said):
        image_encoder_from(tensors, "file")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (f"{ENCODER}quant_conv.bias", None, r"1 missing: quant_conv\.bias"),
        (f"{DECODER}mid.attn_1.q.weight", None, r"1 missing: decoder.*to_q\.weight"),
        (f"{DECODER}conv_in.weight", None, "no autoencoder"),
        (f"{DECODER}stranger", torch.zeros(1), "have a place"),
        (f"{ENCODER}encoder.conv_in.weight", torch.zeros(32, 4, 3, 3), "of another shape"),
        (f"{ENCODER}encoder.down.0.block.0.conv1.weight", torch.zeros(30), "describe no image autoencoder"),
        (f"{ENCODER}encoder.down.0.block.0.conv1.weight", None, "no autoencoder"),
    ],
)
def test_damaged_codecs_are_named(made: Made, name: str, value: torch.Tensor | None, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        codec_from(changed(published_codec(made.codec.state_dict()), name, value), "file")


def changed(tensors: dict[str, torch.Tensor], name: str, value: torch.Tensor | None) -> dict[str, torch.Tensor]:
    kept = {each: tensor for each, tensor in tensors.items() if each != name}
    return kept if value is None else kept | {name: value}


def test_folders_without_their_pieces_are_refused(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"neither dual\.safetensors nor sp4d\.safetensors"):
        load_released(tmp_path)
    (tmp_path / "dual.safetensors").symlink_to(made.folder / "dual.safetensors")
    with pytest.raises(ModelError, match=r"no image encoder.*no encoder of pictures"):
        load_released(tmp_path)
    (tmp_path / "vae").symlink_to(made.folder / "vae")
    with pytest.raises(ModelError, match="no image encoder"):
        load_released(tmp_path)
    small = made.tower.config.to_dict() | {"projection_dim": 8}
    other = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig.from_dict(small))
    other.save_pretrained(tmp_path / "image_encoder")
    with pytest.raises(ModelError, match="image tokens of 8 where the network takes 24"):
        load_released(tmp_path)


def test_pictures_of_other_sizes_are_refused(networks: Released) -> None:
    for wrong in (pictures(0), pictures(1, 17), pictures(1)[:, :12], pictures(1, 0)):
        with pytest.raises(UsageError, match="multiple of 2 pixels"):
            released_views(networks, wrong, config=HOW)
    with pytest.raises(UsageError, match="0 steps"):
        generate_released(Path("no.safetensors"), pictures(1), steps=0)
    with pytest.raises(ModelError, match="no such file"):
        generate_released(Path("no.safetensors"), pictures(1))
