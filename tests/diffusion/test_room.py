"""Memory that runs out is told in our own words; other errors stay what they are."""

import pytest
import torch

from diorama.diffusion.prior_scene import ScenePrior
from diorama.diffusion.room import in_memory
from diorama.errors import ModelError, OutOfMemoryError

FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", FULL, ids=["cuda", "cpu", "python"])
def test_what_does_not_fit_is_told_with_a_remedy(error: Exception) -> None:
    words = "not enough memory for a whale — boat — take a larger one"
    with pytest.raises(OutOfMemoryError, match=words) as told, in_memory("a whale", "boat", "take a larger one"):
        raise error
    assert told.value.__cause__ is error


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2"), ModelError("damaged"), OutOfMemoryError("a tile")])
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as told, in_memory("a whale", "boat", ""):
        raise error
    assert told.value is error


def test_the_codec_of_the_embedded_prior_tells_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> torch.Tensor:
        raise FULL[0]

    prior = ScenePrior.load()
    monkeypatch.setattr("diorama.diffusion.prior_scene.encode_video", full)
    monkeypatch.setattr("diorama.diffusion.prior_scene.decode_video", full)
    for work in (prior.encode, prior.decode):
        with pytest.raises(OutOfMemoryError, match=r"memory for 3 pictures.*codec"):
            work(torch.zeros(3, 3, 8, 8))
