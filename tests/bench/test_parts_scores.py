"""Scores of parts, and the truth that rigs are held against."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from transformers import Dinov2Config, Dinov2Model

from diorama.bench._parts_truth import edges_of, known
from diorama.bench.parts import PartsBenchConfig, _begun
from diorama.bench.parts_drift import DriftRow, drift
from diorama.bench.parts_features import CELLS, KINDS, describer, featured_row, is_there
from diorama.bench.parts_pictures import PictureRow, _between, _rigid, _shown, picture_table
from diorama.bench.parts_rig import RigRow, as_true, colored_of, family_table, rig_row, rig_scores, tree_error
from diorama.bench.parts_scores import agreement, rand_index
from diorama.bench.parts_views import asked, segmented_row, view_table
from diorama.core.extras import available
from diorama.errors import UsageError


def test_the_same_parts_under_other_numbers_agree_in_full() -> None:
    truth = np.repeat(np.arange(-1, 3), 25).reshape(10, 10)
    found = np.array([2, 0, 1, -1])[truth]
    score = agreement(found, truth)
    assert (score.miou, score.ari, score.f1, score.macc) == (1, 1, 1, 1)
    assert (score.count, score.truth) == (3, 3)


def test_one_part_for_all_agrees_by_chance_only() -> None:
    truth = np.repeat([0, 1], 50)
    score = agreement(np.zeros_like(truth), truth)
    assert score.ari == 0
    assert score.miou == pytest.approx(0.25)  # half of one part, and nothing of the other
    assert score.macc == pytest.approx(0.5)


def test_parts_that_change_their_number_from_view_to_view_count_once() -> None:
    truth = np.zeros((2, 50), int)
    truth[:, 25:] = 1
    found = truth.copy()
    found[1] += 2
    assert agreement(found, truth).miou == pytest.approx(0.5)
    assert 0 < agreement(found, truth).ari < 1


def test_the_rand_index_is_that_of_the_definition() -> None:
    # Hubert and Arabie's own form, by pairs
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 3, 40), rng.integers(0, 4, 40)
    table = np.zeros((3, 4))
    np.add.at(table, (a, b), 1)
    same_a, same_b = (x[:, None] == x[None] for x in (a, b))
    pairs = np.triu(np.ones((40, 40), bool), 1)
    both, one, two = (same_a & same_b & pairs).sum(), (same_a & pairs).sum(), (same_b & pairs).sum()
    expected = one * two / pairs.sum()
    assert rand_index(table) == pytest.approx((both - expected) / ((one + two) / 2 - expected))


def test_maps_without_an_object_are_refused() -> None:
    with pytest.raises(UsageError, match="object"):
        agreement(np.zeros((2, 2), int), np.full((2, 2), -1))


def test_the_true_tree_and_labels_have_no_error() -> None:
    creature = known(1, views=2, frames=2, size=48)
    parts = np.arange(len(creature.parents))
    share, far = tree_error(creature, np.maximum(creature.parents, -1), creature.joints, parts)
    assert share == 1
    assert far == pytest.approx(0, abs=1e-9)
    assert len(edges_of(creature.parents)) == len(np.unique(creature.labels)) - 1
    assert np.array_equal(as_true(creature.labels, creature.labels), creature.labels)
    assert (colored_of(creature)[creature.table.parts < 0] == 255).all()


def test_a_row_of_the_rig_bench_is_told_by_family() -> None:
    row = rig_row(known(7, views=8, frames=1, size=128), 7)
    assert isinstance(row, RigRow)
    assert 0.5 < row.miou <= 1
    assert row.unity < 1e-6
    scores = {score.name: score for score in rig_scores([row])}
    assert scores["partition of unity"].reached
    assert row.family in family_table([row])


def test_pictures_segmented_alone_have_no_ties_between_views() -> None:
    row = segmented_row(asked(3))
    assert row.views.count > row.views.truth
    assert row.views.miou < 0.5
    assert "segments" in view_table([("segments", [row])])


def test_what_is_measured_is_checked_before_anything_runs() -> None:
    with pytest.raises(UsageError, match="known are rig, views, pictures"):
        PartsBenchConfig(what=("poses",))
    with pytest.raises(UsageError, match="no-fusion"):
        PartsBenchConfig(variants=("none",))
    with pytest.raises(UsageError, match="0 creatures"):
        PartsBenchConfig(creatures=0)


def test_moving_by_the_true_motion_of_parts_leaves_no_distance() -> None:
    creature = known(7, views=1, frames=2, size=16)
    own = creature.labels == creature.labels[0]
    start, end = (creature.places[t][own].astype(np.float64) for t in (0, 1))
    turn, shift = _rigid(start, end)
    assert np.abs(start @ turn.T + shift - end).max() < 2e-3
    assert _between(start, start) == 0


def test_features_that_know_the_parts_give_the_parts() -> None:
    """Kinds are told from what is said of places, within the silhouettes, in all pictures together."""
    seen = asked(1)
    parts = list(np.unique(seen.parts[seen.parts >= 0]))
    large = iter((seen.parts[:, 0], seen.parts[0]))

    def describe(pictures: np.ndarray) -> np.ndarray:
        known_parts = next(large)
        assert pictures.shape[:3] == known_parts.shape
        return np.stack([known_parts == part for part in parts], axis=-1).astype(np.float32)

    row = featured_row(describe, seen)
    assert row.views.count <= KINDS
    assert row.views.miou > 0.5  # 12 kinds for 21 parts
    assert row.frames.ari > 0.5


def test_the_network_of_features_is_read_from_its_folder(tmp_path: Path) -> None:
    config = Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=7)
    assert not is_there(str(tmp_path))
    Dinov2Model(config).save_pretrained(tmp_path / "dinov2")
    assert is_there(str(tmp_path))
    said = describer(str(tmp_path))(np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3), np.uint8))
    assert said.shape == (2, CELLS, CELLS, 16)
    assert said[0].std() > 0
    assert not np.allclose(said[0], said[1])


@pytest.mark.skipif(not available("skimage"), reason="scikit-image")
def test_a_creature_before_a_photograph_is_where_its_box_is() -> None:
    creature = known(2, views=2, frames=1, size=48, extreme=True)
    assert creature.extreme
    shown = _shown(creature, 1, np.random.default_rng(3))
    assert shown.picture.shape == (72, 72, 3)
    left, top, right, bottom = (round(end * 72) for end in shown.box)
    assert shown.inside.sum() == (creature.table.parts[1, 0] >= 0).sum()
    assert shown.inside[top:bottom, left:right].sum() == shown.inside.sum()
    y, x = np.argwhere(cv2.erode(shown.inside.astype(np.uint8), np.ones((5, 5))) > 0)[0]
    own = creature.table.images[1, 0]
    assert np.abs(own.astype(int) - shown.picture[y, x]).sum(axis=-1).min() < 12
    assert shown.picture[~shown.inside].std() > 5


def test_means_of_sets_are_of_the_models_that_were_made() -> None:
    good = PictureRow("biped", True, "", 0.9, 5, 6, 0.5, 0.25, 0.02, 0.03, 4.0)
    text = picture_table({"plain": [good, PictureRow("biped", False, "no subject")], "rare": []})
    assert "| plain | 2 | 50% | 0.900 | 0.500 | 0.250 | 0.020 | 0.030 | 4.000 |" in text
    assert "| rare | 0 | 0% |" in text


def test_variants_are_known_by_all_that_they_begin_with(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.safetensors").write_bytes(name.encode())
    init = f"{tmp_path / 'one'}{os.pathsep}{tmp_path / 'other'}"
    before = _begun(init)
    assert _begun(init) == before
    (tmp_path / "other" / "other.safetensors").write_bytes(b"changed")
    assert _begun(init) != before
    with pytest.raises(UsageError, match="no weights"):
        _begun("")


def test_drift_is_told_where_windows_meet_and_elsewhere() -> None:
    parts = np.zeros((7, 8, 8), np.int8)
    parts[:, :, 4:] = 1
    colored = np.zeros((7, 8, 8, 3), np.uint8)
    colored[:, :, 4:] = 100
    assert drift(colored, parts) == DriftRow(0.0, 0.0, 0.0, 0.0)
    colored[4:] += 30  # the second window: its first frame is the last one of the first
    assert drift(colored, parts) == DriftRow(0.0, 30.0, 30.0, 0.0)
    colored[:4] += np.arange(4, dtype=np.uint8)[:, None, None, None]
    assert drift(colored, parts) == DriftRow(2.0, 30.0, 27.0, 0.6)
