"""Frechet distances in closed form, FVD, and the tables."""

import json

import numpy as np
import pytest
import torch

from diorama.bench.metrics import frechet
from diorama.bench.metrics.frechet import VideoFeatures
from diorama.bench.metrics.suite import ClipScores, Networks, Regions, measure, networks
from diorama.bench.metrics.table import as_json, markdown, tables
from diorama.errors import UsageError


def test_distance_of_known_gaussians() -> None:
    one = frechet.gaussian(np.array([0.0, 1, 2]), np.diag([1.0, 4, 9]))
    two = frechet.gaussian(np.array([1.0, 1, 4]), np.diag([4.0, 4, 1]))
    assert frechet.distance(one, two) == pytest.approx((1 + 4) + (1 - 2) ** 2 + 0 + (3 - 1) ** 2)
    assert frechet.distance(one, one) == pytest.approx(0, abs=1e-12)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    turned = [frechet.gaussian(turn @ m, turn @ np.diag(v) @ turn.T) for m, v in _sides()]
    assert frechet.distance(*turned) == pytest.approx(10)


def _sides() -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.array([0.0, 1, 2]), np.array([1.0, 4, 9])), (np.array([1.0, 1, 4]), np.array([4.0, 4, 1]))]


def test_distance_of_covariances_that_do_not_commute_and_of_few_samples() -> None:
    draw = np.random.default_rng(1)
    for count in (40, 5):  # more and fewer samples than features
        a, b = draw.standard_normal((count, 8)) @ draw.standard_normal((8, 8)), draw.standard_normal((count, 8))
        s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
        root = np.sqrt(np.maximum(np.linalg.eigvals(s1 @ s2).real, 0)).sum()  # the textbook's, of a product
        plain = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(s1) + np.trace(s2) - 2 * root
        fitted = frechet.distance(frechet.fitted(a), frechet.fitted(b))
        assert fitted == pytest.approx(plain, rel=1e-5)
        given = [frechet.gaussian(x.mean(0), s) for x, s in ((a, s1), (b, s2))]
        assert frechet.distance(*given) == pytest.approx(fitted, rel=1e-5)
        assert frechet.distance(frechet.fitted(a), frechet.fitted(a)) == pytest.approx(0, abs=1e-9)


def test_bad_gaussians() -> None:
    mean = np.zeros(2)
    with pytest.raises(UsageError, match="not symmetric"):
        frechet.gaussian(mean, np.array([[1.0, 2], [0, 1]]))
    with pytest.raises(UsageError, match="eigenvalue"):
        frechet.gaussian(mean, np.diag([1.0, -1]))
    with pytest.raises(UsageError, match="NaN"):
        frechet.gaussian(np.array([0, np.nan]), np.eye(2))
    with pytest.raises(UsageError, match="1 samples"):
        frechet.fitted(np.zeros((1, 3)))
    with pytest.raises(UsageError, match="NaN"):
        frechet.fitted(np.full((3, 3), np.inf))
    with pytest.raises(UsageError, match="use one network"):
        frechet.distance(frechet.fitted(np.eye(3)), frechet.fitted(np.eye(4)))


MEANS = VideoFeatures("means", lambda clips: clips.mean(dim=(3, 4))[:, 0, :2], least=2, published=False)


def test_fvd_counts_its_clips_and_says_what_it_is_of(caplog: pytest.LogCaptureFixture) -> None:
    videos = [np.full((5, 4, 4, 3), 10 * n, np.uint8) for n in range(6)]
    found = frechet.fvd(MEANS, videos, [v + 51 for v in videos], frames=2)
    assert (found.samples, found.dimensions, found.stride, found.few) == (12, 2, 2, False)
    assert found.value == pytest.approx(2 * 0.2**2, rel=1e-5)
    assert "means, clips of 2 frames every 2, 12 samples" in found.terms
    assert frechet.fvd(MEANS, videos, videos, frames=2, stride=1).samples == 24
    assert not caplog.records
    assert frechet.fvd(MEANS, videos[:2], videos, frames=4).few
    assert "biased" in caplog.text


