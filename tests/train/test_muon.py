"""Muon: steps of even size in all directions, AdamW for what is no matrix, exact resume."""

import pytest
import torch
from torch import nn

from diorama.errors import ModelError
from diorama.train.config import TrainConfig
from diorama.train.muon import SCALE, Muon, orthogonal
from diorama.train.trainee import Trainee


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 6, 20), (2, 20, 6)])
def test_singular_values_become_about_one(shape: tuple[int, int, int]) -> None:
    found = torch.linalg.svdvals(orthogonal(torch.randn(shape, generator=torch.Generator().manual_seed(0))))
    assert float(found.max()) < 1.3
    assert float(found.median()) > 0.6
    assert not orthogonal(torch.zeros(1, 4, 4)).any()


def test_a_step_has_the_size_of_adamws_whatever_the_gradient() -> None:
    sizes = []
    for scale in (1e-4, 1.0, 1e4):
        layer = nn.Conv2d(8, 16, 3, bias=False)
        before = layer.weight.detach().clone()
        layer.weight.grad = torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(0)) * scale
        Muon([{"params": [layer.weight], "matrix": True}], 0.1).step()
        sizes.append(float((layer.weight.detach() - before).square().mean().sqrt()))
    assert sizes == pytest.approx([0.1 * SCALE] * 3, rel=0.3)


def test_vectors_are_updated_as_by_adamw() -> None:
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2))
    muon = Muon([{"params": [ours], "matrix": False}], 0.01, weight_decay=0.1)
    adamw = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1)
    for seed in range(5):
        gradient = torch.randn(7, generator=torch.Generator().manual_seed(seed))
        for parameter, optimizer in ((ours, muon), (theirs, adamw)):
            parameter.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def trainee(seed: int = 0) -> Trainee:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Conv2d(8, 1, 1))
    return Trainee({"net": network}, TrainConfig(steps=4, lr=0.02, optimizer="muon"))


def run(learner: Trainee, steps: range) -> float:
    """The loss of the last of some steps."""
    loss = torch.zeros(())
    for number in steps:
        x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(number))
        learner.optimizer.zero_grad()
        loss = (learner.networks["net"](x) - x.mean(dim=1, keepdim=True)[..., 1:-1, 1:-1]).square().mean()
        loss.backward()
        learner.optimizer.step()
    return float(loss.detach())


def test_it_learns_and_goes_on_where_it_stopped() -> None:
    whole, first, second = trainee(), trainee(), trainee(1)
    begun = run(whole, range(1))
    assert run(whole, range(1, 40)) < begun / 4
    run(first, range(20))
    files = {name: {key: value.clone() for key, value in part.items()} for name, part in first.state().items()}
    second.load(files, 20)
    assert run(second, range(20, 40)) == run(first, range(20, 40))


def test_the_state_of_another_optimizer_is_refused() -> None:
    learner = trainee()
    run(learner, range(1))
    files = learner.state()
    torch.manual_seed(0)
    other = Trainee(learner.networks, TrainConfig(steps=4, optimizer="adamw"))
    with pytest.raises(ModelError, match="optimizer"):
        other.load(files, 1)
