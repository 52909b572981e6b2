"""Whether networks fit into memory, before any of them is read."""

from collections.abc import Sequence
from math import prod
from pathlib import Path

import torch

from diorama.diffusion.checkpoint import peek_shapes
from diorama.errors import OutOfMemoryError

BESIDE = 1.25
"""Memory against that of the weights alone: what is computed, and files while they are read. A guess; when frames do
not fit, windows shrink (`windows`)."""
SMALL = 100_000_000
"""Parameters below which nothing is asked."""
MEMORY = Path("/proc/meminfo")


def check_room(files: Sequence[Path], device: torch.device, dtype: torch.dtype) -> None:
    """Refuse files of weights that do not fit.

    Raises:
        OutOfMemoryError: they do not.
        ModelError: damaged files.
    """
    parameters = sum(prod(shape) for file in files for shape in peek_shapes(file).values())
    free, needed = _free(device), BESIDE * parameters * dtype.itemsize
    if parameters > SMALL and free is not None and needed > free:
        what = f"networks of {parameters / 1e9:.2f} billion parameters need {needed / 1e9:.1f} GB"
        fix = "close programs, take a machine with more, or use --engine preview"
        raise OutOfMemoryError(f"{what}, {free / 1e9:.1f} GB are free on {device}", files[0].parent, fix)


def _free(device: torch.device) -> int | None:
    """Bytes; None where it is not known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = dict(line.split(":", 1) for line in MEMORY.read_text().splitlines() if ":" in line)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        return None
