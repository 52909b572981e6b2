"""The bench of stereo engines: its truth is true, its numbers say what they say, and it goes on where it stopped."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diorama.bench import _stereo_makers as makers
from diorama.bench import _stereo_truth as truth
from diorama.bench import stereo as module
from diorama.bench._stereo_rows import Row, matrix_rows
from diorama.bench._stereo_scene import SceneWay
from diorama.bench._stereo_scores import judges, score_eyes, score_video
from diorama.bench._stereo_sheet import shown_frame
from diorama.bench._stereo_store import code_digest, weights_digest
from diorama.bench._stereo_truth import Size, StereoCase, theatre_case, warped_case
from diorama.bench.stereo import StereoBenchConfig, measure_stereo
from diorama.diffusion.backbone import Backbone, BackboneConfig
from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.prior import Prior
from diorama.diffusion.prior_scene import ScenePrior
from diorama.errors import UsageError
from diorama.geometry.fit import FitConfig
from diorama.media.read import open_video
from diorama.pipelines.frames import geometry_of
from diorama.pipelines.matrix_config import EMBEDDED

SIZE = Size(3, 64, 112)


@pytest.fixture(scope="module")
def case() -> StereoCase:
    return theatre_case(0, SIZE)


@pytest.fixture(scope="module")
def moving() -> StereoCase:
    return theatre_case(1, SIZE)


@pytest.fixture(scope="module")
def prior() -> ScenePrior:
    torch.manual_seed(0)
    network = Backbone(BackboneConfig(widths=(16, 16), heads=1, context_width=4))
    for name, weight in network.named_parameters():
        if "conv_out" in name or "proj_out" in name:  # begin at 0
            torch.nn.init.normal_(weight, std=0.1)
    return ScenePrior(network.eval().requires_grad_(False), load_codec())


def test_the_other_eye_is_what_a_warp_by_the_true_depth_shows(case: StereoCase, moving: StereoCase) -> None:
    assert (case.tag, moving.tag) == ("standing camera", "moving camera")
    for each in (case, moving):
        made = makers.fast(each)
        off = np.abs(made.right.astype(float) - each.right).mean(axis=-1)
        assert np.median(off[~each.holes]) < 3
        assert off[each.holes].mean() > 3 * off[~each.holes].mean()
        near = np.percentile(each.disparity, 98) / each.left.shape[2]
        assert truth.PARALLAX[0] / 2 < near < truth.PARALLAX[1] * 2
        assert each.never is not None
        assert not (each.never & ~each.holes).any()
        assert not (each.sides & ~each.holes).any()
        assert 0.005 < each.holes.mean() < 0.3


def test_clips_are_the_same_again(case: StereoCase) -> None:
    again = theatre_case(0, SIZE)
    assert np.array_equal(case.left, again.left)
    assert np.array_equal(case.holes, again.holes)


def test_what_other_frames_show_does_not_count_as_never_seen(moving: StereoCase) -> None:
    clip, moves = truth.random_clip(7, truth.Script(4, 12.0, 64, 112, cameras=("pan",), stereo=0.3)), [99]
    left, right = ([clip.frame(t, view) for t in range(4)] for view in (0, 1))
    asked = np.ones((64, 112), bool)
    shown = [truth._shown(0, asked, left[:count], right[0], clip.views, moves) for count in (1, 2, 4)]
    assert shown[0].sum() < shown[1].sum() <= shown[2].sum()
    assert not (shown[0] & ~shown[2]).any()
    assert shown[0].mean() > 0.7
    everything = list(range(len(clip.layers)))
    assert np.array_equal(truth._shown(0, asked, left, right[0], clip.views, [-1, *everything]), shown[0])
    assert moving.never is not None
    assert 0 < moving.never.sum() < moving.holes.sum()


def test_of_one_plane_the_side_is_lost_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    right = rng.integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
    case = warped_case("plane", right, np.full((2, 32, 48), 5, np.float32))
    assert np.array_equal(case.holes, np.broadcast_to(np.arange(48) >= 43, case.holes.shape))
    assert np.array_equal(case.sides, case.holes)
    assert np.array_equal(case.left[:, :, 5:], right[:, :, :-5])
    assert case.disparity == pytest.approx(5)
    assert np.array_equal(makers.fast(case).right[~case.holes], right[~case.holes])


def test_behind_a_box_is_lost_as_much_as_it_is_nearer() -> None:
    disparity = np.full((1, 32, 64), 2, np.float32)
    disparity[:, 8:20, 20:40] = 9
    right = np.random.default_rng(1).integers(0, 256, (1, 32, 64, 3), dtype=np.uint8)
    case = warped_case("box", np.repeat(right, 2, axis=0), np.repeat(disparity, 2, axis=0))
    assert case.holes[0].sum() == 12 * (9 - 2) + 32 * 2  # s2vg.md 6.3
    assert case.sides[0].sum() == 32 * 2
    assert case.never is None


def test_scores_are_of_the_pixels_asked_for() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(40, 200, (4, 40, 48, 3), dtype=np.uint8)
    mask = np.zeros(true.shape[:3], bool)
    mask[:, 10:20, 10:20] = True
    same = score_video(true, true, {"holes": mask, "none": np.zeros_like(mask)})
    assert same["psnr_holes"] == same["psnr"] == 100
    assert same["flicker"] == same["flicker_holes"] == same["lpips_holes"] == 0
    assert "psnr_none" not in same
    off = np.where(mask[..., None], true + 10, true).astype(np.uint8)
    steady = score_video(off, true, {"holes": mask, "rest": ~mask})
    assert steady["psnr_holes"] == pytest.approx(20 * np.log10(255 / 10))
    assert steady["psnr_rest"] == 100
    assert steady["flicker_holes"] == 0
    assert steady["lpips_holes"] > 0
    off[::2] = true[::2]
    assert score_video(off, true, {"holes": mask})["flicker_holes"] == pytest.approx(10)


def test_eyes_are_alike_where_they_are_the_same(case: StereoCase) -> None:
    by = judges()
    assert by.named["aesthetic"] == by.named["fvd"] == ""
    assert score_eyes(case.left, case.left, by)["eyes"] == pytest.approx(100, abs=1e-4)
    assert score_eyes(case.left, case.right, by)["eyes"] < 100
    assert "aesthetic" not in score_eyes(case.left, case.right, by)


def test_engines_are_given_the_true_parallax(case: StereoCase) -> None:
    seen, look = makers.seen_of(case)
    for each, disparity in zip(seen, case.disparity, strict=True):
        assert geometry_of(each, look)[1] == pytest.approx(disparity, abs=1e-3)


def test_noise_on_depth_is_made_less_by_averaging(moving: StereoCase) -> None:
    rough = makers.noisy(moving)
    smooth = makers.steadied(rough)
    span = np.ptp(moving.disparity)
    off = [np.abs(each.disparity - moving.disparity).mean() / span for each in (rough, smooth)]
    assert 0.3 * makers.NOISE < off[0] < makers.NOISE
    change = [np.abs(np.diff(each.disparity - moving.disparity, axis=0)).mean() for each in (rough, smooth)]
    assert change[1] < 0.8 * change[0]


def test_noise_is_of_the_clip(case: StereoCase) -> None:
    other = replace(case, name="another")
    assert np.array_equal(makers.noisy(case).disparity, makers.noisy(case).disparity)
    assert not np.array_equal(makers.noisy(case).disparity, makers.noisy(other).disparity)


def test_gaussians_of_a_frame_are_the_frame_from_elsewhere(case: StereoCase) -> None:
    off = makers.gaussians(case).right.astype(float) - case.right
    assert np.median(np.abs(off[~case.holes])) < 12


def test_without_rows_a_prior_is_asked_about_columns_alone(prior: ScenePrior, case: StereoCase) -> None:
    alone = makers.WithoutRows(prior)
    assert isinstance(alone, Prior)
    assert not alone.rows
    rows = {row.name: row for row in matrix_rows(prior, "embedded")}
    assert rows["svg-release"].slow
    made = {name: rows[name].way(case) for name in ("draft", "balanced", "columns")}
    counts = {name: each.counted for name, each in made.items()}
    assert all(count is not None and count.calls for count in counts.values())
    assert not np.array_equal(made["balanced"].right, made["columns"].right)
    known = ~case.holes
    assert np.array_equal(made["balanced"].right[known], made["columns"].right[known])


def test_a_bench_goes_on_where_it_stopped(prior: ScenePrior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ("telea", "fast", "draft")
    config = StereoBenchConfig(1, rows=rows, size=SIZE, out=str(tmp_path / "bench"))
    first = measure_stereo(config, prior=prior)
    assert [score.row for score in first.scores] == list(rows)
    draft = first.scores[2].values
    assert draft["calls"] > 0
    assert draft["megabytes"] > 0
    assert set(draft) >= {"psnr_never", "psnr_holes", "lpips_holes", "flicker_holes", "eyes", "seconds"}
    assert "no weights" in first.markdown
    assert "lpips-standin" in first.markdown
    assert json.loads(first.json)["tables"][0]["rows"]["fast engine"]["psnr_holes"] > 5
    assert all(file.is_file() for file in first.files)
    films = tmp_path / "bench" / "films"
    assert {path.name for path in films.iterdir()} == {*rows, "truth"}
    assert len(open_video(next((films / "draft").glob("theatre-000-*.mp4")))) == SIZE.frames

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(module, "_fresh", never)
    monkeypatch.setattr(module, "theatre_case", never)
    again = measure_stereo(config, prior=prior)
    assert again.scores == first.scores
    monkeypatch.setattr(module, "code_digest", lambda: "other code")
    with pytest.raises(AssertionError, match="measured again"):
        measure_stereo(config, prior=prior)


def test_another_clip_of_the_same_name_is_measured_again(
    case: StereoCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = StereoBenchConfig(1, rows=("telea",), size=SIZE, out=str(tmp_path))
    other = replace(case, left=case.left[:, ::-1].copy(), right=case.right[:, ::-1].copy())
    assert case.start(len(case.left)).mark == case.mark != case.start(2).mark
    found = []
    for each in (case, other, case):
        monkeypatch.setattr(module, "_cases", lambda *_, each=each: iter([each]))
        found.append(measure_stereo(config))
    assert found[0].scores == found[2].scores != found[1].scores
    for row in ("telea", "truth"):
        assert len(list((tmp_path / "films" / row).iterdir())) == 2
    assert len(list((tmp_path / "frames").iterdir())) == 2


def test_a_way_is_warm_before_it_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []

    def way(given: StereoCase) -> makers.Made:
        lengths.append(len(given.left))
        return makers.Made(given.left)

    monkeypatch.setattr(module, "plain_rows", lambda: [Row("way", "a way", way)])
    measure_stereo(StereoBenchConfig(2, rows=("way",), size=SIZE, out=str(tmp_path)))
    assert lengths == [module.WARM, SIZE.frames, SIZE.frames]


def test_scores_depend_on_all_code_and_weights(tmp_path: Path) -> None:
    names = ("geometry/_mesh.py", "perception/flow.py", "theatre/render.py", "bench/metrics/pixels.py")
    names += ("pipelines/matrix_open.py", "pipelines/presets.py", "perception/data/depth-s.safetensors")
    for number, name in enumerate(names):
        before = code_digest(tmp_path), weights_digest(str(tmp_path))
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes([number]))
        after = code_digest(tmp_path), weights_digest(str(tmp_path))
        assert before[0] != after[0]
        assert before[1] != after[1]
    (tmp_path / names[0]).write_bytes(b"other")
    assert after[0] != code_digest(tmp_path)
    again = code_digest(tmp_path)
    (tmp_path / "pipelines" / "rig.py").touch()
    assert again == code_digest(tmp_path)
    root = Path(module.__file__).parents[1]
    assert all((root / name).is_file() for name in names)


def test_other_weights_of_a_metric_are_another_score(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    config = StereoBenchConfig(1, rows=("telea",), size=SIZE, out=str(tmp_path / "out"), weights=str(weights))
    for text in ("one", "two"):
        (weights / "net.pth").write_text(text)
        measure_stereo(config)
    assert len(list((tmp_path / "out" / "scores").iterdir())) == 2


def test_the_sheet_shows_the_frame_with_most_to_find(case: StereoCase) -> None:
    assert case.never is not None
    assert case.never[shown_frame(case)].sum() == case.never.sum(axis=(1, 2)).max()


def test_bad_options_are_refused(prior: ScenePrior, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no row is called dream"):
        measure_stereo(StereoBenchConfig(1, rows=("dream",), out=str(tmp_path)), prior=prior)
    with pytest.raises(UsageError, match="0 clips"):
        StereoBenchConfig(0)
    with pytest.raises(UsageError, match="no such folder"):
        StereoBenchConfig(1, weights=str(tmp_path / "none"))
    with pytest.raises(UsageError, match="a folder without clips"):
        measure_stereo(StereoBenchConfig(0, (str(tmp_path),), rows=("fast",), out=str(tmp_path)))
    with pytest.raises(UsageError, match="1 frames"):
        Size(1)


def test_a_fitted_scene_is_seen_from_the_right_eye(case: StereoCase, prior: ScenePrior) -> None:
    """Nearer to the right eye than to the left one it was made of."""
    found = SceneWay(prior, EMBEDDED["draft"], FitConfig(iterations=120))(case)
    assert found.counted is not None
    assert found.counted.calls > 0
    off = [np.square(found.right.astype(float) - truth).mean() for truth in (case.right, case.left)]
    assert off[0] < 0.5 * off[1]
