"""Names of released checkpoints: exactly those of the networks of diffusers, at a small and at full size."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from diorama.diffusion import key_maps
from diorama.diffusion.checkpoint import read_tensors
from diorama.diffusion.families import detect, shapes_of
from diorama.diffusion.fit import fit
from diorama.diffusion.skeletons import check_names, motion_unet_config, skeleton, unet_config
from diorama.errors import ModelError

diffusers = pytest.importorskip("diffusers")

GOLDEN = Path(os.environ.get("DIORAMA_GOLDEN", Path(__file__).parents[2].parent / "shared" / "golden")) / "mimo_tiny"
golden = pytest.mark.skipif(not (GOLDEN / "config.json").is_file(), reason="golden mimo_tiny not found")


def settings() -> dict[str, Any]:
    values: dict[str, Any] = json.loads((GOLDEN / "config.json").read_text())["unet"]
    return values


def motion_unet(**sizes: Any) -> Any:
    with torch.device("meta"):
        return diffusers.UNetMotionModel(
            in_channels=8, motion_max_seq_length=32, use_motion_mid_block=True, norm_num_groups=32, **sizes
        )


def full_size(name: str) -> dict[str, torch.Tensor]:
    keys = json.loads((GOLDEN / name).read_text())
    return {key: torch.empty(shape, device="meta") for key, shape in keys.items()}


@golden
def test_the_small_release_fits_strictly() -> None:
    found = {path.stem: read_tensors(path) for path in GOLDEN.glob("*.pth")}
    wide, width, heads = (
        settings()["block_out_channels"],
        settings()["cross_attention_dim"],
        settings()["attention_heads"],
    )
    tensors = key_maps.mimo_denoiser(found["motion_module"], found["denoising_unet"])
    net = motion_unet(
        block_out_channels=tuple(wide),
        cross_attention_dim=width,
        num_attention_heads=heads,
        motion_num_attention_heads=heads,
    )
    fit(net, tensors, source="denoiser")
    assert net.state_dict().keys() == tensors.keys()
    assert not any(place.is_meta for place in net.state_dict().values())
    motion = net.down_blocks[0].motion_modules[0]
    table = found["motion_module"][
        "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.pos_encoder.pe"
    ]
    assert torch.equal(motion.transformer_blocks[0].pos_embed.pe, table.float())
    with torch.device("meta"):
        reference = diffusers.UNet2DConditionModel(
            block_out_channels=tuple(wide), cross_attention_dim=width, attention_head_dim=heads
        )
    named = key_maps.mimo_reference(found["reference_unet"])
    fit(reference, named, source="reference", allow_missing=key_maps.REFERENCE_ABSENT)
    assert reference.state_dict().keys() - named.keys() == key_maps.REFERENCE_ABSENT
    pose = key_maps.pose_guider(found["pose_guider"])
    assert check_names(detect(shapes_of(pose)), pose, source="pose")


@golden
def test_full_size_lists_match_exactly_without_memory() -> None:
    tensors = key_maps.mimo_denoiser({}, full_size("full_size_denoiser_keys.json"))
    net = motion_unet(cross_attention_dim=768, num_attention_heads=8, motion_num_attention_heads=8)
    fit(net, tensors, source="denoiser")
    assert round(sum(parameter.numel() for parameter in net.parameters()) / 1e6) == 1313
    assert all(place.is_meta for place in net.state_dict().values())
    assert motion_unet_config(shapes_of(tensors))["block_out_channels"] == (320, 640, 1280, 1280)
    reference = key_maps.mimo_reference(full_size("full_size_reference_keys.json"))
    assert detect(shapes_of(reference)).name == "reference-unet"
    assert check_names(detect(shapes_of(reference)), reference, source="reference")


@golden
def test_swapped_and_incomplete_files_are_told_apart() -> None:
    denoiser = full_size("full_size_denoiser_keys.json")
    motion = {name: tensor for name, tensor in denoiser.items() if ".motion_modules." in name}
    spatial = {name: tensor for name, tensor in denoiser.items() if name not in motion}
    families = {"motion": detect(shapes_of(motion)).name, "spatial": detect(shapes_of(spatial)).name}
    assert families == {"motion": "animatediff-v2", "spatial": "mimo-denoiser"}
    with pytest.raises(ModelError, match="denoiser of the MIMO release"):
        key_maps.mimo_reference(spatial)
    with pytest.raises(ModelError, match="motion module, v2"):
        key_maps.pose_guider(motion)
    with pytest.raises(ModelError, match=r"are no motion modules: conv_in\.weight.*MIMO"):
        key_maps.animatediff(spatial)
    del spatial["conv_out.bias"]
    with pytest.raises(ModelError, match=r"1 missing: conv_out\.bias"):
        check_names(
            detect(shapes_of(spatial)), {**spatial, "up_blocks.3.resnets.0.conv1.bias": torch.empty(320)}, source="a"
        )


def motion_file(*, length: int, middle: bool, tables: bool = True) -> dict[str, torch.Tensor]:
    """AnimateDiff's layout, made from that of diffusers by the inverse map."""
    net = diffusers.MotionAdapter(
        block_out_channels=(32, 64), motion_max_seq_length=length, use_motion_mid_block=middle,
        motion_num_attention_heads=2,
    )  # fmt: skip
    found = {}
    for name, tensor in net.state_dict().items():
        theirs = name.replace(".norm1.", ".norms.0.").replace(".norm2.", ".norms.1.").replace(".norm3.", ".ff_norm.")
        theirs = theirs.replace(".attn1.", ".attention_blocks.0.").replace(".attn2.", ".attention_blocks.1.")
        head, _, tail = theirs.partition(".motion_modules.")
        number, _, rest = tail.partition(".")
        theirs = f"{head}.motion_modules.{number}.temporal_transformer.{rest}"
        if not theirs.endswith(".pos_embed.pe"):
            found[theirs] = tensor
        elif tables:
            for attention in (0, 1):
                found[theirs.replace(".pos_embed.pe", f".attention_blocks.{attention}.pos_encoder.pe")] = tensor
    return found


