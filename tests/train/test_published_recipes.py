"""The published training recipes: what learns and what stays, how each begins, what its loss is, on tiny networks."""

import copy
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from diorama.core.progress import Silent
from diorama.diffusion import mimo
from diorama.diffusion.denoise import quarter_log
from diorama.diffusion.dual_condition import bound
from diorama.diffusion.dual_unet import DualUNet
from diorama.diffusion.levels import of_ratio
from diorama.diffusion.mimo_load import load_mimo
from diorama.diffusion.motion_unet import predict
from diorama.errors import DioramaError, ModelError, UsageError
from diorama.figures.cast import load_cast
from diorama.figures.codes import VertexCodes
from diorama.figures.part_colors import part_colors
from diorama.geometry.raster import Fragments
from diorama.theatre.shards import Sample
from diorama.train import loss as losses
from diorama.train.config import TrainConfig
from diorama.train.draws import Draws
from diorama.train.loop import train
from diorama.train.recipes import _objects, parts
from diorama.train.recipes._contrast import PartProjector, part_contrast, regions, taken_widths
from diorama.train.recipes._encoders import encoders_for
from diorama.train.recipes._initial import find_weights
from diorama.train.recipes._people import PeopleRecipe
from diorama.train.recipes._people_nets import Members, Told, code_maps, condition, own_view, trained_schedule, unguided
from diorama.train.recipes.parts import PartsRecipe
from diorama.train.registry import RECIPES, config_for, recipe_of

