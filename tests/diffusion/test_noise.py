"""Noise: one generator an item, so that a seed means the same whatever else is in the batch."""

import pytest
import torch

from diorama.diffusion.noise import Noise, generators, only, seed_of
from diorama.errors import UsageError


def test_seeds_tell_names_apart_and_fit_a_generator() -> None:
    seeds = [seed_of("animate", 1, 2), seed_of("animate", 12), seed_of("animate", 2, 1), seed_of("person", 1, 2)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 1 << 63 for seed in seeds)
    assert seed_of("animate", 0) == 406068637978651370  # for ever: a clip made again must be the same


def test_a_batch_draws_what_its_items_draw_alone() -> None:
    batch, like = Noise(generators(3, "recipe", 7)), torch.zeros(3, 4, 5)
    alone = [Noise(generators(3, "recipe", 7)[i : i + 1]) for i in range(3)]
    for _ in range(2):
        drawn = batch(like)
        assert torch.equal(drawn, torch.cat([one(like[:1]) for one in alone]))
    assert drawn.std() == pytest.approx(1, abs=0.3)
    assert not torch.equal(drawn[0], drawn[1])


def test_noise_has_the_type_of_what_it_is_for() -> None:
    low = Noise(generators(1, 0))(torch.zeros(1, 8, dtype=torch.bfloat16))
    assert low.dtype == torch.bfloat16
    assert torch.equal(low, Noise(generators(1, 0))(torch.zeros(1, 8)).bfloat16())


def test_some_items_draw_from_their_own_generators() -> None:
    whole, part = Noise(generators(4, 0)), Noise(generators(4, 0))
    drawn = whole(torch.zeros(4, 6))
    assert torch.equal(only(part, (3, 1))(torch.zeros(2, 6)), drawn[[3, 1]])
    assert torch.equal(part.only([0])(torch.zeros(1, 6)), drawn[:1])
    assert torch.equal(whole.only([1])(torch.zeros(1, 6)), part.only([1])(torch.zeros(1, 6)))  # both moved on once
    assert only(torch.zeros_like, (1,)) is torch.zeros_like
    assert only(whole, None) is whole


def test_one_generator_an_item_is_needed() -> None:
    with pytest.raises(UsageError, match="2 generators for 3 items"):
        Noise(generators(2, 0))(torch.zeros(3, 1))