def test_fvd_of_bad_input() -> None:
    videos = [np.zeros((5, 4, 4, 3), np.uint8)] * 2
    with pytest.raises(UsageError, match="video of 5 frames"):
        frechet.fvd(MEANS, videos, videos, frames=6)
    with pytest.raises(UsageError, match="takes 2 or more"):
        frechet.fvd(MEANS, videos, videos, frames=1)
    with pytest.raises(UsageError, match="takes 4"):
        frechet.fvd(VideoFeatures("x", MEANS.embed, 4, exactly=4), videos, videos, frames=5)
    with pytest.raises(UsageError, match="no videos"):
        frechet.fvd(MEANS, [], videos, frames=2)
    with pytest.raises(UsageError, match="every 0"):
        frechet.fvd(MEANS, videos, videos, frames=2, stride=0)


def test_frames_are_resized_as_pillow_does() -> None:
    image = pytest.importorskip("PIL.Image")
    frame = np.random.default_rng(0).random((61, 97)).astype(np.float32)
    wanted = np.asarray(image.fromarray(frame).resize((32, 32), image.BICUBIC))
    found = frechet.resized(torch.from_numpy(frame)[None, None, None].expand(1, 3, 2, -1, -1), 32)
    assert np.abs(found[0, 1, 1].numpy() - wanted).max() < 2e-5


@pytest.fixture(scope="module")
def scores() -> list[ClipScores]:
    draw = np.random.default_rng(0)
    by, found = networks(frames=4), []
    for n in range(3):
        true = np.repeat(draw.random((1, 48, 40, 3)), 4, axis=0)
        inside = np.zeros((4, 48, 40), bool)
        inside[:, 10:30, 10:30] = n != 1  # nobody in clip 1
        feet = np.full((4, 1, 4), np.nan)
        feet[0, 0] = (8, 30, 20, 44)
        for method, spread in (("good", 0.02), ("bad | worse", 0.2)):
            made = np.clip(true + spread * draw.standard_normal(true.shape), 0, 1)
            tags = ("large_camera_motion",) if n else ("self_occlusion", "large_camera_motion")
            regions = Regions(inside, hands=inside, feet=feet)
            found.append(measure(made, true, regions, by=by, method=method, clip=f"clip {n}", tags=tags))
    return found


def test_tables_over_all_clips_and_tags(scores: list[ClipScores]) -> None:
    made = tables(scores)
    assert [(table.tag, table.clips) for table in made] == [
        ("all", 3),
        ("large_camera_motion", 3),
        ("self_occlusion", 1),
    ]
    cells = made[0].rows["good"]
    values = [score.values["psnr"] for score in scores if score.method == "good"]
    assert cells["psnr"].mean == pytest.approx(np.mean(values))
    assert cells["psnr"].spread == pytest.approx(np.std(values, ddof=1))
    assert (cells["psnr_inside"].count, cells["psnr_feet"].count, cells["fvd"].count) == (2, 3, 3)
    assert made[2].rows["good"]["psnr"].spread is None
    assert "fvd" not in made[2].rows["good"]  # one clip has no covariance
    for key, cell in cells.items():
        column = next(column for column in made[0].columns if column.key == key)
        other = made[0].rows["bad | worse"][key]
        assert column.disco or (cell.mean > other.mean) == column.larger, key


def test_markdown_and_json(scores: list[ClipScores]) -> None:
    made = tables(scores)
    text = markdown(tables(scores, made[0].columns)[0])
    assert text == markdown(made[0])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert len(rows) == 4
    assert "LPIPS [lpips-standin] ↓" in rows[0]
    assert "FVD [fvd-standin] ↓" in rows[0]
    assert f"**{made[0].rows['good']['psnr'].mean:.2f}**" in rows[2]
    assert "lpips_unscaled" not in text  # no published network here
    assert "(few)" in rows[2]
    assert "3 samples; biased" in text
    read = json.loads(as_json(made))
    assert read[0]["rows"]["good"]["psnr"]["count"] == 3
    assert read[2]["rows"]["good"]["psnr"]["spread"] is None


def test_tables_refuse_what_does_not_compare(scores: list[ClipScores]) -> None:
    with pytest.raises(UsageError, match="no scores"):
        tables([])
    with pytest.raises(UsageError, match="twice for good"):
        tables([*scores, scores[0]])
    with pytest.raises(UsageError, match="different clips"):
        tables(scores[:-1])
    by, video = networks(frames=4), np.zeros((4, 48, 40, 3))
    other = Networks(by.lpips, by.video, frames=4, stride=1)
    mixed = [measure(video, video, by=used, method="m", clip=name) for name, used in (("a", other), ("b", by))]
    with pytest.raises(UsageError, match="different networks"):
        tables(mixed)
