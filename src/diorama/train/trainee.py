"""What learns: networks, optimizer, averaged weights, and their state as plain named tensors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from jaxtyping import Shaped
from torch import nn

from diorama.errors import ModelError
from diorama.train.config import TrainConfig
from diorama.train.ema import Ema
from diorama.train.muon import Muon

Tensors = dict[str, Shaped[torch.Tensor, "..."]]
MOMENTS = ("exp_avg", "exp_avg_sq", "step")
SHOWN = 5


class Trainee:
    """Networks of a recipe with what trains them.

    Args:
        networks: by name, on their device.
        config: options of the run.
    """

    def __init__(self, networks: Mapping[str, nn.Module], config: TrainConfig) -> None:
        self.networks = dict(networks)
        self.parameters = {
            f"{name}/{key}": parameter
            for name, network in self.networks.items()
            for key, parameter in network.named_parameters()
            if parameter.requires_grad
        }
        if not self.parameters:
            raise ModelError("the recipe trains nothing", fix="a parameter with requires_grad is needed")
        self.learning = {key.partition("/")[0] for key in self.parameters}
        self.optimizer = _optimizer(self.parameters, config)
        self.ema = Ema(self.parameters, config.ema) if config.ema else None

    @property
    def buffers(self) -> Tensors:
        """Those of the learning networks that belong to their state."""
        found: Tensors = {}
        for name in sorted(self.learning):
            state = self.networks[name].state_dict(keep_vars=True)
            named = {f"{name}/{key}": value for key, value in state.items()}
            found |= {key: value for key, value in named.items() if _is_buffer(value)}
        return found

    def training(self) -> None:
        """Networks that learn in training mode, the others in evaluation mode."""
        for name, network in self.networks.items():
            network.train(name in self.learning)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """All networks in evaluation mode, with averaged weights, without gradients."""
        with self.ema.swapped() if self.ema else nullcontext():
            for network in self.networks.values():
                network.eval()
            try:
                with torch.no_grad():
                    yield
            finally:
                self.training()

    def state(self) -> dict[str, Tensors]:
        """What a checkpoint holds, by file: weights, optimizer, ema."""
        weights = {key: value.detach() for key, value in {**self.parameters, **self.buffers}.items()}
        moments: Tensors = {}
        for key, parameter in self.parameters.items():
            for moment, value in self.optimizer.state.get(parameter, {}).items():
                moments[f"{moment}/{key}"] = value
        files = {"weights": weights, "optimizer": moments}
        return files if self.ema is None else {**files, "ema": dict(self.ema.average)}

    @torch.no_grad()
    def load(self, files: Mapping[str, Tensors], updates: int) -> None:
        """Go on from a checkpoint.

        Raises:
            ModelError: tensors are missing, unknown or of another shape: it is of another recipe.
        """
        own = {**self.parameters, **self.buffers}
        _fits(files["weights"], {key: tuple(value.shape) for key, value in own.items()}, "weights")
        for key, value in own.items():
            value.copy_(files["weights"][key])
        self._load_moments(files["optimizer"])
        if self.ema is not None:
            stored = files.get("ema") or {key: files["weights"][key] for key in self.parameters}
            _fits(stored, {key: tuple(value.shape) for key, value in self.ema.average.items()}, "ema")
            self.ema.load(stored, updates)

    def _load_moments(self, moments: Tensors) -> None:
        known = {f"{moment}/{key}" for key in self.parameters for moment in MOMENTS}
        trained = {key.partition("/")[2] for key in moments}
        shapes = {
            f"{moment}/{key}": () if moment == "step" else tuple(self.parameters[key].shape)
            for key in trained & set(self.parameters)
            for moment in self._moments(self.parameters[key])
        }
        _fits(moments, shapes if set(moments) <= known else dict.fromkeys(known, ()), "optimizer")
        for key in trained:
            parameter = self.parameters[key]
            # torch keeps the count of steps where the fused kernel wants it.
            fused = bool(self.optimizer.defaults.get("fused"))
            self.optimizer.state[parameter] = {
                moment: moments[f"{moment}/{key}"]
                .clone()
                .to(parameter.device if moment != "step" or fused else torch.device("cpu"))
                for moment in self._moments(parameter)
            }

    def _moments(self, parameter: nn.Parameter) -> tuple[str, ...]:
        """What the optimizer keeps of a parameter."""
        momentum_only = isinstance(self.optimizer, Muon) and parameter.ndim >= 2
        return MOMENTS[:1] if momentum_only else MOMENTS


def _is_buffer(value: object) -> bool:
    return isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter)


def _optimizer(parameters: Mapping[str, nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """Weights decay where they multiply: matrices and convolutions."""
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters.values() if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters.values() if p.ndim < 2], "weight_decay": 0.0},
    ]
    present = [group for group in groups if group["params"]]
    if config.optimizer == "muon":
        return Muon([{**group, "matrix": group["params"][0].ndim >= 2} for group in present], config.lr)
    cuda = all(p.device.type == "cuda" for p in parameters.values())
    return torch.optim.AdamW(present, lr=config.lr, betas=(0.9, 0.999), eps=1e-8, fused=cuda or None)


def _fits(found: Tensors, shapes: Mapping[str, tuple[int, ...]], what: str) -> None:
    missing, unknown = sorted(set(shapes) - set(found)), sorted(set(found) - set(shapes))
    other = sorted(key for key in set(found) & set(shapes) if tuple(found[key].shape) != shapes[key])
    for problem, keys in (("missing", missing), ("unknown", unknown), ("of another shape", other)):
        if keys:
            shown = ", ".join(keys[:SHOWN])
            raise ModelError(
                f"{len(keys)} tensors of the checkpoint's {what} are {problem}: {shown}",
                fix="it is of another recipe or version; choose another --out",
            )