@pytest.mark.parametrize(
    ("length", "middle", "version"), [(24, False, "v1"), (32, True, "v2"), (32, False, "v3")]
)  # fmt: skip
def test_every_version_of_animatediff(length: int, middle: bool, version: str) -> None:
    made = motion_file(length=length, middle=middle)
    assert detect(shapes_of(made)).name == f"animatediff-{version}"
    tensors = key_maps.animatediff(made)
    assert check_names(detect(shapes_of(tensors)), tensors, source=version)
    if version != "v3":  # without tables, v1 and v3 look the same
        again = key_maps.animatediff(motion_file(length=length, middle=middle, tables=False))
        for name, tensor in tensors.items():
            if name.endswith(".pe"):
                torch.testing.assert_close(again[name], tensor)


def test_two_tables_of_positions_must_agree() -> None:
    made = motion_file(length=32, middle=True)
    made[next(name for name in made if name.endswith("attention_blocks.1.pos_encoder.pe"))] = torch.zeros(1, 32, 32)
    with pytest.raises(ModelError, match="different positions"):
        key_maps.animatediff(made)


def test_later_files_win_and_sizes_must_agree() -> None:
    base = {"conv_in.weight": torch.zeros(4, 4, 3, 3), "a": torch.zeros(2), "b": torch.zeros(2)}
    motion, denoising = {"a": torch.ones(2)}, {"conv_in.weight": torch.ones(4, 8, 3, 3), "b": torch.full((2,), 2.0)}
    merged = key_maps.mimo_denoiser(motion, denoising, base)
    assert [float(merged[name].flatten()[0]) for name in ("a", "b", "conv_in.weight")] == [1, 2, 1]
    with pytest.raises(ModelError, match=r"another size.*b \(\(2,\) and then \(3,\)\)"):
        key_maps.mimo_denoiser({}, {"b": torch.zeros(3)}, base)
    wide = key_maps.widen_input({"conv_in.weight": torch.ones(4, 4, 3, 3)}, 8)["conv_in.weight"]
    assert wide.shape == (4, 8, 3, 3)
    assert wide.sum(dim=(0, 2, 3)).tolist() == [36.0] * 4 + [0.0] * 4
    with pytest.raises(ModelError, match="at most 2"):
        key_maps.widen_input(base, 2)


