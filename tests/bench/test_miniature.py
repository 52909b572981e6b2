"""The tables in miniature: what variants share, what they differ in, and both scripts on a tiny budget."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diorama.bench.miniature.drawn import ends_of
from diorama.bench.miniature.pairs import Kind, PairNetwork, Pose
from diorama.bench.miniature.peak import PeakMemory
from diorama.bench.miniature.tables import UNTRAINED, miniature
from diorama.bench.miniature.takes import GREY, boxed_over
from diorama.bench.miniature.training import KINDS, MiniatureConfig, names_of, train_variants
from diorama.bench.miniature.variants import ROWS, Miniature
from diorama.diffusion.backbone import BackboneConfig
from diorama.errors import ModelError, UsageError

SMALL = BackboneConfig(widths=(16, 32))


def test_all_rows_start_from_the_same_weights():
    networks = []
    for row in ROWS:
        torch.manual_seed(1)
        networks.append(Miniature(bool(row.preview), SMALL).state_dict())
    assert all(torch.equal(first, other[name]) for other in networks for name, first in networks[0].items())


def test_all_kinds_of_reading_start_from_the_same_weights():
    states = {}
    for kind in KINDS:
        torch.manual_seed(1)
        states[kind] = PairNetwork(kind, SMALL).state_dict()
    assert states["joint"].keys() == states["causal"].keys() < states["separate"].keys()
    assert all(torch.equal(value, states[kind][name]) for name, value in states["joint"].items() for kind in KINDS)


def _pose(count: int) -> Pose:
    rng = torch.Generator().manual_seed(3)
    codes = torch.rand(2 * count, 4, 32, 32, generator=rng)
    return Pose(torch.randn(count, 16, 8, 8, generator=rng), codes[:count], codes[count:])


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_do_not_see_each_other_and_the_reference_matters(kind: Kind):
    torch.manual_seed(2)
    network = PairNetwork(kind, SMALL).eval()
    for module in (network.denoiser.conv_out, network.codes.leave):  # they begin as zero
        torch.nn.init.normal_(module.weight, std=0.1)
    pose, x, angle = _pose(2), torch.randn(2, 16, 8, 8), torch.tensor([0.4, 0.9])
    with torch.no_grad():
        both = network(x, angle.cos(), angle.sin(), network.read(pose))
        alone = Pose(pose.reference[1:], pose.reference_codes[1:], pose.codes[1:])
        one = network(x[1:], angle[1:].cos(), angle[1:].sin(), network.read(alone))
        other = network(
            x[1:], angle[1:].cos(), angle[1:].sin(), network.read(replace(alone, reference=-pose.reference[1:]))
        )
    assert torch.allclose(both[1:], one, atol=1e-5)
    assert not torch.allclose(one, other, atol=1e-3)


def test_only_joint_attention_passes_the_reference_again():
    read = {kind: PairNetwork(kind, SMALL).read(_pose(1)).cache for kind in KINDS}
    assert read["joint"] is None
    assert read["causal"] is not None
    assert read["separate"] is not None


def test_one_reference_serves_several_poses():
    pose = _pose(3)
    shared = Pose(pose.reference[:1], pose.reference_codes[:1], pose.codes)
    for kind in KINDS:
        network = PairNetwork(kind, SMALL).eval()
        ones = torch.ones(3)
        made = network(torch.randn(3, 16, 8, 8), ones, ones, network.read(shared))
        assert made.shape == (3, 16, 8, 8)


def test_a_box_covers_the_person_and_leaves_the_rest():
    image = np.random.default_rng(0).integers(0, 120, (2, 32, 32, 3)).astype(np.uint8)
    inside = np.zeros((2, 32, 32), bool)
    inside[0, 5:20, 8:14] = True
    boxed = boxed_over(image, inside)
    assert (boxed[0][inside[0]] == GREY).all()
    assert (boxed[0, :, 18:] == image[0, :, 18:]).all()
    assert (boxed[1] == image[1]).all()


def test_hands_that_nothing_is_seen_of_have_no_box():
    inside = np.zeros((1, 64, 64), bool)
    inside[0, 10:50, 20:40] = True
    points = np.full((1, 133, 2), 5, np.float32)
    points[:, 91:112] = 30.0  # the left hand lies on the person
    boxes = ends_of(points, inside)
    assert np.allclose(boxes[0, 0], [27, 27, 33, 33])
    assert np.isnan(boxes[0, 1:]).all()


def test_peak_memory_counts_what_is_there_at_once():
    with PeakMemory() as one:
        for _ in range(3):
            kept = torch.zeros(1000)
            del kept
    with PeakMemory() as three:
        kept = [torch.zeros(1000) for _ in range(3)]
        view = kept[0][:10]
    assert one.most == 4000
    assert three.most == 12000
    assert len(view) == 10


def test_a_budget_is_minutes_or_steps():
    for wrong in ({"steps": 5}, {"minutes": None}, {"clips": 0}, {"size": 100}):
        with pytest.raises(UsageError):
            MiniatureConfig(**wrong)


TINY = MiniatureConfig(minutes=None, steps=1, clips=1, lessons=1, size=64, frames=4, widths=(16, 32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("miniature")


def test_the_table_of_mimo_on_a_tiny_budget(folder: Path):
    config = replace(TINY, out=str(folder), variants=("full", "champ"))
    result = miniature("animate", config)
    titles = [names_of("animate")[name] for name in config.variants] + list(UNTRAINED.values())
    assert {score.method for score in result.scores} == set(titles)
    assert all(f"| {title} |" in result.markdown for title in titles)
    assert {"psnr", "ssim", "lpips", "psnr_inside", "psnr_fixed_disco"} <= set(result.scores[0].values)
    written = (folder / "animate" / "table.md").read_text()
    assert written == result.markdown
    before = {path: path.stat().st_mtime_ns for path in (folder / "animate").rglob("*.scores.json")}
    assert miniature("animate", config).markdown == result.markdown  # nothing is done again
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_the_table_of_scd_on_a_tiny_budget(folder: Path):
    config = replace(TINY, out=str(folder), variants=("joint", "causal"))
    result = miniature("person", config)
    assert [row.name for row in result.trained] == ["joint", "causal"]
    assert result.trained[0].parameters == result.trained[1].parameters
    assert all(min(cost.seconds, cost.weights, cost.working) > 0 for cost in result.costs.values())
    assert "FVD" not in result.markdown.split("core seconds")[0].split("| method |")[1].splitlines()[0]
    with pytest.raises(UsageError, match="another budget"):
        train_variants("person", replace(config, steps=2))
    with pytest.raises(UsageError, match="no variant"):
        train_variants("person", replace(config, variants=("both",)))
    found = folder / "person" / "joint.json"
    found.write_text(json.dumps({"name": "joint"}))
    with pytest.raises(ModelError, match="no result"):
        train_variants("person", config)
