"""Draws, averages, schedules, pictures, logs: small things with laws of their own."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from diorama.errors import ModelError, UsageError
from diorama.train.config import TrainConfig
from diorama.train.data import Order
from diorama.train.draws import Draws, seed_of
from diorama.train.ema import Ema, decay_at
from diorama.train.export import write_weights
from diorama.train.log import Log, Mean, read_rows, thinned
from diorama.train.preview import grid, png, to_picture
from diorama.train.schedule import Budget, duration, learning_rate
from diorama.train.split import held_out, theatre_seed


def test_draws_belong_to_samples_not_to_batches() -> None:
    whole, half = Draws(3, range(6)), Draws(3, range(2, 4))
    for draw in (lambda d: d.normal(2, 3), lambda d: d.uniform(), lambda d: d.integers(100, 4), lambda d: d.spread()):
        assert torch.equal(draw(whole)[2:4], draw(half))
    assert not torch.equal(Draws(4, range(6)).normal(2), Draws(3, range(6)).normal(2))
    assert not torch.equal(whole.normal(2), whole.normal(2)), "each call draws anew"


def test_spread_is_even() -> None:
    values = Draws(1, range(1000, 1064)).spread()
    counts = torch.histc(values, 16, 0, 1)
    assert counts.min() >= 3
    assert counts.max() <= 5
    assert bool(((values >= 0) & (values < 1)).all())


def test_conditions_are_dropped_at_their_rate() -> None:
    kept = Draws(1, range(4000)).keep(0.3).double().mean()
    assert abs(float(kept) - 0.7) < 0.03
    assert bool(Draws(1, range(50)).keep(0.0).all())
    assert not bool(Draws(1, range(50)).keep(1.0).any())


def test_seeds_are_the_same_everywhere() -> None:
    assert seed_of("sample", 0, 0) == 298852833610974656
    assert seed_of("a", 1) != seed_of("a", 2)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-10, 10), min_size=1, max_size=8), st.floats(0.1, 0.99))
def test_the_average_is_the_recursion_of_its_decays(values: list[float], decay: float) -> None:
    parameter = nn.Parameter(torch.zeros(1))
    ema, expected = Ema({"p": parameter}, decay), 0.0
    for n, value in enumerate(values):
        with torch.no_grad():
            parameter.fill_(value)
        ema.update()
        d = decay_at(n, decay)
        expected = d * expected + (1 - d) * value
    assert float(ema.average["p"]) == pytest.approx(expected, abs=1e-4)
    with ema.swapped():
        assert parameter.item() == ema.average["p"].item()
    assert parameter.item() == pytest.approx(values[-1])


def test_the_decay_grows_to_its_value() -> None:
    assert decay_at(0, 0.999) == 0
    decays = [decay_at(n, 0.99) for n in range(2000)]
    assert decays == sorted(decays)
    assert decays[-1] == 0.99


def test_the_learning_rate_rises_and_ends_with_the_budget() -> None:
    config = TrainConfig(steps=1000, lr=2e-3, warmup=50)
    assert learning_rate(config, 0, 0.0) == pytest.approx(2e-3 / 50)
    assert learning_rate(config, 49, 0.0) == pytest.approx(2e-3)
    assert learning_rate(config, 500, 0.5) == pytest.approx(1e-3)
    assert learning_rate(config, 1000, 1.0) == pytest.approx(0, abs=1e-12)
    assert learning_rate(config, 3, 0.2) > 1e-3, "few steps in much time: the warm-up ends after a tenth of it"
    constant = TrainConfig(minutes=1.0, schedule="constant", warmup=0)
    assert learning_rate(constant, 0, 0.0) == learning_rate(constant, 9, 1.0) == constant.lr


def test_budgets_of_steps_and_of_time() -> None:
    steps, time = Budget(10, None), Budget(None, 120.0)
    assert steps.fraction(5, 1e9) == 0.5
    assert time.fraction(10**9, 30.0) == 0.25
    assert steps.left(5, 20.0) == 20
    assert time.left(5, 20.0) == 100
    assert time.left(5, 130.0) == 0
    assert [duration(s) for s in (42.0, 720.0, 11100.0, float("inf"))] == ["42 s", "12 min", "3 h 05 min", "unknown"]


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_a_png_holds_the_picture(height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    assert np.array_equal(unpacked(png(image)), image)


def unpacked(data: bytes) -> Any:
    cv2 = pytest.importorskip("cv2")
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_pngs_need_pixels_and_have_whole_chunks() -> None:
    with pytest.raises(UsageError, match="it needs pixels"):
        png(np.zeros((0, 4, 3), np.uint8))
    data = png(np.zeros((2, 2, 3), np.uint8))
    assert int.from_bytes(data[29:33], "big") == zlib.crc32(data[12:29])


def test_a_grid_has_white_between_its_pictures() -> None:
    black = np.zeros((3, 4, 3), np.uint8)
    sheet = grid([[black, black], [black]], gap=1)
    assert sheet.shape == (7, 9, 3)
    assert sheet[3].min() == 255
    assert sheet[4:, 5:].min() == 255
    assert sheet[:3, :4].max() == 0
    assert to_picture(np.array([[[-1.0]], [[0.5]], [[2.0]]])).tolist() == [[[0, 128, 255]]]


def test_a_log_goes_on_and_takes_new_columns(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for step in range(1, 5):
        log.row({"step": step, "loss": 0.5})
    log.row({"step": 5, "loss": 0.5, "extra": 2.0})
    log.close()
    with (tmp_path / "log.csv").open("a") as file:
        file.write("6,torn")
    rows = read_rows(tmp_path / "log.csv")
    assert [row["step"] for row in rows] == list("12345")
    assert rows[-1]["extra"] == "2"
    assert rows[0]["extra"] == ""
    again = Log(tmp_path, 3)
    again.row({"step": 4, "loss": 0.25, "extra": 1.0})
    again.close()
    assert [row["loss"] for row in read_rows(tmp_path / "log.csv")] == ["0.5", "0.5", "0.5", "0.25"]


def test_means_and_thinned_curves() -> None:
    mean = Mean()
    mean.add({"loss": 1.0})
    mean.add({"loss": 3.0})
    assert mean.take() == {"loss": 2.0}
    assert mean.count == 0
    curve = thinned([(n, float(n)) for n in range(1, 1001)], 200)
    assert len(curve) <= 200
    assert curve[-1][0] == 1000
    assert sum(loss for _, loss in curve) / len(curve) == pytest.approx(500.5, abs=4)


def test_shares_cover_a_batch() -> None:
    orders = [Order(12, rank, 3) for rank in range(3)]
    assert [n for order in orders for n in order.share(24)] == list(range(24, 36))
    assert [list(share) for share in Order(2).shares(4, 8)] == [[4, 5], [6, 7]]
    with pytest.raises(UsageError, match=r"a batch of 4 for 3 processes.*multiple of 3"):
        Order(4, 0, 3)


def test_held_out_samples_are_few_and_always_the_same() -> None:
    names = [f"person-{n:05d}" for n in range(2000)]
    share = sum(held_out(name) for name in names) / len(names)
    assert 0.03 < share < 0.07
    assert not any(held_out(name, 0.0) for name in names)
    assert all(held_out(name, 1.0) for name in names)
    assert theatre_seed(0, "train") != theatre_seed(0, "held-out") != theatre_seed(1, "held-out")


def test_weights_that_half_precision_cannot_hold_are_refused(tmp_path: Path) -> None:
    network = nn.Linear(2, 2)
    for value in (1e6, float("nan")):
        with torch.no_grad():
            network.bias.fill_(value)
        with pytest.raises(ModelError, match="diverged"):
            write_weights(network, tmp_path / "a.safetensors")