def test_a_pose_encoder_under_the_prefix_of_a_controlnet() -> None:
    from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding

    net = ControlNetConditioningEmbedding(8, 3, (4, 8))
    named = key_maps.pose_guider({f"controlnet_cond_embedding.{k}": v for k, v in net.state_dict().items()})
    assert named.keys() == net.state_dict().keys()
    assert check_names(detect(shapes_of(named)), named, source="a")


def test_autoencoders_of_2022() -> None:
    net = diffusers.AutoencoderKL(block_out_channels=(8,), norm_num_groups=4)
    old = {}
    for name, tensor in net.state_dict().items():
        for theirs, ours in (("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")):
            name = name.replace(f".attentions.0.{ours}.", f".attentions.0.{theirs}.")
        old[name] = tensor[..., None, None] if "value.weight" in name else tensor
    assert old.keys() != net.state_dict().keys()
    named = key_maps.vae(old)
    assert check_names(detect(shapes_of(named)), named, source="a", config=net.config)


def test_text_and_image_encoders_of_older_files() -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    text = transformers.CLIPTextConfig(**sizes, vocab_size=9, bos_token_id=1, eos_token_id=2)
    vision = transformers.CLIPVisionConfig(**sizes, image_size=4, patch_size=2)
    for kind, config, prefix, family in (
        (transformers.CLIPTextModel, text, "text_model.", "clip-text"),
        (transformers.CLIPVisionModelWithProjection, vision, "", "clip-vision"),
    ):
        old = {f"{prefix}{name.removeprefix(prefix)}": place for name, place in kind(config).state_dict().items()}
        old[f"{family.replace('clip-', '')}_model.embeddings.position_ids"] = torch.arange(5)[None]
        assert detect(shapes_of(old)).name == family
        named = key_maps.clip(old)
        assert detect(shapes_of(named)).name == family
        assert check_names(detect(shapes_of(named)), named, source=family, config=config.to_dict())


def test_small_networks_of_each_family_are_known_by_their_names() -> None:
    small = {"block_out_channels": (8, 8), "norm_num_groups": 4, "cross_attention_dim": 8, "layers_per_block": 1}
    down = {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "attention_head_dim": 2}
    unet = {**small, **down, "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
    names = {"in_channels": 4, "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"), "attention_head_dim": 8}
    zeroscope = {**small, **names, "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D")}
    for kind, config, family in (
        (diffusers.UNet2DConditionModel, unet, "sd15-unet"),
        (diffusers.UNet2DConditionModel, {**unet, "in_channels": 8}, "mimo-denoiser"),
        (diffusers.UNet2DConditionModel, {**unet, "in_channels": 9}, "sd-inpaint-unet"),
        (diffusers.UNet3DConditionModel, zeroscope, "zeroscope-unet"),
    ):
        with torch.device("meta"):
            net = kind(**config)
        shapes = shapes_of(net.state_dict())
        assert detect(shapes).name == family
        if family != "zeroscope-unet":
            assert {key: unet_config(shapes)[key] for key in ("block_out_channels", "layers_per_block")} == {
                "block_out_channels": (8, 8), "layers_per_block": 1,
            }  # fmt: skip
        else:
            again = skeleton(detect(shapes), shapes, net.config)
            assert again is not None
            assert shapes_of(again.state_dict()) == shapes


def test_shapes_that_describe_no_network_are_an_error() -> None:
    with pytest.raises(ModelError, match="no UNet"):
        unet_config({"conv_in.weight": (1,)})
    strange = {
        "conv_in.weight": (7, 4, 3, 3),
        "down_blocks.0.resnets.0.conv1.weight": (7, 7, 3, 3),
        "conv_out.weight": (),
    }
    with pytest.raises(ModelError):
        check_names(detect(strange), {name: torch.zeros(shape) for name, shape in strange.items()}, source="a")