GOLDEN = Path(os.environ.get("DIORAMA_GOLDEN", Path(__file__).parents[2] / "../shared/golden"))
PEOPLE = ("mimo-paper", "moore-stage1", "moore-stage2", "scd-stage1", "scd-stage2")
OBJECTS = ("sp4d-stage1", "sp4d-stage2")
ALL = PEOPLE + OBJECTS


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where takes lie: several recipes share them."""
    return tmp_path_factory.mktemp("takes")


def config(name: str, made: Path, **options: Any) -> TrainConfig:
    chosen = {"size": "tiny", "batch": 1, "steps": 2, "device": "cpu", "precision": "fp32", "checkpointing": False}
    data = {} if name in OBJECTS else {"data": str(made)}
    return config_for(name, chosen | {"out": str(made / name), "lr": 1e-3} | data | options)


def recipe(name: str, made: Path, **options: Any) -> Any:
    return recipe_of(name, config(name, made, **options))


def begun(name: str, made: Path, **options: Any) -> tuple[Any, dict[str, nn.Module]]:
    """A recipe and its networks; layers that begin as zero get some weight where `options` say loud=True."""
    loud = options.pop("loud", False)
    chosen = recipe(name, made, **options)
    torch.manual_seed(1)
    networks = chosen.networks()
    for network in networks.values() if loud else ():
        for parameter in network.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
    return chosen, networks


def gradients(networks: dict[str, nn.Module]) -> dict[str, torch.Tensor]:
    named = {f"{k}/{n}": p for k, net in networks.items() for n, p in net.named_parameters()}
    found = {name: p.grad.clone() for name, p in named.items() if p.grad is not None}
    for p in named.values():
        p.grad = None
    return found


def backward(chosen: Any, networks: dict[str, nn.Module], batch: Any, seed: int = 3) -> dict[str, torch.Tensor]:
    chosen.loss(networks, batch, Draws(seed, range(len(batch["image"])))).total.backward()
    return gradients(networks)


# ---- runs


@pytest.mark.parametrize("name", ALL)
def test_a_recipe_trains(name: str, made: Path) -> None:
    chosen = recipe(name, made, schedule="constant")
    whole = train(chosen, chosen.config)
    assert whole.step == 2
    assert whole.skipped == 0
    assert all(np.isfinite(value) for value in whole.measures.values())
    assert list((whole.folder / "previews").glob("*.png"))
    assert {path.stem for path in whole.result.glob("*.safetensors")} == MEMBERS[name] - {"projector"}
    assert len(pickle.dumps(chosen)) < 10_000  # it travels to the processes that make batches


@pytest.mark.parametrize("name", ["mimo-paper", "scd-stage2", "sp4d-stage2"])
def test_a_recipe_goes_on_bit_for_bit(name: str, made: Path, tmp_path: Path) -> None:
    chosen = recipe(name, made, schedule="constant", steps=1, out=str(tmp_path / "run"))
    if name in OBJECTS:  # latents are there from the whole run
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "objects").symlink_to(made / name / "objects")
    for method, answer in (("measure", {}), ("preview", None)):
        object.__setattr__(chosen, method, lambda _, answer=answer: answer)
    whole = made / name / "result"
    if not whole.exists():  # where this test runs alone
        train(recipe(name, made, schedule="constant"), config(name, made, schedule="constant"))
    train(chosen, chosen.config)
    told = Silent()
    train(chosen, replace(chosen.config, steps=2, resume=True), told)
    assert any("going on from step 1" in note for note in told.notes)
    for path in whole.glob("*.safetensors"):
        first, second = load_file(path), load_file(tmp_path / "run" / "result" / path.name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), path.name


def test_the_table_says_what_was_published() -> None:
    moore, scd = [[RECIPES[f"{who}-stage{n}"].defaults for n in (1, 2)] for who in ("moore", "scd")]
    for first, second in (moore, scd):
        assert (first["steps"], second["steps"], first["batch"], second["batch"]) == (30_000, 10_000, 4, 1)
        for stage in (first, second):
            assert (stage["lr"], stage["target"], stage["weighting"], stage["snr_gamma"]) == (1e-5, "v", "moore", 5.0)
            assert (stage["noise_offset"], stage["drop"], stage["clip"]) == (0.05, ("reference=0.1",), 1.0)
    mimo = RECIPES["mimo-paper"].defaults
    assert (mimo["steps"], mimo["target"], mimo["weighting"]) == (50_000, "eps", "none")
    for name in OBJECTS:
        assert (RECIPES[name].defaults["steps"], RECIPES[name].defaults["batch"]) == (40_000, 32)
        assert RECIPES[name].defaults["drop"] == ("image=0.1", "context=0.1")
    full = recipe_of("mimo-paper", config_for("mimo-paper", {}))
    assert (full.shot.frames, full.shot.apart, full.shot.layers) == (24, 4, True)
    first, second = (recipe_of(f"moore-stage{n}", config_for(f"moore-stage{n}", {})) for n in (1, 2))
    assert (first.shot.size, first.shot.apart, second.shot.size, second.shot.frames) == (768, 30, 512, 24)
    sp4d = recipe_of("sp4d-stage2", config_for("sp4d-stage2", {}))
    assert (sp4d.round.frames, sp4d.round.views, sp4d.round.size, sp4d.least) == (4, 12, 576, 8)


# ---- what learns

LAST = "reference/up_blocks.1."
DEAD = ("dual/part.time_embedding.", "dual/part.vector_embedding.")
FROZEN: dict[str, Callable[[str], bool]] = {
    "mimo-paper": lambda _: False,
    "moore-stage1": lambda name: name.startswith(LAST),
    "moore-stage2": lambda name: "motion_modules" not in name,
    "scd-stage1": lambda _: False,
    "scd-stage2": lambda name: "motion_modules" not in name,
    "sp4d-stage1": lambda _: False,
    "sp4d-stage2": lambda name: name.startswith(DEAD),
}
MEMBERS = {
    "mimo-paper": {"denoiser", "reference", "pose_encoder", "codes"},
    "moore-stage1": {"denoiser", "reference", "pose_encoder"},
    "moore-stage2": {"denoiser", "reference", "pose_encoder"},
    "scd-stage1": {"denoiser", "pose_encoder"},
    "scd-stage2": {"denoiser", "pose_encoder"},
    "sp4d-stage1": {"rgb"},
    "sp4d-stage2": {"dual", "projector"},
}


@pytest.mark.parametrize("name", ALL)
def test_exactly_the_named_parts_learn(name: str, made: Path) -> None:
    chosen, networks = begun(name, made, loud=True)
    assert set(networks) == MEMBERS[name]
    parameters = {f"{k}/{n}": p for k, net in networks.items() for n, p in net.named_parameters()}
    assert {n for n, p in parameters.items() if not p.requires_grad} == {n for n in parameters if FROZEN[name](n)}
    assert not [n for n in parameters if n.startswith(("reference/conv_out", "reference/conv_norm_out"))]
    encoders = chosen.encoders
    assert not any(p.requires_grad for each in (encoders.codec, encoders.image) for p in each.parameters())
    found = backward(chosen, networks, chosen.batch(range(1)))
    assert not [n for n in found if FROZEN[name](n)]
    # after the last self-attention of a reference network nobody listens
    deaf = [n for n in parameters if n not in found and not FROZEN[name](n)]
    assert all(n.startswith("reference/up_blocks.1.attentions.1.") for n in deaf), deaf


@pytest.mark.parametrize("name", ["moore-stage2", "scd-stage2"])
def test_reading_the_reference_without_gradients_leaves_those_of_motion_modules(name: str, made: Path) -> None:
    chosen, networks = begun(name, made, loud=True)
    batch = chosen.batch(range(1))
    frozen = backward(chosen, networks, batch)
    assert frozen
    for network in networks.values():
        network.requires_grad_(True)
    free = backward(chosen, networks, batch)
    assert len(free) > len(frozen)
    # Moore's single token has a short cut where no gradients are kept, right but for rounding
    atol = 0.0 if name == "scd-stage2" else 1e-6 * max(float(value.abs().max()) for value in frozen.values())
    for key, value in frozen.items():
        torch.testing.assert_close(free[key], value, rtol=0, atol=atol, msg=key)


def test_scd_learns_through_the_reference_and_checkpointing_changes_nothing(made: Path) -> None:
    chosen, networks = begun("scd-stage1", made, loud=True)
    batch, members = chosen.batch(range(2)), chosen.members(networks)
    assert members.source is members.denoiser
    whole = backward(chosen, networks, batch)
    members.denoiser.enable_gradient_checkpointing()
    again = backward(chosen, networks, batch)
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    told = chosen.told(networks, batch)
    times, x = torch.full((2,), 500.0), batch["image"]
    grads = []
    for cut in (False, True):
        cond = condition(members, told)
        cache = cond.reference
        if cut:
            keys, values = ({k: v.detach() for k, v in t.items()} for t in (cache.keys, cache.values))
            cond = replace(cond, reference=replace(cache, keys=keys, values=values))
        predict(members.denoiser, x, times, cond).square().mean().backward()
        grads.append(gradients(networks))
    key = "denoiser/down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_v.weight"
    assert not torch.allclose(grads[0][key], grads[1][key], rtol=1e-3)


def test_the_view_of_scd_shares_all_parameters(made: Path) -> None:
    _, networks = begun("scd-stage2", made)
    view = own_view(networks["denoiser"])
    own = {id(p) for p in networks["denoiser"].parameters()}
    assert all(id(p) in own for p in view.parameters())
    assert own_view(networks["denoiser"]) is view


# ---- how they begin


def told_of(name: str, made: Path, networks: dict[str, nn.Module], chosen: PeopleRecipe, count: int = 2) -> Any:
    batch = chosen.batch(range(count))
    return chosen.members(networks), chosen.told(networks, batch), batch["image"]


def test_mimo_begins_as_its_pictures_network(made: Path) -> None:
    chosen, networks = begun("mimo-paper", made)
    members, told, x = told_of("mimo-paper", made, networks, chosen, 1)
    times = torch.full((1,), 400.0)
    with torch.no_grad():
        plain = predict(members.denoiser, x, times, condition(members, told))
        assert told.concat is not None
        other = replace(told, concat=torch.randn_like(told.concat), pose=torch.rand_like(told.pose))
        assert torch.equal(plain, predict(members.denoiser, x, times, condition(members, other)))
        alone = condition(members, replace(told, concat=told.concat[:, :, 1:2], pose=told.pose[:, :, 1:2]))
        frame = predict(members.denoiser, x[:, :, 1:2], times, alone)  # motion modules say nothing yet
    torch.testing.assert_close(frame[:, :, 0], plain[:, :, 1], rtol=1e-4, atol=1e-5)
    assert not members.denoiser.conv_in.weight[:, 4:].any()
    assert members.denoiser.conv_in.weight[:, :4].any()


@pytest.mark.parametrize("name", ["moore-stage1", "scd-stage1", "scd-stage2"])
def test_new_pose_encoders_say_nothing(name: str, made: Path) -> None:
    chosen, networks = begun(name, made)
    _, told, _ = told_of(name, made, networks, chosen, 1)
    residual = condition(chosen.members(networks), told).residual
    assert residual is not None
    assert not residual.any()


def test_both_branches_begin_as_the_rgb_branch_alone(made: Path) -> None:
    first, _ = begun("sp4d-stage1", made)
    second, networks = begun("sp4d-stage2", made)
    dual = networks["dual"]
    assert isinstance(dual, DualUNet)
    alone = copy.deepcopy(dual.rgb)
    batch, times = second.batch(range(2)), torch.tensor([0.1, -0.2])
    told = parts.condition(dual.shape, batch)
    x = torch.randn(2, 4, 6, 8, 8)
    with torch.no_grad():
        both = parts.predict(dual, torch.cat([x, x], dim=1), times, told)
        lone = parts.predict(alone, x, times, told)
    assert torch.equal(both[:, :4], lone)
    assert torch.equal(both[:, 4:], lone)
    assert isinstance(first, PartsRecipe)


def test_the_next_stage_starts_from_the_result(made: Path, tmp_path: Path) -> None:
    for before, after, where in (
        ("moore-stage1", "moore-stage2", ("denoiser", "reference", "pose_encoder")),
        ("scd-stage1", "scd-stage2", ("denoiser", "pose_encoder")),
    ):
        chosen, networks = begun(before, made, loud=True)
        (tmp_path / before).mkdir()
        chosen.export(networks, tmp_path / before)
        _, later = begun(after, made, init=str(tmp_path / before))
        for name in where:
            state = later[name].state_dict()
            for key, value in networks[name].state_dict().items():
                torch.testing.assert_close(state[key], value.half().float(), rtol=0, atol=0)
    chosen, networks = begun("sp4d-stage1", made)
    (tmp_path / "sp4d").mkdir()
    chosen.export(networks, tmp_path / "sp4d")
    _, later = begun("sp4d-stage2", made, init=str(tmp_path / "sp4d"))
    own = networks["rgb"].state_dict()
    for branch in (later["dual"].rgb, later["dual"].part):
        assert all(torch.equal(value, own[key].half().float()) for key, value in branch.state_dict().items())
    chosen = recipe("sp4d-stage2", made)
    chosen.export(later, tmp_path / "sp4d")
    with pytest.raises(ModelError, match="no vae"):
        encoders_for(config("sp4d-stage2", made, size="full", init=str(tmp_path / "sp4d")), 64)


@pytest.mark.skipif(not (GOLDEN / "mimo_tiny").is_dir(), reason="no golden numbers here")
def test_released_weights_start_a_run_in_their_own_size(made: Path, tmp_path: Path) -> None:
    folder = GOLDEN / "mimo_tiny"
    chosen = recipe("mimo-paper", made, size="full", init=str(folder), data=str(tmp_path))
    networks = chosen.networks()
    stored = torch.load(folder / "denoising_unet.pth", weights_only=True)["conv_in.weight"].float()
    first = networks["denoiser"].conv_in.weight
    assert first.shape[1] == 12
    assert torch.equal(first[:, : stored.shape[1]], stored)
    assert not first[:, stored.shape[1] :].any()
    chosen = replace(chosen, shot=replace(chosen.shot, frames=2, size=64))
    assert torch.isfinite(chosen.loss(networks, chosen.batch(range(1)), Draws(0, range(1))).total.detach())
    with pytest.raises(ModelError, match="input channels"):
        recipe("moore-stage1", made, size="full", init=str(folder)).networks()


@pytest.mark.skipif(not (GOLDEN / "mimo_tiny").is_dir(), reason="no golden numbers here")
def test_training_and_sampling_tell_the_networks_the_same(made: Path) -> None:
    networks = load_mimo(GOLDEN / "mimo_tiny")
    encoders = encoders_for(config("mimo-paper", made, size="full", init=str(GOLDEN / "mimo_tiny")), 0)
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (3, 1, 64, 64, 3), generator=generator).to(torch.uint8)
    reference, pose, scene = pictures
    sampling, _ = mimo.condition(networks, mimo.MimoInputs(reference, pose, scene if networks.takes_scene else None))
    floats = [each.permute(0, 3, 1, 2).float() / 255 for each in pictures]
    told = Told(
        floats[1].transpose(0, 1)[None],
        encoders.latents(floats[0]),
        encoders.tokens(floats[0])[:, :1],
        concat=encoders.latents(floats[2]).transpose(0, 1)[None],
    )
    training = condition(Members(networks.denoiser, networks.reference, networks.pose_encoder), told)
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(training.context, sampling.context, **close)
    torch.testing.assert_close(training.residual, sampling.residual, **close)
    if networks.takes_scene:
        torch.testing.assert_close(training.concat, sampling.concat, **close)
    assert training.reference is not None
    assert sampling.reference is not None
    for name, keys in training.reference.keys.items():  # deep layers of random weights enlarge rounding
        expected = sampling.reference.keys[name]
        torch.testing.assert_close(keys, expected, rtol=0, atol=5e-4 * float(expected.abs().max()))


def test_what_is_missing_is_said(made: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no unet among the weights.*nothing known.*--init"):
        recipe("moore-stage1", made, size="full").networks()
    with pytest.raises(ModelError, match="no such folder"):
        find_weights(str(tmp_path / "nowhere"))
    (tmp_path / "theatre-00000.tar").touch()
    with pytest.raises(UsageError, match="leave out --data"):
        recipe("scd-stage1", made, data=str(tmp_path)).batch([0])
    with pytest.raises(DioramaError, match=r"diorama data"):
        recipe("sp4d-stage1", made, data=str(tmp_path / "nowhere")).batch([0])


# ---- the loss


def test_one_schedule_that_fits_what_is_predicted() -> None:
    assert trained_schedule("v").alphas_cumprod[-1] == 0
    assert trained_schedule("eps").alphas_cumprod[-1] == pytest.approx(0.0046, abs=2e-4)  # SD-1.5's


@pytest.mark.parametrize("name", ["moore-stage1", "scd-stage2"])
def test_what_is_dropped_is_what_guidance_leads_away_from(name: str, made: Path) -> None:
    chosen, networks = begun(name, made, loud=True)
    members, told, x = told_of(name, made, networks, chosen)
    times = torch.tensor([700.0, 700.0])
    with torch.no_grad():
        full = condition(members, told)
        with_it, without = (predict(members.denoiser, x, times, cond) for cond in (full, unguided(full)))
        mixed = predict(members.denoiser, x, times, condition(members, told, torch.tensor([False, True])))
    torch.testing.assert_close(mixed[0], without[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mixed[1], with_it[1], rtol=1e-4, atol=1e-5)
    assert float((with_it - without).abs().max()) > 1e-3


def test_codes_are_drawn_as_by_the_rasteriser() -> None:
    rng = np.random.default_rng(0)
    cast, codes = load_cast(), VertexCodes(len(load_cast().template), 5)
    ids = rng.integers(-1, len(cast.faces), (6, 7)).astype(np.int32)
    shares = rng.dirichlet(np.ones(3), (6, 7)).astype(np.float32) * (ids >= 0)[..., None]
    expected = codes(Fragments(ids, shares, np.ones((6, 7), np.float32)), cast.faces)
    vertices = torch.from_numpy(cast.faces[np.maximum(ids, 0)].astype(np.int16))[None, None]
    drawn = code_maps(codes.codes, vertices, torch.from_numpy(shares)[None, None])
    torch.testing.assert_close(drawn[0, :, 0], expected)
    drawn.sum().backward()
    assert codes.codes.grad is not None


def test_a_fixed_sample_is_learnt(made: Path) -> None:
    chosen, networks = begun("moore-stage1", made, drop=())
    batch, draws = chosen.batch(range(1)), lambda: Draws(0, range(1))
    parameters = [p for net in networks.values() for p in net.parameters() if p.requires_grad]
    optimizer, seen = torch.optim.AdamW(parameters, lr=2e-3), []
    for _ in range(20):
        loss = chosen.loss(networks, batch, draws()).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(float(loss.detach()))
    assert seen[-1] < 0.6 * seen[0]


def toy(identity: int, place: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents of somebody, and a picture of where that one stands."""
    look = torch.tensor([[1.0, -1, -1, 1], [1, -1, 1, -1]])[identity]
    latents, pose = look[:, None, None].repeat(1, 8, 8), torch.zeros(3, 64, 64)
    y, x = ((1, 1), (4, 3))[place]
    latents[:, y : y + 3, x : x + 4] *= -1
    pose[:, 8 * y : 8 * y + 24, 8 * x : 8 * x + 32] = 1
    return latents, pose


