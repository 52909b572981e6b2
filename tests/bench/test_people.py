"""The gates of the embedded generator measure what they say."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from diorama.bench import people
from diorama.bench.embedded import BenchConfig
from diorama.bench.scores import Score, table
from diorama.diffusion.codec_load import load_codec
from diorama.errors import UsageError


@pytest.fixture(scope="module")
def case() -> people.Case:
    return people.held_out_cases(1, 2, load_codec(), size=64)[0]


def test_silhouette_of_the_truth_and_of_the_empty_scene(case: people.Case) -> None:
    true, scene = case.seen.image / np.float32(255), case.seen.scene / np.float32(255)
    assert people.silhouette_iou(true, case) > 0.97
    assert people.silhouette_iou(scene, case) < 0.03
    shifted = np.roll(true, case.seen.image.shape[2] // 3, axis=2)
    assert people.silhouette_iou(shifted, case) < 0.6


def test_psnr_is_of_the_pixels_asked_for(case: people.Case) -> None:
    true = case.seen.image / np.float32(255)
    off = true.copy()
    off[~case.inside] = 1 - off[~case.inside]
    assert people.psnr(off, true, case.inside) == pytest.approx(100)
    assert people.psnr(true + np.float32(0.1), true, case.inside) == pytest.approx(20, abs=0.01)


def test_the_warped_canonical_picture_fills_the_persons_box(case: people.Case) -> None:
    warped = people.warped_canonical(case.seen)
    changed = (warped != case.seen.scene).any(axis=-1)
    for frame, mask in zip(changed, case.seen.person, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert not frame[: rows[0]].any()
        assert not frame[:, columns[-1] + 1 :].any()
        assert frame[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() > 0.1


def test_somebody_in_anothers_colours_is_told_apart() -> None:
    cases = people.held_out_cases(4, 1, load_codec(), size=96)
    for wanted in range(4):
        looks = [people.worn(cases[0], other) / np.float32(255) for other in cases]
        lit = np.clip(looks[wanted] * np.float32(0.8) + np.float32(0.05), 0, 1)  # another light
        where = looks[wanted].any(axis=-1)
        assert int(np.argmin([people._apart(lit, look, where) for look in looks])) == wanted


def test_conditions_of_a_case_are_latents_of_its_pictures(case: people.Case) -> None:
    codec, given = load_codec(), case.given
    assert given.scene is not None
    frame = codec.decode(given.scene[0].transpose(0, 1))[0].permute(1, 2, 0)
    assert (frame - torch.from_numpy(case.seen.scene[0]) / 255).abs().mean() < 0.05
    assert replace(given, reference=None, reference_codes=None).reference is None


def test_tables_say_what_is_missed() -> None:
    text = table([Score("m", "a", 2.0, 1.0, unit="dB"), Score("m", "b", 2.0, 1.0, at_least=False)])
    assert "reached" in text.splitlines()[2]
    assert "missed" in text.splitlines()[3]


def test_bad_options_are_refused() -> None:
    with pytest.raises(UsageError, match="no embedded model"):
        BenchConfig(models=("codec-x",))
    with pytest.raises(UsageError, match="1 clips"):
        BenchConfig(clips=1)
