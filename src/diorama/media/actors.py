"""Actors as files: all arrays of one in a safetensors file, its words as JSON in the header's notes.

Texture, texture coordinates and colours of the mesh are not kept: the body is naked. Nothing in a file is executed,
and every array is told by name, type and shape before its values are looked at.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from safetensors import SafetensorError
from safetensors.numpy import load, save

from diorama.core.actor import MOST_LETTERS, Actor
from diorama.core.camera import Cameras
from diorama.core.figure import Figure, Motion, Skeleton
from diorama.core.mesh import Mesh
from diorama.core.person import Track
from diorama.errors import DamagedMediaError, LimitError, MediaError, UsageError
from diorama.media.atomic import write_bytes
from diorama.media.fields import Field, parse
from diorama.media.safe import regular_file

SCHEMA = 1
MOST_BYTES = 512_000_000
"""Of a file; some two hours of a body of sixty joints, 2 kB a frame."""
MOST_HEADER = 1_000_000
MOST_NOTE = 400_000
MOST_JOINTS = 4096
_AGAIN = "store the scene again"
_NOTES = "__metadata__"  # what the format calls them

Array = Shaped[np.ndarray, "..."]
Shape = tuple[int, ...]

_TYPES = {"float32": "F32", "float64": "F64", "int32": "I32", "int64": "I64", "bool": "BOOL"}
_OPTIONAL = ("track.world",)
_CAMERA = ("F32", "F64")

# Types and axes: s frames seen, t frames of the motion, v vertices, f faces, j joints, n joints a vertex, k shapes.
_LAYOUT: dict[str, tuple[tuple[str, ...], tuple[int | str, ...]]] = {
    "track.frames": (("I64",), ("s",)),
    "track.boxes": (("F32",), ("s", 4)),
    "track.scores": (("F32",), ("s",)),
    "track.landmarks": (("F32",), ("s", 33, 3)),
    "track.world": (("F32",), ("s", 33, 3)),
    "figure.vertices": (("F32",), ("v", 3)),
    "figure.faces": (("I32",), ("f", 3)),
    "figure.parents": (("I32",), ("j",)),
    "figure.rest": (("F32",), ("j", 4, 4)),
    "figure.skin_joints": (("I32",), ("v", "n")),
    "figure.skin_weights": (("F32",), ("v", "n")),
    "figure.joint_parts": (("I32",), ("j",)),
    "motion.rotations": (("F32",), ("t", "j", 4)),
    "motion.root": (("F32",), ("t", 3)),
    "cameras.viewmats": (_CAMERA, ("t", 4, 4)),
    "cameras.Ks": (_CAMERA, ("t", 3, 3)),
    "frames": (("I64",), ("t",)),
    "error": (("F32",), ("t",)),
    "guessed": (("BOOL",), ("t",)),
    "standing": (("BOOL",), ("t", 2)),
    "shape": (("F32",), ("k",)),
}


@dataclass(frozen=True)
class _Note:
    """What is no array: words, and single numbers (`track` is the track's)."""

    name: str
    number: int
    layer: str
    occluder: str | None
    track: int
    joints: tuple[str, ...]
    parts: tuple[str, ...]
    fps: float
    height: int
    width: int


def write_actor(path: Path, actor: Actor) -> None:
    """Store an actor so that `read_actor` gives back every bit of it but the mesh's texture, uvs and colours.

    The same actor gives the same bytes; the file appears when it is complete, in place of one that is there.

    Raises:
        UsageError: `path` cannot be written, an array of another type than `Actor` says, or names of joints that
            no file can hold.
        LimitError: more than `MOST_BYTES`.
    """
    where = f"Actor {actor.name!r}"
    arrays = _arrays_of(actor)
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        fault = _misfit(name, _TYPES.get(str(array.dtype), str(array.dtype)), array.shape, sizes)
        if fault:
            raise UsageError(f"{name}: {fault}", where)
    note = json.dumps({"diorama_actor": SCHEMA, **_note_of(actor).__dict__}, allow_nan=False)
    _read_note(parse(note.encode(), where, most=MOST_NOTE))  # what is written can be read
    total = sum(array.nbytes for array in arrays.values()) + MOST_HEADER
    if total > MOST_BYTES:
        raise LimitError(f"about {total} bytes are over the limit of {MOST_BYTES}", where, "cut the clip")
    write_bytes(path, save(arrays, {"actor": note}))


def read_actor(path: Path) -> Actor:
    """Read an actor; all of it is checked.

    Raises:
        MediaError: no such file, or of a newer layout.
        LimitError: more than `MOST_BYTES`.
        DamagedMediaError: no actor, cut off, arrays that are missing, unknown, or of another type or shape, or values
            that `Actor` and its parts refuse.
    """
    data = _capped(regular_file(path))
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise DamagedMediaError(f"no actor, or cut off in its header ({len(data)} bytes)", path, _AGAIN)
    top = parse(data[8 : 8 + min(length, MOST_HEADER + 1)], str(path), most=MOST_HEADER, fault=DamagedMediaError)
    note = _checked_header(top)
    try:
        arrays = load(data)  # it checks that each byte belongs to one array; names given twice were refused above
    except (SafetensorError, ValueError) as error:
        raise DamagedMediaError(f"damaged or cut off ({str(error)[:200]})", path, _AGAIN) from error
    try:
        with np.errstate(all="ignore"):  # numbers that overflow are refused by what they lead to
            return _actor(arrays, note)
    except UsageError as error:
        raise DamagedMediaError(": ".join(filter(None, (error.where, error.what))), path, _AGAIN) from error


def _capped(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_BYTES:
                raise LimitError(f"{size} bytes are over the limit of {MOST_BYTES}", path, "cut the clip")
            return file.read(size)
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})", path, "check the permissions") from error


