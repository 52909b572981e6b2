""".splat files: 32 bytes for each Gaussian, as the first viewers in browsers read them.

Three float32 of place, three of scale (metres), red, green, blue and opacity as bytes, and the rotation (w, x, y, z) as
bytes about 128. The format has no header: it is told by the file's name and its length.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from diorama.core.gaussians import Gaussians
from diorama.errors import DamagedMediaError
from diorama.media.atomic import atomic_path
from diorama.media.splat._numbers import AGAIN, checked_count, from_file, given, unit, whole

SUFFIX = ".splat"
ROW = np.dtype([("place", "<f4", 3), ("scale", "<f4", 3), ("color", "u1", 4), ("turn", "u1", 4)])


def write_dot_splat(path: Path, gaussians: Gaussians) -> None:
    """Write Gaussians: places and scales exactly, colours and opacities in steps of 1/255, turns to half a degree.

    Raises:
        UsageError: no Gaussians, too many, or `path` cannot be written.
    """
    rows = np.empty(len(given(gaussians, "write_dot_splat")), ROW)
    rows["place"], rows["scale"] = gaussians.means, gaussians.scales
    rows["color"] = _bytes(np.concatenate([gaussians.colors, gaussians.opacities[:, None]], axis=1) * 255)
    turned = np.where(gaussians.quats[:, :1] < 0, -gaussians.quats, gaussians.quats)
    rows["turn"] = _bytes(turned * 128 + 128)
    with atomic_path(path) as partial:
        partial.write_bytes(rows.tobytes())


def read_dot_splat(path: Path) -> Gaussians:
    """The Gaussians of a .splat file.

    Raises:
        MediaError: no such file, or an empty one.
        DamagedMediaError: cut off, or numbers that make no Gaussians.
        LimitError: too large.
    """
    data = whole(path)
    if len(data) % ROW.itemsize:
        raise DamagedMediaError(
            f"{len(data)} bytes are no whole number of Gaussians ({ROW.itemsize} each)", path, AGAIN
        )
    rows = np.frombuffer(data, ROW, checked_count(len(data) // ROW.itemsize, path))
    shares = rows["color"].astype(np.float32) / 255
    with from_file(path):
        turns = unit((rows["turn"].astype(np.float32) - 128) / 128)
        place, scale = rows["place"].astype(np.float32), rows["scale"].astype(np.float32)
        return Gaussians(place, turns, scale, shares[:, 3].copy(), shares[:, :3].copy())


def _bytes(values: Float32[np.ndarray, "g 4"]) -> UInt8[np.ndarray, "g 4"]:
    return np.rint(values).clip(0, 255).astype(np.uint8)
