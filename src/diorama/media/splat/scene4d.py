"""A scene that moves, as one safetensors file: canonical Gaussians, nodes over time, and where it was looked at from.

Every array is told by name, type and shape before its values are looked at; nothing in the file is executed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from safetensors import SafetensorError
from safetensors.numpy import load, save

from diorama.core.camera import Cameras
from diorama.core.gaussians import Gaussians, MovingGaussians
from diorama.errors import DamagedMediaError, LimitError, MediaError, UsageError
from diorama.media.atomic import write_bytes
from diorama.media.fields import Field, parse
from diorama.media.splat._numbers import AGAIN, MOST_BYTES, checked_count, from_file, given, whole

ENDING = ".scene4d.safetensors"
"""What the names of these files end with."""
SCHEMA = 1
MOST_HEADER = 100_000
_NOTES = "__metadata__"  # what the format calls them
_NOTE = "scene4d"

Array = Shaped[np.ndarray, "..."]

# Types and axes: g Gaussians, t keys, n nodes, k links a Gaussian, v views.
_FLOATS = ("F32",)
_LAYOUT: dict[str, tuple[tuple[str, ...], tuple[int | str, ...]]] = {
    "rest.means": (_FLOATS, ("g", 3)),
    "rest.quats": (_FLOATS, ("g", 4)),
    "rest.scales": (_FLOATS, ("g", 3)),
    "rest.opacities": (_FLOATS, ("g",)),
    "rest.colors": (_FLOATS, ("g", 3)),
    "times": (_FLOATS, ("t",)),
    "nodes": (_FLOATS, ("n", 3)),
    "shifts": (_FLOATS, ("t", "n", 3)),
    "turns": (_FLOATS, ("t", "n", 4)),
    "links": (("I32",), ("g", "k")),
    "weights": (_FLOATS, ("g", "k")),
    "presence": (_FLOATS, ("g", 2)),
    "cameras.viewmats": (("F32", "F64"), ("v", 4, 4)),
    "cameras.Ks": (("F32", "F64"), ("v", 3, 3)),
}
_OPTIONAL = ("presence", "cameras.viewmats", "cameras.Ks")
_TYPES = {"float32": "F32", "float64": "F64", "int32": "I32"}


@dataclass(frozen=True, eq=False)
class Scene4d:
    """A moving scene and how it is meant to be looked at.

    Attributes:
        moving: the scene.
        cameras: the view of the clip first, then the outermost ones between which the scene is known; None: unknown.
        fps: frames a second of the clip; None: unknown.

    Raises:
        UsageError: a rate that is not above 0, or cameras of no views.
    """

    moving: MovingGaussians
    cameras: Cameras | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.fps is not None and not (isfinite(self.fps) and self.fps > 0):
            raise UsageError(f"{self.fps} frames a second", "Scene4d.fps", "give a rate above 0")
        if self.cameras is not None and not len(self.cameras):
            raise UsageError("cameras of no views", "Scene4d.cameras", "give one, or leave them out")


def write_scene4d(path: Path, scene: Scene4d) -> None:
    """Store a scene so that `read_scene4d` gives back every bit of it; the same bytes for the same values.

    Args:
        path: to write, best with the ending `ENDING`; appears when it is complete.
        scene: at least one Gaussian.

    Raises:
        UsageError: no Gaussians, an array of another type or shape, or `path` cannot be written.
        LimitError: more than `MOST_BYTES`.
    """
    where = "write_scene4d"
    given(scene.moving.rest, where)
    arrays, sizes = _arrays(scene), dict[str, int]()
    for name, array in arrays.items():
        fault = _misfit(name, _TYPES.get(str(array.dtype), str(array.dtype)), array.shape, sizes)
        if fault:
            raise UsageError(f"{name}: {fault}", where)
    total = sum(array.nbytes for array in arrays.values()) + MOST_HEADER
    if total > MOST_BYTES:
        raise LimitError(f"about {total} bytes are over the limit of {MOST_BYTES}", where, "fit fewer Gaussians")
    cameras = scene.cameras
    size = (None, None) if cameras is None else (int(cameras.height), int(cameras.width))
    fps = None if scene.fps is None else float(scene.fps)
    note = {"diorama_scene4d": SCHEMA, "fps": fps, "height": size[0], "width": size[1]}
    write_bytes(path, save(arrays, {_NOTE: json.dumps(note, allow_nan=False)}))


def read_scene4d(path: Path) -> Scene4d:
    """Read a scene; all of it is checked.

    Raises:
        MediaError: no such file, or of a newer layout.
        LimitError: too large.
        DamagedMediaError: no scene, cut off, a name twice, arrays that are missing, unknown, or of another type or
            shape, or values that `Scene4d` and its parts refuse.
    """
    data = whole(path)
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise DamagedMediaError(f"no scene, or cut off in its header ({len(data)} bytes)", path, AGAIN)
    top = parse(data[8 : 8 + min(length, MOST_HEADER + 1)], str(path), most=MOST_HEADER, fault=DamagedMediaError)
    fps, size = _checked_header(top, path)
    try:
        arrays = load(data)  # it checks that each byte belongs to one array; names given twice were refused above
    except (SafetensorError, ValueError) as error:
        raise DamagedMediaError(f"damaged or cut off ({str(error)[:200]})", path, AGAIN) from error
    with from_file(path):
        rest = Gaussians(**_part(arrays, "rest"))
        moving = MovingGaussians(rest, **{name: array for name, array in arrays.items() if "." not in name})
        views = _part(arrays, "cameras")
        return Scene4d(moving, Cameras(**views, height=size[0], width=size[1]) if size and views else None, fps)


def _checked_header(top: Field, path: Path) -> tuple[float | None, tuple[int, int] | None]:
    """Rate, and size of the pictures where there are cameras; all arrays told by type and shape."""
    if _NOTES not in top.entries() or _NOTE not in top.entries()[_NOTES].entries():
        raise MediaError("a safetensors file that is no scene of Diorama", path, f"give a file named *{ENDING}")
    keys = top.table((_NOTES, *(name for name in _LAYOUT if name not in _OPTIONAL)), _OPTIONAL)
    text = keys.pop(_NOTES).table((_NOTE,))[_NOTE].text(MOST_HEADER)
    sizes: dict[str, int] = {}
    for name, item in keys.items():
        entry = item.table(("dtype", "shape", "data_offsets"))
        shape = tuple(side.integer(0, 2**40) for side in entry["shape"].items(8))
        fault = _misfit(name, entry["dtype"].text(20), shape, sizes)
        if fault:
            item.refuse(fault, AGAIN)
    checked_count(sizes["g"], path)
    note = parse(text.encode(), str(path), most=MOST_HEADER, fault=top.fault)
    schema = note.entries().get("diorama_scene4d")
    if schema is None:
        note.refuse("no key diorama_scene4d: not a scene")
    if schema.integer(1) > SCHEMA:
        what = f"a scene of layout {schema.value}, this version reads up to {SCHEMA}"
        raise MediaError(what, path, "update Diorama")
    told = note.table(("diorama_scene4d", "fps", "height", "width"))
    views = [name in keys for name in ("cameras.viewmats", "cameras.Ks")]
    sided = [told[name].value is not None for name in ("height", "width")]
    if len({*views, *sided}) != 1:
        note.refuse("cameras that lack viewmats, Ks, height or width", AGAIN)
    side = (told["height"].integer(1, 2**20), told["width"].integer(1, 2**20)) if all(sided) else None
    return None if told["fps"].value is None else told["fps"].number(), side


def _misfit(name: str, kind: str, shape: tuple[int, ...], sizes: dict[str, int]) -> str:
    """What is wrong with the type or shape of an array; `sizes` gathers the axes met so far."""
    kinds, axes = _LAYOUT[name]
    if kind not in kinds:
        return f"numbers of type {kind}, expected {' or '.join(kinds)}"
    if len(shape) == len(axes):
        pairs = zip(axes, shape, strict=True)
        wanted = tuple(sizes.setdefault(axis, n) if isinstance(axis, str) else axis for axis, n in pairs)
        if wanted == shape:
            return ""
    told = ", ".join(f"{axis} = {sizes[axis]}" if axis in sizes else str(axis) for axis in axes)
    return f"shape {list(shape)}, expected [{told}]"


def _arrays(scene: Scene4d) -> dict[str, Array]:
    """By their names in the file, in the order of memory that the format takes for granted."""
    moving, cameras = scene.moving, scene.cameras
    owners: Mapping[str, object] = {"rest": moving.rest, "cameras": cameras}
    found: dict[str, Array] = {}
    for name in _LAYOUT:
        owner, _, field = name.rpartition(".")
        array = getattr(owners[owner] if owner else moving, field, None)
        if array is not None:
            found[name] = np.ascontiguousarray(array)
    return found


def _part(arrays: Mapping[str, Array], part: str) -> dict[str, Array]:
    """The arrays of one part, by their names in it."""
    prefix = f"{part}."
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
