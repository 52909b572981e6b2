"""The embedded generator's network: what it is given, what it starts from, and what changes what."""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from diorama.diffusion.backbone import Backbone, BackboneConfig, Given, Kept
from diorama.diffusion.generate import EMBEDDED, SampleConfig, generate, load_backbone
from diorama.diffusion.levels import CLEAN, NOISE, Level, angular
from diorama.diffusion.windows import WindowConfig
from diorama.errors import ModelError, UsageError

SMALL = BackboneConfig(latent_channels=4, widths=(16, 32), heads=2, context_width=16)
B, T, SIDE = 2, 3, 8


def network(*, random: bool = True) -> Backbone:
    torch.manual_seed(0)
    made = Backbone(SMALL).eval()
    if random:  # what starts at zero would hide what passes through it
        for parameter in made.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    return made


def given(seed: int = 0, *, frames: int = T) -> Given:
    g = torch.Generator().manual_seed(seed)
    video, plane = (B, 4, frames, SIDE, SIDE), (B, 1, frames, SIDE, SIDE)
    return Given(
        scene=torch.randn(video, generator=g),
        scene_known=torch.ones(plane),
        occluder=torch.randn(video, generator=g),
        occluder_alpha=torch.rand(plane, generator=g),
        preview=torch.randn(video, generator=g),
        preview_alpha=torch.rand(plane, generator=g),
        codes=torch.rand((B, 4, frames, 4 * SIDE, 4 * SIDE), generator=g),
        reference=torch.randn((B, 4, 2, SIDE, SIDE), generator=g),
        reference_codes=torch.rand((B, 4, 2, 4 * SIDE, 4 * SIDE), generator=g),
    )


NO_PREVIEW: dict[str, None] = dict.fromkeys(("preview", "preview_alpha"))
LIKE = torch.zeros(B, 4, T, SIDE, SIDE)


def test_the_shipped_size_is_within_the_budget() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in Backbone().parameters()) <= 8_000_000


def test_an_untrained_network_shows_the_most_complete_picture() -> None:
    net, told = network(random=False), given()
    bare = replace(told, preview=None, preview_alpha=None)
    assert told.occluder is not None
    assert told.occluder_alpha is not None
    assert told.codes is not None
    assert told.reference is not None
    assert told.reference_codes is not None
    worn, _ = net.transfer(told.occluder, told.occluder_alpha, told.codes, told.reference, told.reference_codes)
    assert (worn - told.occluder).abs().max() > 0.1
    with torch.no_grad():
        for pictures, expected in (
            (told, told.preview),
            (bare, worn),
            (replace(bare, codes=None), told.occluder),
            (replace(bare, reference=None, reference_codes=None), told.occluder),
            (Given(scene=told.scene, scene_known=told.scene_known), told.scene),
            (Given(), LIKE),
        ):
            assert expected is not None
            made = net.denoiser(net.condition(pictures, LIKE))(torch.randn(LIKE.shape), NOISE)
            torch.testing.assert_close(made, expected)


def test_nothing_is_given_where_the_scene_is_unknown() -> None:
    net, told = network(), given()
    assert told.scene_known is not None
    known = told.scene_known.clone()
    known[..., :4] = 0
    concat = net.condition(replace(told, scene_known=known), LIKE).concat
    assert concat is not None
    base = net.base(concat)
    assert not base[..., :4].any()
    torch.testing.assert_close(base[..., 4:], told.preview[..., 4:])  # type: ignore[index]