def test_who_is_made_follows_the_reference_and_where_the_pose(made: Path) -> None:
    """Two people in two poses, from pure noise, each with the reference in the other pose (scd.md 4, T23)."""
    chosen, networks = begun("scd-stage1", made)
    members, rows = chosen.members(networks), [(i, b) for i in (0, 1) for b in (0, 1)]
    latents, poses = (torch.stack(each)[:, :, None] for each in zip(*(toy(i, b) for i, b in rows), strict=True))
    seen, shown = (torch.stack(each) for each in zip(*(toy(i, 1 - b) for i, b in rows), strict=True))
    times, tokens = torch.full((4,), 999.0), torch.zeros(4, 1, 32)
    optimizer = torch.optim.AdamW([p for net in networks.values() for p in net.parameters()], lr=2e-3)

    def pictures(order: list[int], seed: int) -> torch.Tensor:
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
        told = Told(poses, seen[order], tokens, shown[order])
        return -predict(members.denoiser, noise, times, condition(members, told))  # v at pure noise is -x0

    for step in range(50):
        loss = (pictures([0, 1, 2, 3], step) - latents).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        swapped = pictures([2, 3, 0, 1], 99)
    assert float((swapped - latents[[2, 3, 0, 1]]).square().mean()) < 0.1
    assert float((swapped - latents).square().mean()) > 1.0


