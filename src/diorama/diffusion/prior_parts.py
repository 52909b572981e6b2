"""Pipeline folders of diffusers part by part: configurations are checked, weights read by our own reader."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from diorama.diffusion.checkpoint import Tensors, listed, read_tensors
from diorama.diffusion.codec_kl import DiffusersCodec, open_folder
from diorama.diffusion.fit import fit
from diorama.diffusion.mimo_room import check_room
from diorama.diffusion.release import read_config
from diorama.errors import ModelError, OutOfMemoryError

NEGATIVE = "low-quality, blurry, flickering, ghost"
"""What S2VG steers away from (s2vg.md 1.5)."""
DEEPEST, WIDEST = 256, 4_000_000
"""Layers and other numbers beyond which a configuration is refused before anything is built from it."""
LONGEST_LIST = 256
AGAIN = "download all of it again"

_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_ENDINGS = (".safetensors", ".safetensors.index.json", ".fp16.safetensors", ".bin", ".bin.index.json", ".fp16.bin")
_SHARD = re.compile(r"[A-Za-z0-9][\w.-]{0,199}")
_ODD = (ValueError, TypeError, KeyError, IndexError, RuntimeError, AttributeError, ArithmeticError, OSError)


@dataclass(frozen=True)
class Asked:
    """What is asked of a prior when it is loaded.

    Attributes:
        prompt: what to show.
        negative_prompt: what to steer away from.
        guidance_scale: how far towards the prompt, 1 is no guidance; None: as the network was released.
        device: where to compute; half precision on CUDA, else float32.
        codec: another folder of an autoencoder for pictures (SVD's flickers less); None: the pipeline's own.
    """

    prompt: str = ""
    negative_prompt: str = NEGATIVE
    guidance_scale: float | int | None = None
    device: torch.device = torch.device("cpu")
    codec: Path | None = None

    def guidance(self, usual: float | int) -> float | int:
        """The scale, `usual` where none was asked for."""
        return usual if self.guidance_scale is None else self.guidance_scale


def class_of(folder: Path) -> str:
    """The class that a part's config.json names; empty where there is none."""
    config = read_config(folder / "config.json")
    named = config.get("_class_name") or next(iter(_texts(config.get("architectures"))), "")
    return named if isinstance(named, str) else ""


def _texts(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def config_of(folder: Path, *classes: str) -> dict[str, Any]:
    """The configuration of a part, of one of `classes`, its numbers within reason.

    Raises:
        ModelError: missing, of another class, or with numbers that no network has.
    """
    config = read_config(folder / "config.json")
    if not config:
        raise ModelError(f"no config.json of the {folder.name}", folder, AGAIN)
    found = class_of(folder)
    if found not in classes:
        raise ModelError(f"{folder.name} is of the class {found[:100]!r}", folder, f"expected {' or '.join(classes)}")
    for name, value in config.items():
        _check(name, value, folder / "config.json")
    return config


def _check(name: str, value: object, where: Path, *, depth: int = 0) -> None:
    """Numbers, also within lists."""
    if isinstance(value, list):
        if len(value) > LONGEST_LIST or depth > 2:
            raise ModelError(f"{name} has {len(value)} entries in lists of lists", where, AGAIN)
        for each in value:
            _check(name, each, where, depth=depth + 1)
    limit = DEEPEST if "layers" in name or "num_res" in name else WIDEST
    if isinstance(value, int | float) and not abs(value) <= limit:  # NaN fails, too
        raise ModelError(f"{name} = {str(value)[:50]}, at most {limit} is sensible", where, AGAIN)


def weights_of(folder: Path) -> list[Path]:
    """The files of a part's weights: safetensors before pickles, full precision before half.

    Raises:
        ModelError: none, or an index that names files which are not there.
    """
    for ending in _ENDINGS:
        for stem in _STEMS:
            file = folder / (stem + ending)
            if file.is_file():
                return _shards(file) if ending.endswith(".json") else [file]
    raise ModelError(f"no weights of the {folder.name}", folder, AGAIN)


def _shards(index: Path) -> list[Path]:
    table = read_config(index).get("weight_map")
    names = sorted(set(table.values())) if isinstance(table, dict) and set(map(type, table.values())) == {str} else []
    odd = [name for name in names if not _SHARD.fullmatch(name)]
    if not names or odd:
        raise ModelError(f"the index names no files of this folder{': ' + listed(odd) if odd else ''}", index, AGAIN)
    absent = [name for name in names if not (index.parent / name).is_file()]
    if absent:
        raise ModelError(f"the folder lacks {listed(absent)}", index.parent, AGAIN)
    return [index.parent / name for name in names]


def tensors_of(folder: Path, device: torch.device, dtype: torch.dtype) -> Tensors:
    """All tensors of a part, on the CPU, as stored.

    Args:
        folder: of the part.
        device: where they are to go: whether they fit is asked before any is read.
        dtype: that they will have there.

    Raises:
        ModelError: as `weights_of` and `read_tensors`, or a tensor that is in two files.
        OutOfMemoryError: they do not fit.
    """
    files = weights_of(folder)
    try:
        check_room(files, device, dtype)
    except OutOfMemoryError as error:
        raise OutOfMemoryError(error.what, error.where, "close programs, or take a machine with more") from error
    tensors: Tensors = {}
    for file in files:
        part = read_tensors(file)
        if twice := sorted(set(part) & set(tensors)):
            raise ModelError(f"tensors that are in two files: {listed(twice)}", file, AGAIN)
        tensors |= part
    return tensors


def built(
    make: Callable[[], Any], where: Path, dtype: torch.dtype, keep: Callable[[str], bool] | None = None
) -> torch.nn.Module:
    """A network without memory yet, from a configuration that may be wrong.

    Args:
        make: builds it.
        where: for the message.
        dtype: of its weights.
        keep: which of them stay in float32, by name.

    Raises:
        ModelError: the configuration describes no network.
    """
    try:
        with torch.device("meta"):
            network = cast(torch.nn.Module, make())
    except _ODD as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"the configuration does not work ({reason})", where, AGAIN) from error
    torch.nn.Module.to(network, dtype)  # diffusers' own `to` warns of layers there are none of
    if keep is not None:
        for name, parameter in network.named_parameters():
            if keep(name):
                parameter.data = parameter.data.float()
    return network


def network_of(
    kind: Any, folder: Path, asked: Asked, dtype: torch.dtype, *, keep: Callable[[str], bool] | None = None
) -> Any:
    """A network of a class of diffusers from its folder, for evaluation, still on the CPU.

    Raises:
        ModelError: as `config_of`, `built`, `tensors_of` and `fit`.
        OutOfMemoryError: it does not fit.
    """
    config = config_of(folder, kind.__name__)
    network = built(lambda: kind.from_config(config), folder, dtype, keep)
    fit(network, tensors_of(folder, asked.device, dtype), source=str(folder))
    return network.eval().requires_grad_(False)


def picture_codec(folder: Path, asked: Asked, channels: int) -> DiffusersCodec:
    """The autoencoder of pictures of a pipeline, or the one that was asked for instead.

    In float32 also on CUDA: those of SVD overflow in half precision.

    Raises:
        ModelError: as `codec_kl.open_folder`, or one for other latents.
    """
    place = folder / "vae" if asked.codec is None else asked.codec
    codec = open_folder(place)
    if codec.channels != channels:
        what = f"a codec of {codec.channels} channels for a network of {channels}"
        raise ModelError(what, place, "name the codec that the network was trained with")
    return codec.to(asked.device)


def half(device: torch.device, best: torch.dtype = torch.float16) -> torch.dtype:
    """The precision to compute in: `best` on CUDA, else float32."""
    return best if device.type == "cuda" else torch.float32


def scheduler_config(folder: Path) -> Mapping[str, Any]:
    """The settings of a pipeline's scheduler.

    Raises:
        ModelError: none, or damaged.
    """
    found = read_config(folder / "scheduler" / "scheduler_config.json")
    if not found:
        raise ModelError("no scheduler/scheduler_config.json", folder, AGAIN)
    return found