def test_dropping_equals_not_giving() -> None:
    net, told, x = network(), given(), torch.randn(LIKE.shape)
    no, yes = torch.zeros(B, dtype=torch.bool), torch.ones(B, dtype=torch.bool)
    for kept, bare in (
        (Kept(yes, yes, no, yes, yes), replace(told, preview=None, preview_alpha=None)),
        (Kept(yes, no, yes, yes, yes), replace(told, occluder=None, occluder_alpha=None)),
        (Kept(yes, yes, yes, yes, no), replace(told, reference=None, reference_codes=None)),
        (Kept(yes, no, no, yes, yes), replace(told, **NO_PREVIEW, occluder=None, occluder_alpha=None)),
        (Kept(yes, yes, no, yes, no), replace(told, **NO_PREVIEW, reference=None, reference_codes=None)),
        (Kept(no, no, no, yes, no), Given(codes=told.codes)),
        (Kept(no, yes, yes, yes, no), Given(codes=told.codes)),  # pictures build on the scene
    ):
        with torch.no_grad():
            level = Level(math.cos(1), math.sin(1))
            one = net.denoiser(net.condition(told, LIKE, kept))(x, level)
            two = net.denoiser(net.condition(bare, LIKE))(x, level)
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_each_condition_changes_the_result_and_dropping_is_per_video() -> None:
    net, told, x = network(), given(), torch.randn(LIKE.shape)
    yes = torch.ones(B, dtype=torch.bool)
    with torch.no_grad():
        level = Level(math.cos(1), math.sin(1))
        full = net.denoiser(net.condition(told, LIKE, Kept(yes, yes, yes, yes, yes)))(x, level)
        for name in ("scene", "occluder", "preview", "codes", "reference"):
            flags = dict.fromkeys(("scene", "occluder", "preview", "codes", "reference"), yes)
            flags[name] = torch.tensor([True, False])
            less = net.denoiser(net.condition(told, LIKE, Kept(**flags)))(x, level)
            torch.testing.assert_close(less[0], full[0], rtol=1e-4, atol=1e-5)
            assert (less[1] - full[1]).abs().max() > 1e-4, name


def test_generation_is_reproducible_and_a_batch_equals_singles() -> None:
    net, told, options = network(), given(), SampleConfig(num_inference_steps=3)
    one, two = (generate(net, told, LIKE, config=options) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, generate(net, told, LIKE, config=replace(options, seed=1)))
    first = Given(**{name: value[:1] for name, value in vars(told).items()})
    torch.testing.assert_close(generate(net, first, LIKE[:1], config=options), one[:1], rtol=1e-4, atol=1e-5)


def test_long_videos_run_in_windows_of_what_the_network_can_tell_apart() -> None:
    net, told = network(), given(frames=11)
    like = torch.zeros(B, 4, 11, SIDE, SIDE)
    options = SampleConfig(num_inference_steps=2, windows=WindowConfig(length=4, overlap=1))
    assert generate(net, told, like, config=options, cuts=(6,)).isfinite().all()
    with pytest.raises(UsageError, match="positions"):
        generate(net, told, like, config=replace(options, windows=WindowConfig(length=64)))


def test_bad_conditions_are_refused() -> None:
    net, told = network(), given()
    with pytest.raises(UsageError, match="only one of preview"):
        replace(told, preview_alpha=None)
    with pytest.raises(UsageError, match="latents' own shape"):
        net.condition(told, LIKE[:, :, :2])
    with pytest.raises(UsageError, match="0 sampling steps"):
        SampleConfig(num_inference_steps=0)
    with pytest.raises(UsageError, match="0 sampling steps"):
        angular(0)


def test_levels_by_angle_run_from_noise_to_data() -> None:
    path = angular(12)
    assert path[0] == NOISE
    assert path[-1] == CLEAN
    assert all(a.ratio > b.ratio for a, b in pairwise(path))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        '{"widths": [64, 96]}',
        '{"latent_channels": Infinity, "heads": 4, "context_width": 48, "positions": 32, "widths": [64, 96]}',
        '{"latent_channels": NaN, "heads": 4, "context_width": 48, "positions": 32, "widths": [64, 96]}',
        '{"latent_channels": 1e9, "heads": 4, "context_width": 48, "positions": 32, "widths": [64, 96]}',
        '{"latent_channels": 16, "heads": 0, "context_width": 48, "positions": 32, "widths": [64, 96]}',
        '{"latent_channels": 16, "heads": 7, "context_width": 48, "positions": 32, "widths": [64, 96]}',
        '{"latent_channels": 16, "heads": 4, "context_width": 48, "positions": 32, "widths": [-64, 96]}',
        '{"latent_channels": 16, "heads": 4, "context_width": 48, "positions": 32, "widths": [64]}',
        " " * 200_000,
    ],
)
def test_a_hostile_configuration_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "backbone-s.json").write_text(text)
    with pytest.raises(ModelError):
        load_backbone(tmp_path / "backbone-s.safetensors")


def test_weights_that_are_missing_or_cut_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "backbone-s.safetensors"
    for data in (None, b"", EMBEDDED.read_bytes()[:5_000_000]):
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(ModelError):
            load_backbone(path)