# ---- SP4D


def test_the_loss_without_contrast_is_that_of_two_branches(made: Path) -> None:
    chosen, networks = begun("sp4d-stage2", made, drop=(), loud=True)
    chosen, batch = replace(chosen, least=1), chosen.batch(range(2))
    plain = replace(chosen, contrast=0.0).loss(networks, batch, Draws(0, [4000, 4001]))
    whole = chosen.loss(networks, batch, Draws(0, [4000, 4001]))
    torch.testing.assert_close(plain.total, (plain.terms["rgb"] + plain.terms["part"]) / 2)
    assert whole.terms["contrast"] > 0
    torch.testing.assert_close(whole.total, plain.total + 0.1 * whole.terms["contrast"])  # after the ramp
    early = chosen.loss(networks, batch, Draws(0, [0, 1]))
    unramped = replace(chosen, contrast=0.0).loss(networks, batch, Draws(0, [0, 1]))
    assert (early.total - unramped.total).abs() < 0.002 * whole.terms["contrast"]


def test_loss_and_sampling_ask_the_network_alike(made: Path) -> None:
    _, networks = begun("sp4d-stage2", made, loud=True)
    dual, chosen = networks["dual"], recipe("sp4d-stage2", made)
    batch = chosen.batch(range(2))
    told = parts.condition(dual.shape, batch)
    x, time = torch.randn(2, 8, 6, 8, 8), quarter_log(of_ratio(3.0))
    with torch.no_grad():
        asked = parts.predict(dual, x, torch.full((2,), time), told)
        torch.testing.assert_close(asked, bound(dual, told)(x, time), rtol=0, atol=0)
    none = torch.zeros(2, dtype=torch.bool)
    dropped, expected = parts.condition(dual.shape, batch, parts.Kept(none, none)), told.dropped()
    for name in ("image", "context", "cameras", "cond_view"):
        assert torch.equal(getattr(dropped, name), getattr(expected, name)), name


