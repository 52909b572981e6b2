"""The MIMO pipeline on a small random release written on the spot: layouts, laws, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNetMotionModel
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from safetensors.torch import save_file

from diorama.core.progress import Silent
from diorama.diffusion.key_maps import REFERENCE_ABSENT
from diorama.diffusion.mimo import MimoInputs, MimoNetworks, MimoSettings, condition, generate
from diorama.diffusion.mimo_load import load_mimo
from diorama.diffusion.windows import WindowConfig
from diorama.errors import ModelError, UsageError

WIDTHS, DIM, HEADS = (32, 64), 16, 4
SETTINGS = MimoSettings(num_inference_steps=2, windows=WindowConfig(length=4, overlap=2, mode="release"))


def release(folder: Path, channels: int = 8) -> Path:
    """A folder in the release's layout; safetensors, the motion modules in the denoiser's file."""
    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    unet = UNetMotionModel(
        in_channels=channels,
        block_out_channels=WIDTHS,
        down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"),
        up_block_types=("UpBlockMotion", "CrossAttnUpBlockMotion"),
        layers_per_block=1,
        cross_attention_dim=DIM,
        num_attention_heads=HEADS,
        motion_num_attention_heads=HEADS,
        use_motion_mid_block=True,
    )
    reference = UNet2DConditionModel(
        block_out_channels=WIDTHS,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=DIM,
        attention_head_dim=HEADS,
    )
    pose = ControlNetConditioningEmbedding(WIDTHS[0], 3, (8, 8, 16, 16))
    torch.nn.init.normal_(pose.conv_out.weight, std=0.1)
    whole = {name: each for name, each in reference.state_dict().items() if name not in REFERENCE_ABSENT}
    for name, tensors in (
        ("denoising_unet", unet.state_dict()),
        ("reference_unet", whole),
        ("pose_guider", pose.state_dict()),
    ):
        save_file({key: each.half() for key, each in tensors.items()}, folder / f"{name}.safetensors")
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    vae = AutoencoderKL(block_out_channels=(8,) * 4, norm_num_groups=4, layers_per_block=1, **kinds)
    vae.save_pretrained(folder / "sd-vae-ft-mse")
    clip(folder / "image_encoder")
    (folder / "config.json").write_text(json.dumps({"unet": {"attention_heads": HEADS}}))
    return folder


def clip(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPVisionConfig(**sizes, image_size=32, patch_size=16, projection_dim=DIM)
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def networks(folder: Path) -> MimoNetworks:
    return load_mimo(folder)


def inputs(frames: int = 6, references: int = 1, seed: int = 0) -> MimoInputs:
    generator = torch.Generator().manual_seed(seed)

    def pictures(count: int) -> torch.Tensor:
        return torch.randint(0, 256, (count, 32, 48, 3), generator=generator, dtype=torch.uint8)

    return MimoInputs(pictures(references), pictures(frames), pictures(frames))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def far(one: torch.Tensor, two: torch.Tensor) -> float:
    return float((one - two).norm() / two.norm())


def test_the_same_seed_gives_the_same_video_whatever_runs_at_once(networks: MimoNetworks) -> None:
    told = Silent()
    one = generate(networks, inputs(), SETTINGS, generator=seeded(), progress=told)
    assert one.frames.shape == (6, 3, 32, 48)
    assert one.latents.shape == (1, 4, 6, 4, 6)
    assert 0 <= float(one.frames.min()) <= float(one.frames.max()) <= 1
    assert torch.equal(generate(networks, inputs(), SETTINGS, generator=seeded()).frames, one.frames)
    wide = replace(SETTINGS, windows=replace(SETTINGS.windows, at_once=3), poses_at_once=1)
    assert far(generate(networks, inputs(), wide, generator=seeded()).latents, one.latents) < 1e-5
    assert far(generate(networks, inputs(), SETTINGS, generator=seeded(1)).latents, one.latents) > 1e-2
    assert not one.latents.is_inference()  # training may go on from it


def test_every_input_counts(networks: MimoNetworks) -> None:
    given, other = inputs(), inputs(seed=1)
    base = generate(networks, given, SETTINGS, generator=seeded()).latents
    for name in ("reference", "poses", "scene"):
        changed = replace(given, **{name: getattr(other, name)})
        assert far(generate(networks, changed, SETTINGS, generator=seeded()).latents, base) > 1e-4, name


def test_references_can_be_several_weighted_and_masked(networks: MimoNetworks) -> None:
    given = inputs(references=2)
    both = condition(networks, given)[0].reference
    assert both is not None
    one = condition(networks, replace(given, reference=given.reference[:1]))[0].reference
    assert one is not None
    assert both.nbytes == 2 * one.nbytes
    off = replace(SETTINGS, strength=0)
    mask = torch.zeros(2, 32, 48)
    mask[:, :, :24] = 1
    made = {
        name: generate(networks, each, settings, generator=seeded()).latents
        for name, each, settings in (
            ("all", given, SETTINGS),
            ("off", given, off),
            ("masked", replace(given, mask=mask), SETTINGS),
        )
    }
    assert far(made["off"], made["all"]) > 1e-4
    assert far(made["masked"], made["all"]) > 1e-5


def test_a_still_scene_stands_for_all_frames(networks: MimoNetworks) -> None:
    given = inputs()
    assert given.scene is not None
    still = replace(given, scene=given.scene[:1])
    repeated = replace(given, scene=given.scene[:1].expand(6, -1, -1, -1))
    one, two = (generate(networks, each, SETTINGS, generator=seeded()).latents for each in (still, repeated))
    assert far(one, two) < 1e-5


def test_open_windows_cuts_and_no_guidance(networks: MimoNetworks) -> None:
    windows = WindowConfig(length=4, overlap=2)
    settings = MimoSettings(num_inference_steps=2, guidance_scale=1, windows=windows, cuts=(3,))
    one = generate(networks, inputs(), settings, generator=seeded()).latents
    start = torch.randn(1, 4, 6, 4, 6, generator=seeded(5))
    first = replace(inputs(), poses=inputs().poses[:3], scene=inputs().scene[:3])  # type: ignore[index]
    alone = generate(networks, first, replace(settings, cuts=()), start=start[:, :, :3]).latents
    whole = generate(networks, inputs(), settings, start=start).latents
    assert far(whole[:, :, :3], alone) < 1e-5  # a shot is made as if it were alone
    assert one.isfinite().all()
    with pytest.raises(UsageError, match="no noise to start from"):
        generate(networks, inputs(), settings)


def test_a_denoiser_without_a_scene(tmp_path: Path) -> None:
    networks = load_mimo(release(tmp_path / "moore", channels=4))
    given = inputs()
    with pytest.raises(UsageError, match="leave it out"):
        generate(networks, given, SETTINGS, generator=seeded())
    assert generate(networks, replace(given, scene=None), SETTINGS, generator=seeded()).frames.isfinite().all()


def test_what_does_not_fit_is_refused(networks: MimoNetworks) -> None:
    given = inputs()
    with pytest.raises(UsageError, match="one size"):
        replace(given, reference=given.reference[:, :16])
    with pytest.raises(UsageError, match="one a frame, or one for all"):
        replace(given, scene=given.poses[:2])
    with pytest.raises(UsageError, match="0 poses"):
        MimoInputs(given.reference, given.poses[:0])
    with pytest.raises(UsageError, match="give one"):
        generate(networks, replace(given, scene=None), SETTINGS, generator=seeded())
    odd = MimoInputs(*(each[:, :, :44] for each in (given.reference, given.poses, given.poses)))
    with pytest.raises(UsageError, match="multiples of 8"):
        generate(networks, odd, SETTINGS, generator=seeded())
    with pytest.raises(UsageError, match="these pictures need"):
        generate(networks, given, SETTINGS, start=torch.zeros(1, 4, 5, 4, 6))
    with pytest.raises(UsageError, match="positions for 32"):
        generate(networks, given, MimoSettings(windows=WindowConfig(length=33)), generator=seeded())
    with pytest.raises(UsageError, match="0 sampling steps"):
        generate(networks, given, MimoSettings(num_inference_steps=0), generator=seeded())


def test_an_incomplete_or_odd_release_is_refused(folder: Path, tmp_path: Path) -> None:
    for part in ("reference_unet.safetensors", "pose_guider.safetensors", "sd-vae-ft-mse", "image_encoder"):
        other = tmp_path / part.split(".")[0]
        other.mkdir()
        for entry in folder.iterdir():
            if entry.name != part:
                (other / entry.name).symlink_to(entry)
        with pytest.raises(ModelError, match=part.split(".")[0]):
            load_mimo(other)
    config = other / "config.json"
    (other / "image_encoder").symlink_to(folder / "image_encoder")
    config.unlink()
    for given, said in (
        ({"unet": {"attention_heads": 0}}, "attention_heads"),
        ({"unet": 3}, "unet"),
        ({"scheduler": {"beta_schedule": "steep"}}, "beta_schedule"),
        ({"scheduler": {"beta_start": "much"}}, "beta_start"),
        ({"scheduler": {"beta_start": 0.5, "beta_end": 0.1}}, "betas"),
        ({"scheduler": {"prediction_type": ["x"]}}, "prediction_type"),
    ):
        config.write_text(json.dumps(given))
        with pytest.raises(ModelError, match=said):
            load_mimo(other)
    config.write_text(json.dumps({"scheduler": {"timestep_spacing": "leading", "rescale_betas_zero_snr": False}}))
    assert load_mimo(other).spacing == "leading"


def test_half_precision(folder: Path) -> None:
    networks = load_mimo(folder, dtype=torch.bfloat16)
    made = generate(networks, inputs(3), SETTINGS, generator=seeded())
    assert made.latents.dtype == torch.bfloat16
    assert made.frames.isfinite().all()
