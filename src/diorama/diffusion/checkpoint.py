"""Tensors out of released files, safely: safetensors, or PyTorch files read with ``weights_only=True``.

Nothing in a file is ever executed. What the libraries let pass is checked here: names that occur twice, NaN and
infinities, integers and fp8 where floats belong, and files that are not what they are called (platform.md 4.1, 55-57).
"""

import logging
import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from jaxtyping import Shaped
from safetensors import SafetensorError
from safetensors.torch import load_file

from diorama.diffusion._weight_files import AGAIN, check_archive, kind_of, read_header
from diorama.diffusion.families import detect, shapes_of
from diorama.errors import ModelError

Tensors: TypeAlias = dict[str, Shaped[torch.Tensor, "..."]]

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""What weights may be stored in."""

SHOWN = 5
"""Names of an error that are listed; the others are counted."""

_log = logging.getLogger(__name__)
_WHOLE_NUMBERS = re.compile(r"(?:position_ids|num_batches_tracked|num_updates|\.alpha)$")
_DAMAGED = (
    *(RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, EOFError, OSError),
    *(AssertionError, struct.error),
)


def read_tensors(path: Path) -> Tensors:
    """The tensors of a file of weights, on the CPU, in the dtype they are stored in.

    A ``state_dict`` inside is unwrapped and a leading ``module.`` stripped (habits of the published checkpoints); what
    stands beside a ``state_dict`` is left out. Values of large files are mapped, not copied; they may be written to,
    the file stays as it is.

    Args:
        path: ``.safetensors``, or ``.pth``, ``.pt``, ``.ckpt``, ``.bin``.

    Raises:
        ModelError: no file of this kind, truncated or damaged, a name twice, anything but tensors (a pickle that asks
            for more is refused and not executed), NaN or infinity, or a dtype that is not expected.
    """
    raw = _safetensors(path) if kind_of(path) == "safetensors" else _unwrapped(_pickled(path), path)
    tensors = _without_module(raw, path)
    _check_values(tensors, path)
    return tensors


def peek_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a file of weights, its values not read; names as `read_tensors` gives them.

    Raises:
        ModelError: as `read_tensors`, except about values.
    """
    if kind_of(path) == "safetensors":
        stored = {name: entry.shape for name, entry in read_header(path).items()}
        return {name.removeprefix("module."): shape for name, shape in stored.items()}
    return shapes_of(_without_module(_unwrapped(_pickled(path), path), path))


def listed(names: list[str]) -> str:
    """The first few names of a list, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(name[:160] for name in names[:SHOWN]) + more


def _safetensors(path: Path) -> Tensors:
    header = read_header(path)
    try:
        tensors: Tensors = load_file(path)
    except (SafetensorError, *_DAMAGED) as error:
        raise ModelError(f"the safetensors file is damaged ({_reason(error)})", path, AGAIN) from error
    if shapes_of(tensors) != {name: entry.shape for name, entry in header.items()}:
        raise ModelError("the safetensors file changed while it was read", path, "read it again")
    return tensors


def _pickled(path: Path) -> Any:
    archive = kind_of(path) == "zip"
    if archive:
        check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what is refused anyway
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except pickle.UnpicklingError as error:
        named = re.search(r"(?:GLOBAL|Unsupported (?:global|class|operand|persistent id)\S*) ([\w.<>]+)", str(error))
        asked = f" (it asks for {named[1]})" if named else f" ({_reason(error)})"
        what = f"pickle refused: the file holds more than tensors, or is damaged{asked}; nothing of it was executed"
        raise ModelError(what, path, "get the weights as safetensors") from error
    except (*_DAMAGED, MemoryError) as error:
        raise ModelError(f"the PyTorch file is damaged or cut off ({_reason(error)})", path, AGAIN) from error


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _unwrapped(loaded: Any, path: Path) -> Tensors:
    """The dict of tensors in what a PyTorch file holds."""
    wrapped = isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict)
    found = loaded["state_dict"] if wrapped else loaded
    if not isinstance(found, dict):
        raise ModelError(f"the file holds a {type(found).__name__}, expected tensors by name", path)
    strange = [str(name) for name in found if not isinstance(name, str)]
    if strange:
        raise ModelError(f"tensors under names that are no texts: {listed(strange)}", path)
    tensors = {name: value.detach() for name, value in found.items() if isinstance(value, torch.Tensor)}
    others = [name for name in found if name not in tensors]
    if others and not (wrapped or set(others) <= _NOTES):
        kinds = sorted({type(found[name]).__name__ for name in others})
        raise ModelError(f"values that are no tensors ({', '.join(kinds)}): {listed(others)}", path)
    if others:
        _log.info("%s: left out %s", path.name, listed(others))
    _check_storage(tensors, path)
    return tensors


# Beside the tensors in published files: AnimateDiff's settings, counters of trainers.
_NOTES = {"animatediff_config", "epoch", "global_step", "step"}


def _check_storage(tensors: Tensors, path: Path) -> None:
    """Plain tensors with memory of their own, no larger than the file; tied weights may count twice."""
    odd = [
        name
        for name, tensor in tensors.items()
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested or tensor.device.type != "cpu"
    ]
    if odd:
        raise ModelError(f"tensors that are sparse, quantised or without values: {listed(odd)}", path)
    unfolded = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    size = path.stat().st_size
    if unfolded > 2 * size:
        raise ModelError(f"a file of {size} bytes whose tensors unfold to {unfolded}", path)


def _without_module(tensors: Tensors, path: Path) -> Tensors:
    plain = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    if len(plain) != len(tensors):
        twice = [name for name in tensors if name.startswith("module.") and name.removeprefix("module.") in tensors]
        raise ModelError(f"names that occur with and without 'module.': {listed(twice)}", path)
    if not plain:
        raise ModelError("no tensors in the file", path)
    return plain


def _check_values(tensors: Tensors, path: Path) -> None:
    others = [name for name, tensor in tensors.items() if tensor.dtype not in FLOATS and not _whole(name, tensor)]
    if others:
        kinds = ", ".join(sorted({str(tensors[name].dtype).removeprefix("torch.") for name in others}))
        what = f"{len(others)} of {len(tensors)} tensors are {kinds}, expected float16, bfloat16 or float32"
        raise ModelError(f"{what}: {listed(others)} ({_family(tensors)})", path, "get the file in one of these")
    broken = [name for name, tensor in tensors.items() if not _finite(tensor)]
    if broken:
        what = f"{len(broken)} of {len(tensors)} tensors hold NaN or infinity: {listed(broken)}"
        raise ModelError(f"{what} ({_family(tensors)})", path, AGAIN)


def _whole(name: str, tensor: Shaped[torch.Tensor, "..."]) -> bool:
    """Whether a tensor may hold whole numbers: counters and positions, which are no weights."""
    return _WHOLE_NUMBERS.search(name) is not None and tensor.dtype in (torch.int64, torch.int32)


def _finite(tensor: Shaped[torch.Tensor, "..."]) -> bool:
    if not tensor.numel() or not tensor.is_floating_point():
        return True
    least, most = torch.aminmax(tensor)  # NaN wins in both; takes no memory, unlike isfinite
    return bool(torch.isfinite(least)) and bool(torch.isfinite(most))


def _family(tensors: Mapping[str, Shaped[torch.Tensor, "..."]]) -> str:
    return f"the names are those of: {detect(shapes_of(tensors)).title}"
