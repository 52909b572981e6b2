"""Tensors into networks: all of them, at their places, or an error that names the rest."""

import pytest
import torch
from torch import nn

from diorama.diffusion.fit import fit
from diorama.errors import ModelError


def network(device: str = "cpu") -> nn.Module:
    with torch.device(device):
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), *(nn.Linear(2, 2) for _ in range(6)))


def state(dtype: torch.dtype = torch.float16) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    made = {name: torch.rand_like(place.float()) for name, place in network().state_dict().items()}
    made["1.num_batches_tracked"] = torch.tensor(5)
    return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in made.items()}


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_every_value_finds_its_place_in_the_dtype_of_the_network(device: str, dtype: torch.dtype) -> None:
    net, tensors = network(device).to(dtype), state()
    fit(net, tensors, source="a.pth")
    for name, place in net.state_dict().items():
        assert place.device.type == "cpu"
        assert place.dtype == (dtype if place.is_floating_point() else torch.int64)
        assert torch.equal(place, tensors[name].to(place.dtype))
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_a_network_on_the_meta_device_takes_the_tensors_themselves() -> None:
    net, tensors = network("meta"), state(torch.float32)
    fit(net, tensors, source="a.pth")
    assert net.state_dict()["0.weight"].data_ptr() == tensors["0.weight"].data_ptr()


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_everything_that_does_not_fit_is_named_and_nothing_is_changed(device: str) -> None:
    net, tensors = network(device), state()
    before = {name: place.clone() for name, place in net.state_dict().items()}
    for number in range(2, 8):
        del tensors[f"{number}.bias"]
    tensors |= {"0.weight": torch.zeros(4, 2), "0.extra": torch.zeros(1), "1.weight": torch.ones(4, dtype=torch.int64)}
    with pytest.raises(ModelError) as caught:
        fit(net, tensors, source="some/a.pth")
    said = str(caught.value)
    for part in (
        "6 missing: 2.bias, 3.bias, 4.bias, 5.bias, 6.bias and 1 more",
        "1 unexpected: 0.extra",
        "1 of another shape: 0.weight (4x2, expected 4x3)",
        "1 of another kind: 1.weight (torch.int64, expected torch.float32)",
        "the file holds: a kind of weights that is not known here",
        "some/a.pth",
    ):
        assert part in said
    for name, place in net.state_dict().items():
        assert place.is_meta == before[name].is_meta
        assert place.is_meta or torch.equal(place, before[name])


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_is_allowed_stays_as_it_is(device: str) -> None:
    net, tensors = network(device), {**state(), "other": torch.zeros(1)}
    own = net.state_dict()["0.bias"].clone()
    del tensors["0.bias"]
    fit(net, tensors, source="a", allow_missing=frozenset({"0.bias"}), allow_unexpected=frozenset({"other"}))
    left = net.state_dict()["0.bias"]
    assert left.is_meta if device == "meta" else torch.equal(left, own)
    assert not net.state_dict()["0.weight"].is_meta