def _checked_header(top: Field) -> _Note:
    keys = top.table((_NOTES, *(name for name in _LAYOUT if name not in _OPTIONAL)), _OPTIONAL)
    text = keys.pop(_NOTES).table(("actor",))["actor"].text(MOST_NOTE)
    sizes: dict[str, int] = {}
    for name, item in keys.items():
        entry = item.table(("dtype", "shape", "data_offsets"))
        shape = tuple(side.integer(0, 2**40) for side in entry["shape"].items(8))
        fault = _misfit(name, entry["dtype"].text(20), shape, sizes)
        if fault:
            item.refuse(fault, _AGAIN)
    document = parse(text.encode(), top.file, most=MOST_NOTE, fault=top.fault)
    return _read_note(replace(document, path="actor"))


def _misfit(name: str, kind: str, shape: Shape, sizes: dict[str, int]) -> str:
    """What is wrong with the type or shape of an array; `sizes` gathers the axes met so far."""
    kinds, axes = _LAYOUT[name]
    if kind not in kinds:
        return f"numbers of type {kind}, expected {' or '.join(kinds)}"
    if len(shape) == len(axes):
        wanted = [
            sizes.setdefault(axis, n) if isinstance(axis, str) else axis for axis, n in zip(axes, shape, strict=True)
        ]
        if tuple(wanted) == shape:
            return ""
    told = ", ".join(f"{axis} = {sizes[axis]}" if axis in sizes else str(axis) for axis in axes)
    return f"shape {list(shape)}, expected [{told}]"


def _read_note(top: Field) -> _Note:
    schema = top.entries().get("diorama_actor")
    if schema is None:
        top.refuse("no key diorama_actor: not an actor")
    if schema.integer(1) > SCHEMA:
        what = f"an actor of layout {schema.value}, this version reads up to {SCHEMA}"
        raise MediaError(what, top.file, "update Diorama")
    keys = top.table(("diorama_actor", *_Note.__dataclass_fields__))
    return _Note(
        keys["name"].text(MOST_LETTERS),
        keys["number"].integer(1),
        keys["layer"].text(MOST_LETTERS),
        None if keys["occluder"].value is None else keys["occluder"].text(MOST_LETTERS),
        keys["track"].integer(),
        tuple(item.text(MOST_LETTERS) for item in keys["joints"].items(MOST_JOINTS)),
        tuple(item.text(MOST_LETTERS) for item in keys["parts"].items(MOST_JOINTS)),
        keys["fps"].number(),
        keys["height"].integer(1, 2**20),
        keys["width"].integer(1, 2**20),
    )


def _note_of(actor: Actor) -> _Note:
    names, parts, cameras = actor.figure.skeleton.names, actor.figure.parts, actor.cameras
    words = (actor.name, int(actor.number), actor.layer, actor.occluder, int(actor.track.number), names, parts)
    return _Note(*words, float(actor.motion.fps), int(cameras.height), int(cameras.width))


def _arrays_of(actor: Actor) -> dict[str, Array]:
    """By their names in the file, in the order of memory that the format takes for granted."""
    track, figure, motion, cameras = actor.track, actor.figure, actor.motion, actor.cameras
    arrays: Mapping[str, Array | None] = {
        "track.frames": track.frames,
        "track.boxes": track.boxes,
        "track.scores": track.scores,
        "track.landmarks": track.landmarks,
        "track.world": track.world,
        "figure.vertices": figure.mesh.vertices,
        "figure.faces": figure.mesh.faces,
        "figure.parents": figure.skeleton.parents,
        "figure.rest": figure.skeleton.rest,
        "figure.skin_joints": figure.skin_joints,
        "figure.skin_weights": figure.skin_weights,
        "figure.joint_parts": figure.joint_parts,
        "motion.rotations": motion.rotations,
        "motion.root": motion.root,
        "cameras.viewmats": cameras.viewmats,
        "cameras.Ks": cameras.Ks,
        "frames": actor.frames,
        "error": actor.error,
        "guessed": actor.guessed,
        "standing": actor.standing,
        "shape": actor.shape,
    }
    return {name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}


def _actor(arrays: Mapping[str, Array], note: _Note) -> Actor:
    track, figure = _part(arrays, "track"), _part(arrays, "figure")
    skeleton = Skeleton(note.joints, figure.pop("parents"), figure.pop("rest"))
    mesh = Mesh(figure.pop("vertices"), figure.pop("faces"))
    for name in ("guessed", "standing"):
        if (arrays[name].view(np.uint8) > 1).any():
            raise UsageError("a byte that is neither true nor false", name)
    return Actor(
        note.name,
        note.number,
        note.layer,
        note.occluder,
        Track(note.track, **track),
        Figure(skeleton, mesh, parts=note.parts, **figure),
        Motion(skeleton, fps=note.fps, **_part(arrays, "motion")),
        Cameras(height=note.height, width=note.width, **_part(arrays, "cameras")),
        **{name: array for name, array in arrays.items() if "." not in name},
    )


def _part(arrays: Mapping[str, Array], part: str) -> dict[str, Array]:
    """The arrays of one part, by their names in it."""
    prefix = f"{part}."
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
