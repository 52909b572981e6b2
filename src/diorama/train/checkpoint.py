"""Checkpoints: folders that appear whole, the last few kept, read back only when every byte is as it was written.

``step-00001200/`` holds weights, optimizer and ema as safetensors, and ``state.json`` with sizes and hashes of them.
"""

import json
import logging
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from diorama.errors import ModelError
from diorama.media.atomic import atomic_folder, content_hash, sweep
from diorama.train.trainee import Tensors

logger = logging.getLogger(__name__)
NAME = re.compile(r"step-(\d{8,18})")
FORMAT = 1
STATE_BYTES = 10_000_000
FILES = ("weights", "optimizer", "ema")
_COUNTS = ("step", "samples", "skipped", "updates")


@dataclass(frozen=True)
class Position:
    """Where a run is.

    Attributes:
        step: optimizer steps tried so far.
        samples: seen so far; the number of the next one.
        seconds: spent so far.
        skipped: steps that were left out because their gradient was not finite.
        updates: of the averaged weights.
        history: (step, loss) so far, thinned out.
    """

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    skipped: int = 0
    updates: int = 0
    history: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What was stored.

    Attributes:
        path: its folder.
        recipe: name.
        config: options of the run.
        position: where the run was.
    """

    path: Path
    recipe: str
    config: dict[str, Any]
    position: Position
    hashes: dict[str, str] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensors]:
        """Its tensors by file, on the CPU.

        Raises:
            ModelError: a file that is missing or not what was written.
        """
        found: dict[str, Tensors] = {}
        for name, expected in self.hashes.items():
            path = self.path / f"{name}.safetensors"
            try:
                if content_hash(path) != expected:
                    raise ModelError("not the bytes that were written", path, "delete the checkpoint")
                found[name] = load_file(path)
            except (OSError, SafetensorError, ValueError) as error:
                raise ModelError(f"cannot be read ({error})", path, "delete the checkpoint") from error
        return found


def save_checkpoint(
    folder: Path, recipe: str, config: Mapping[str, Any], *, position: Position, tensors: Mapping[str, Tensors]
) -> Path:
    """Write a checkpoint; it has its name only once it is on the disk.

    Raises:
        LimitError: the disk is full; earlier checkpoints are as they were.
    """
    target = folder / f"step-{position.step:08d}"
    with atomic_folder(target, overwrite=True) as partial:
        hashes = {}
        for name, values in tensors.items():
            path = partial / f"{name}.safetensors"
            save_file({key: _alone(value) for key, value in values.items()}, path)
            hashes[name] = content_hash(path)
        state = {"format": FORMAT, "recipe": recipe, "config": dict(config), "hashes": hashes, **asdict(position)}
        (partial / "state.json").write_text(json.dumps(state, indent=1) + "\n")
    return target


def prune(folder: Path, keep: int) -> None:
    """Remove all but the last `keep` checkpoints, and what killed runs left of others."""
    if not folder.is_dir():
        return
    for path in sorted(_folders(folder))[: -keep or None]:
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(".step-*.partial-*"):
        sweep(folder / path.name.removeprefix(".").partition(".")[0])


def newest(folder: Path, note: Callable[[str], None]) -> tuple[Checkpoint, dict[str, Tensors]] | None:
    """The last whole checkpoint in a folder with its tensors; torn ones are told of and left out."""
    for path in sorted(_folders(folder), reverse=True):
        try:
            checkpoint = read_checkpoint(path)
            return checkpoint, checkpoint.tensors()
        except ModelError as error:
            note(f"checkpoint left out: {error}")
    return None


def last_state(folder: Path) -> Checkpoint | None:
    """The last checkpoint whose state can be read, without its tensors."""
    for path in sorted(_folders(folder), reverse=True):
        try:
            return read_checkpoint(path)
        except ModelError:
            continue
    return None


def read_checkpoint(path: Path) -> Checkpoint:
    """What a checkpoint says of itself.

    Raises:
        ModelError: no state, or not one of ours.
    """
    try:
        with (path / "state.json").open("rb") as file:
            data = file.read(STATE_BYTES + 1)
        state = json.loads(data) if len(data) <= STATE_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"no readable state.json ({error})", path, "delete the checkpoint") from error
    try:
        return _parsed(path, state)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"state.json is not one of ours ({error!r})", path, "delete the checkpoint") from error


def _parsed(path: Path, state: Any) -> Checkpoint:
    if state["format"] != FORMAT:
        raise ValueError(f"format {state['format']!r}, expected {FORMAT}")
    counts = {name: state[name] for name in _COUNTS}
    if not all(type(value) is int and 0 <= value < 2**62 for value in counts.values()):
        raise ValueError("counts out of range")
    seconds = float(state["seconds"])
    if not 0 <= seconds < 1e9:
        raise ValueError("seconds out of range")
    hashes, recipe, config = state["hashes"], state["recipe"], state["config"]
    if not {"weights", "optimizer"} <= set(hashes) <= set(FILES):
        raise ValueError("unknown files")
    if not isinstance(recipe, str) or not isinstance(config, dict):
        raise TypeError("recipe, config")
    history = tuple((int(step), float(loss)) for step, loss in state["history"])
    return Checkpoint(path, recipe, config, Position(seconds=seconds, history=history, **counts), dict(hashes))


def _folders(folder: Path) -> list[Path]:
    """Checkpoints in a folder; names sort by step."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if NAME.fullmatch(path.name) and path.is_dir()]


def _alone(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that shares no memory with others, which safetensors refuses."""
    return tensor.detach().to("cpu", copy=True).contiguous()
