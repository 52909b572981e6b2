"""Tensors into a network: every one must find its place, and every place its tensor."""

from collections.abc import Mapping, Set

import torch
from jaxtyping import Shaped

from diorama.diffusion.checkpoint import listed
from diorama.diffusion.families import detect, shapes_of
from diorama.errors import ModelError


def fit(
    module: torch.nn.Module,
    tensors: Mapping[str, Shaped[torch.Tensor, "..."]],
    *,
    source: str,
    allow_missing: Set[str] = frozenset(),
    allow_unexpected: Set[str] = frozenset(),
) -> None:
    """Load `tensors` into `module`, in place; values take the dtype of the module.

    A module on the meta device takes the tensors themselves (no copy where the dtype is already right) and stays meta
    only in what `allow_missing` names and in buffers that are not saved.

    Args:
        module: a network of the tensors' architecture.
        tensors: by the module's names.
        source: file or folder they come from, for the message.
        allow_missing: names that may be absent; the module keeps its own values there.
        allow_unexpected: names that are left out where the module has no place for them.

    Raises:
        ModelError: names missing or unexpected, shapes or kinds of another sort; the first few of each are listed, and
            what the tensors look like.
    """
    places = module.state_dict()
    taken = {name: tensor for name, tensor in tensors.items() if name in places}
    faults = _faults(places, tensors, allow_missing, allow_unexpected)
    if faults:
        found = f"the file holds: {detect(shapes_of(tensors)).title}"
        what = f"the weights do not fit {type(module).__name__}: {'; '.join(faults)}; {found}"
        raise ModelError(what, source, f"name weights made for {type(module).__name__}")
    if any(place.is_meta for place in places.values()):
        cast = {name: tensor.to(places[name].dtype) for name, tensor in taken.items()}
        module.load_state_dict(cast, strict=False, assign=True)
    else:
        module.load_state_dict(taken, strict=False)


def _faults(
    places: Mapping[str, Shaped[torch.Tensor, "..."]],
    tensors: Mapping[str, Shaped[torch.Tensor, "..."]],
    allow_missing: Set[str],
    allow_unexpected: Set[str],
) -> list[str]:
    """What does not fit, a text for each kind of fault."""
    both = [name for name in places if name in tensors]
    shapes = [
        f"{name} ({_size(tensors[name])}, expected {_size(places[name])})"
        for name in both
        if tensors[name].shape != places[name].shape
    ]
    kinds = [
        f"{name} ({tensors[name].dtype}, expected {places[name].dtype})"
        for name in both
        if tensors[name].is_floating_point() != places[name].is_floating_point()
    ]
    faults = {
        "missing": [name for name in places if name not in tensors and name not in allow_missing],
        "unexpected": [name for name in tensors if name not in places and name not in allow_unexpected],
        "of another shape": shapes,
        "of another kind": kinds,
    }
    return [f"{len(names)} {fault}: {listed(names)}" for fault, names in faults.items() if names]


def _size(tensor: Shaped[torch.Tensor, "..."]) -> str:
    return "x".join(str(side) for side in tensor.shape) or "scalar"
