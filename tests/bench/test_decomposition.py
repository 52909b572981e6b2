"""How taking apart is measured, by laws: the truth scores fully, each fault lowers the number meant for it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diorama.bench import decomposition as bench
from diorama.bench._decomposition_truth import TITLES, HeldOut, Truth, landmarks_of, truth_of
from diorama.errors import UsageError
from diorama.theatre.clip import Clip, Script, random_clip

SCRIPT = Script(3, 12.0, 96, 96, actors=(1, 1), occluders=1.0)


@pytest.fixture(scope="module")
def clip() -> Clip:
    """Somebody behind something."""
    for seed in range(40):
        clip = random_clip(seed, SCRIPT)
        frame = clip.frame(0)
        number = clip.of_role("actor")[0]
        seen, whole = (frame.owner == number).sum(), frame.layers[number].alpha.sum()
        if 0.5 * whole < seen < 0.9 * whole:
            return clip
    raise AssertionError("no such clip")


@pytest.fixture(scope="module")
def truth(clip: Clip) -> Truth:
    return truth_of(clip)


def perfect(truth: Truth) -> bench.Found:
    joints = truth.joints[:, [truth.names.index(name) for name in bench.MAIN]]
    full = np.uint8(255)
    return bench.Found(truth.person * full, truth.before * full, truth.background, np.arange(len(truth.person)), joints)


def test_the_truth_scores_fully(truth: Truth) -> None:
    found = bench.compare(truth, perfect(truth))
    assert truth.before.any()
    assert found["found"] == found["order"] == 100
    assert found["person"] == found["occluder"] == 1
    assert found["background"] > 60
    assert found["joints"] == found["absolute"] == found["false"] == found["strangers"] == 0


def test_layers_of_the_truth_fit_together(truth: Truth) -> None:
    assert not (truth.person & ~truth.whole).any()
    assert not (truth.whole & ~truth.around).any()
    assert not (truth.person & truth.before).any()
    hidden = truth.whole & ~truth.person
    assert (truth.before & hidden).sum() > 0.9 * hidden.sum()
    seen = truth.bare & ~truth.around
    assert np.abs(truth.image[seen].astype(int) - truth.background[seen]).max() <= 6


def test_each_fault_lowers_its_number(truth: Truth) -> None:
    good = perfect(truth)
    swapped = replace(good, person=np.maximum(good.person, good.occluder), occluder=np.zeros_like(good.occluder))
    found = bench.compare(truth, swapped)
    assert found["order"] < 5
    assert found["occluder"] == 0
    grey = bench.compare(truth, replace(good, scene=good.scene // 2 + 60))
    assert grey["background"] < 30
    larger = bench.compare(truth, replace(good, joints=good.joints * np.float32(1.1)))
    assert larger["joints"] > 10
    assert larger["scaled"] < 0.1
    moved = bench.compare(truth, replace(good, joints=good.joints + np.float32(0.5)))
    assert moved["joints"] < 0.1
    assert moved["absolute"] > 800


def test_who_is_lost_counts_in_found_alone(truth: Truth) -> None:
    good = perfect(truth)
    part = replace(good, frames=good.frames[:1], joints=good.joints[:1])
    part = replace(part, person=part.person * (np.arange(3) < 1)[:, None, None].astype(np.uint8))
    found = bench.compare(truth, part)
    assert found["found"] == pytest.approx(100 / 3)
    assert found["person"] == 1
    nobody = bench.compare(truth, None)
    assert nobody.pop("found") == 0
    assert np.isnan(list(nobody.values())).all()


def test_a_clip_of_nobody_is_taken_apart(truth: Truth, tmp_path: Path) -> None:
    pytest.importorskip("mediapipe")
    assert bench.take_apart(replace(truth, image=truth.background), 12.0, tmp_path) is None
    assert (tmp_path / "clip.scene" / "scene.json").is_file()


def test_landmarks_lie_on_the_actor(clip: Clip, truth: Truth) -> None:
    pixels, local = landmarks_of(clip)
    inside = ((pixels >= 0) & (pixels < 96)).all(axis=-1)
    frame, point = np.nonzero(inside)
    x, y = pixels[frame, point].astype(int).T
    assert inside.mean() > 0.5
    assert truth.around[frame, y, x].mean() > 0.95
    assert np.abs(local.mean(axis=1) - truth.joints.mean(axis=1)).max() < 0.4


def test_a_body_fits_true_landmarks(clip: Clip, truth: Truth) -> None:
    assert bench.given_landmarks(clip, truth, noise=0) < 30


def test_held_out_clips_are_the_same_each_time_and_of_their_tags() -> None:
    clips = bench.held_out_clips(1, frames=4, size=96)
    assert clips == bench.held_out_clips(1, frames=4, size=96)
    assert [next(iter(TITLES)) in held.tags for held in clips] == [True]
    assert len(clips[0].clip()) == 4
    with pytest.raises(UsageError, match="0 clips"):
        bench.held_out_clips(0)


def test_means_leave_out_what_a_clip_does_not_have() -> None:
    nan = float("nan")
    values = dict.fromkeys(bench.GOALS, 1.0)
    rows = [
        bench.Row(HeldOut(1, SCRIPT, ("extreme_motion",)), ("jump",), values),
        bench.Row(HeldOut(2, SCRIPT, ("self_occlusion",)), ("turn",), {**values, "occluder": nan, "found": 0.0}),
    ]
    scores = {score.name: score.value for score in bench.scores_of(rows)}
    assert scores["occluder IoU around the person"] == 1
    assert scores["frames in which the person is found"] == 0.5
    lines = bench.tag_table(rows).splitlines()
    assert len(lines) == 5
    assert lines[3].startswith("| extreme 3D motion | 1 | 1 |")
    assert "nan" in lines[4]