def test_contrast_has_its_closed_forms() -> None:
    count, several, tau = 8, 6, 0.07
    labels = torch.arange(count).repeat(several)
    ideal = nn.functional.one_hot(labels, count).float()
    least = np.log(several - 1 + (count - 1) * several * np.exp(-1 / tau))
    assert float(part_contrast(ideal, labels, tau)) == pytest.approx(least, abs=1e-5)
    assert float(part_contrast(torch.ones_like(ideal) / count**0.5, labels, tau)) == pytest.approx(
        np.log(count * several - 1), abs=1e-4
    )
    swapped = labels.clone()
    swapped[0] = 1
    assert float(part_contrast(ideal, swapped, tau)) > least + 0.1
    single = torch.randn(5, 4, requires_grad=True)
    part_contrast(single, torch.zeros(5, dtype=torch.long), tau).backward()
    assert single.grad is not None
    assert not single.grad.any()
    assert float(part_contrast(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), tau)) == 0


def test_regions_are_means_over_parts() -> None:
    ids = torch.full((2, 8, 8), -1)
    ids[0, :4, :4], ids[1, 4:, 2:6], ids[0, 7, :7] = 0, 2, 1  # 16, 16 and 7 positions
    features = torch.randn(2, 3, 4, 4)
    means, labels = regions(features, ids)
    assert labels.tolist() == [0, 2]
    torch.testing.assert_close(means[0], features[0, :, :2, :2].mean(dim=(1, 2)))
    torch.testing.assert_close(means[1], features[1, :, 2:, 1:3].mean(dim=(1, 2)))
    assert len(regions(features, torch.full((2, 8, 8), -1))[0]) == 0


