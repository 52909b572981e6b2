"""Gaussians as values: what is refused, and how they follow their nodes over time."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.core.gaussians import Gaussians, MovingGaussians, cubic
from diorama.core.rotations import steady
from diorama.errors import UsageError

STILL = np.array([1, 0, 0, 0], np.float32)


def some(count: int = 6, seed: int = 0) -> Gaussians:
    rng = np.random.default_rng(seed)
    quats = rng.normal(size=(count, 4))
    return Gaussians(
        rng.normal(size=(count, 3)).astype(np.float32),
        (quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        rng.uniform(0.1, 1, (count, 3)).astype(np.float32),
        rng.uniform(0, 1, count).astype(np.float32),
        rng.uniform(0, 1, (count, 3)).astype(np.float32),
    )


def moving(rest: Gaussians, keys: int = 4, nodes: int = 3) -> MovingGaussians:
    rng = np.random.default_rng(1)
    weights = rng.uniform(size=(len(rest), 2)).astype(np.float32)
    return MovingGaussians(
        rest,
        np.arange(keys, dtype=np.float32),
        rng.normal(size=(nodes, 3)).astype(np.float32),
        np.zeros((keys, nodes, 3), np.float32),
        np.tile(STILL, (keys, nodes, 1)),
        rng.integers(0, nodes, (len(rest), 2)).astype(np.int32),
        weights / weights.sum(axis=1, keepdims=True),
    )


def test_nodes_at_rest_leave_everything_where_it_is() -> None:
    still = moving(some())
    for time in (-1.0, 0.0, 0.3, 2.0, 9.0):
        now = still.at(time)
        np.testing.assert_allclose(now.means, still.rest.means, atol=1e-6)
        np.testing.assert_allclose(now.quats, still.rest.quats, atol=1e-6)
        np.testing.assert_array_equal(now.opacities, still.rest.opacities)


def test_what_moves_evenly_does_so_between_the_keys_too() -> None:
    still = moving(some())
    way = np.array([1.0, -2.0, 0.5], np.float32)
    led = replace(still, shifts=still.shifts + still.times[:, None, None] * way)
    for time in (0.0, 0.25, 1.5, 2.9):
        np.testing.assert_allclose(led.at(time).means, still.rest.means + way * np.float32(time), atol=1e-5)


def test_a_node_turns_what_is_around_it() -> None:
    rest = some(5)
    one = moving(rest, keys=1, nodes=1)
    quarter = np.array([np.cos(np.pi / 4), 0, 0, np.sin(np.pi / 4)], np.float32)
    turned = replace(one, turns=quarter[None, None], links=one.links * 0).at(0.0)
    x, y, z = (rest.means - one.nodes[0]).T
    np.testing.assert_allclose(turned.means - one.nodes[0], np.stack([-y, x, z], axis=1), atol=1e-5)


def test_presence_fades_by_its_width() -> None:
    rest = some(2)
    there = np.array([[1.0, 0.5], [0.0, np.inf]], np.float32)
    seen = replace(moving(rest), presence=there)
    np.testing.assert_allclose(seen.at(1.0).opacities, rest.opacities)
    np.testing.assert_allclose(seen.at(2.0).opacities, rest.opacities * [np.exp(-2), 1], rtol=1e-5)


def test_shares_of_keys_sum_to_one_and_follow_a_cubic_inside() -> None:
    times = np.arange(6, dtype=np.float32)
    for time in np.linspace(-1, 6, 57):
        keys, shares = cubic(times, float(time))
        assert shares.sum() == pytest.approx(1, abs=1e-6)
        if 1 <= time <= 4:  # parabolas are kept where all four keys are real
            assert (shares * times[keys] ** 2).sum() == pytest.approx(time**2, abs=1e-4)
    np.testing.assert_array_equal(cubic(times, 3.0)[0], [3])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scales", np.zeros((6, 3), np.float32)),
        ("opacities", np.full(6, 1.5, np.float32)),
        ("colors", np.full((6, 3), -0.1, np.float32)),
        ("means", np.full((6, 3), np.nan, np.float32)),
        ("quats", np.ones((6, 4), np.float32)),
    ],
)
def test_what_are_no_gaussians_is_refused(name: str, value: np.ndarray) -> None:
    with pytest.raises(UsageError):
        replace(some(), **{name: value})


def test_nodes_whose_turns_are_the_same_with_other_signs_lead_alike() -> None:
    still = moving(some())
    turn = np.array([0.6, 0, 0.8, 0], np.float32)
    turns = np.tile(turn, (4, 3, 1))
    told = replace(still, turns=turns, links=np.tile(np.array([0, 1], np.int32), (6, 1)))
    flipped = turns.copy()
    flipped[:, 1] *= -1
    for weights in (told.weights, np.full((6, 2), 0.5, np.float32)):  # halves of q and -q sum to nothing
        led, other = (replace(told, turns=t, weights=weights).at(1.5) for t in (turns, flipped))
        np.testing.assert_allclose(other.means, led.means, atol=1e-6)
        np.testing.assert_allclose(np.abs((other.quats * led.quats).sum(axis=1)), 1, atol=1e-6)


@pytest.mark.parametrize("time", [np.nan, np.inf, -np.inf])
def test_no_time_is_refused(time: float) -> None:
    with pytest.raises(UsageError, match="finite"):
        moving(some()).at(time)


def test_turns_keep_to_one_side_from_key_to_key() -> None:
    still = moving(some())
    turns = still.turns.copy()
    turns[2, 1] *= -1
    with pytest.raises(UsageError, match="steady"):
        replace(still, turns=turns)
    np.testing.assert_array_equal(replace(still, turns=steady(turns)).turns, still.turns)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("times", np.array([0, 2, 1, 3], np.float32)),
        ("links", np.full((6, 2), 3, np.int32)),
        ("weights", np.full((6, 2), np.inf, np.float32)),
        ("weights", np.full((6, 2), 0.4, np.float32)),
        ("weights", np.tile(np.array([1.5, -0.5], np.float32), (6, 1))),
        ("turns", np.full((4, 3, 4), 1, np.float32)),
        ("presence", np.zeros((6, 2), np.float32)),  # no width
        ("presence", np.full((6, 2), np.inf, np.float32)),
        ("presence", np.full((6, 2), np.nan, np.float32)),
    ],
)
def test_what_is_no_motion_is_refused(name: str, value: np.ndarray) -> None:
    with pytest.raises(UsageError):
        replace(moving(some()), **{name: value})
