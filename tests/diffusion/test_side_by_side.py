"""Calls side by side: the same results, errors raised, settings of the thread kept, no deadlock when nested."""

import threading
from collections.abc import Iterator

import pytest
import torch

from diorama.diffusion.side_by_side import NAME, side_by_side

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def names(count: int) -> list[str]:
    """Of the threads in which calls run."""
    found = [""] * count

    def call(number: int) -> torch.Tensor:
        found[number] = threading.current_thread().name
        return torch.tensor(float(number))

    calls = [lambda number=number: call(number) for number in range(count)]
    results = side_by_side(calls, CPU)
    assert [float(each) for each in results] == list(range(count))
    return found


def test_calls_share_the_threads_where_nothing_is_lost_by_it() -> None:
    with torch.no_grad():
        assert all(name.startswith(NAME) for name in names(5))
        assert torch.get_num_threads() == 2
        with torch.autocast("cpu", torch.bfloat16):
            assert not any(name.startswith(NAME) for name in names(2))
        torch.set_num_threads(1)
        assert not any(name.startswith(NAME) for name in names(2))
    assert not any(name.startswith(NAME) for name in names(2))  # gradients are wanted


def test_results_are_those_of_calls_in_turn() -> None:
    layer = torch.nn.Conv2d(16, 16, 3)
    x = torch.randn(4, 16, 40, 40)
    with torch.no_grad():
        one, two = side_by_side([lambda: layer(x), lambda: layer(-x)], CPU)
        assert torch.equal(one, layer(x))
        assert torch.equal(two, layer(-x))
    with torch.inference_mode():
        assert side_by_side([lambda: layer(x), lambda: layer(x)], CPU)[0].is_inference()


def test_nested_calls_end() -> None:
    def inner() -> torch.Tensor:
        return torch.stack(side_by_side([lambda: torch.ones(()), lambda: torch.ones(())], CPU)).sum()

    with torch.no_grad():
        assert [float(each) for each in side_by_side([inner] * 6, CPU)] == [2.0] * 6


def test_an_error_is_raised_when_all_have_ended() -> None:
    ended = []

    def fails() -> torch.Tensor:
        raise ValueError("no")

    def works() -> torch.Tensor:
        ended.append(1)
        return torch.ones(())

    with torch.no_grad(), pytest.raises(ValueError, match="no"):
        side_by_side([fails, works, works], CPU)
    assert len(ended) == 2