def test_features_are_taken_at_a_half_and_a_quarter() -> None:
    shape = replace(parts.PRESETS["sp4d-tiny"], widths=(32, 64, 96), attention_levels=(True, True, True))
    network = parts.ViewUNet.of(shape)
    told = parts.condition(
        shape,
        {"image": torch.zeros(1, 1, 4, 8, 8), "context": torch.zeros(1, 1, 64), "azimuth": torch.tensor([[1.0, 2.0]])},
    )
    with parts.overheard(network) as heard:
        parts.predict(network, torch.randn(1, 4, 2, 8, 8), torch.zeros(1), told)
    assert [tuple(each.shape) for each in heard] == [(2, 64, 4, 4), (2, 96, 2, 2)]
    assert [head[0].in_features for head in PartProjector(taken_widths(shape)).heads] == [64, 96]


def test_parts_have_the_colours_of_the_input_view() -> None:
    rng = np.random.default_rng(5)
    ids = rng.integers(-1, 3, (5, 4, 16, 16)).astype(np.int8)
    azimuths = np.array([10, 82, 154, 226, 298], np.float32)
    arrays = {
        "image": rng.integers(0, 256, (5, 4, 16, 16, 3)).astype(np.uint8),
        "parts": ids,
        "azimuths": azimuths,
        "part_centers": rng.uniform(-0.4, 0.4, (3, 3)).astype(np.float32),
        "box": np.array([[-0.5] * 3, [0.5] * 3], np.float32),
    }
    shape = _objects.Round(2, 3, 16)
    for seed in range(4):
        seen = _objects.chosen(Sample(arrays, {}), shape, np.random.default_rng(seed))
        given = next(v for v in range(5) if np.array_equal(arrays["image"][v, 0], seen.given[0]))
        assert (np.diff(seen.azimuths) > 0).all()
        assert (np.degrees(seen.azimuths) > 1).all()  # the input view is none of them
        expected = part_colors(arrays["part_centers"], *arrays["box"], azimuth=float(azimuths[given]))
        for part in range(3):
            assert (seen.colored[seen.parts == part] == expected[part]).all()
        assert (seen.colored[seen.parts < 0] == 255).all()
    with pytest.raises(UsageError, match="7 views"):
        _objects.chosen(Sample(arrays, {}), _objects.Round(2, 6, 16), rng)
    blocks = _objects.majority(torch.tensor([[[1, 1, -1, -1], [1, 0, -1, 2]]]), 2)
    assert blocks.tolist() == [[[1, -1]]]


def test_levels_are_log_normal(made: Path) -> None:
    u = Draws(0, range(400)).spread().clamp(1e-5, 1 - 1e-5)
    log_sigma = parts.LOG_MEAN + parts.LOG_STD * torch.special.ndtri(u)
    assert float(log_sigma.mean()) == pytest.approx(0.7, abs=0.05)
    assert float(log_sigma.std()) == pytest.approx(1.6, abs=0.1)
    alpha, sigma = torch.rsqrt(1 + (2 * log_sigma).exp()), torch.rsqrt(1 + (-2 * log_sigma).exp())
    torch.testing.assert_close(sigma / alpha, log_sigma.exp(), rtol=1e-3, atol=1e-4)
    x0, noise = torch.randn(400, 2), torch.randn(400, 2)
    v = losses.target_of("v", x0, noise, alpha=alpha, sigma=sigma)
    x = losses.noised(x0, noise, alpha, sigma)
    torch.testing.assert_close(alpha[:, None] * x - sigma[:, None] * v, x0, rtol=1e-3, atol=1e-4)
