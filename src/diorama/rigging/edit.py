"""A draft changed by hand: parts renamed, merged, split and hung elsewhere, joints moved (``--edit edits.json``).

The file is ``{"version": 1, "edits": [...]}``: edits in order, positions in metres in the axes of the mesh at rest::

    {"rename": "part3", "to": "head"}
    {"merge": ["tail2", "tail1"], "into": "tail1"}
    {"split": "leg", "at": [x, y, z], "normal": [x, y, z], "names": ["leg", "shin"]}    (normal may be left out)
    {"move": "leg", "to": [x, y, z]}
    {"reparent": "hand", "under": "arm"}
    {"root": "hip"}
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from diorama.errors import LimitError, MediaError, UsageError
from diorama.media.safe import regular_file
from diorama.rigging._edit_steps import merged, moved, renamed, reparented, rerooted, split
from diorama.rigging._edits import Edit, Merge, Move, Rename, Reparent, Reroot, Split, edit_of
from diorama.rigging.draft import Draft

MOST_BYTES = 1_000_000
MOST_EDITS = 1000
VERSION = 1


def read_edits(path: Path) -> tuple[Edit, ...]:
    """The edits in a file; an empty list is none.

    Raises:
        MediaError: no readable file, or no JSON.
        LimitError: more than `MOST_BYTES` or `MOST_EDITS`.
        UsageError: another version, a key that is unknown or missing, a value of another type or not finite.
    """
    path = regular_file(path)
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise LimitError(f"edits of more than {MOST_BYTES / 1e6:g} MB", path, "is it the right file?")
    try:
        found = json.loads(data, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        what = str(error) if isinstance(error, ValueError) else "nested too deeply"
        raise MediaError(f"no JSON ({what[:200]})", path, "let the page of the rig write it") from error
    if not isinstance(found, dict) or set(found) != {"version", "edits"} or not isinstance(found["edits"], list):
        raise UsageError("no edits", path, 'expected {"version": 1, "edits": [...]}')
    if type(found["version"]) is not int or found["version"] != VERSION:
        raise UsageError(f"edits of version {str(found['version'])[:40]}", path, f"this diorama reads {VERSION}")
    if len(found["edits"]) > MOST_EDITS:
        raise LimitError(f"{len(found['edits'])} edits, the limit is {MOST_EDITS}", path, "edit in several steps")
    return tuple(_read(value, f"{path}, edit {number}") for number, value in enumerate(found["edits"], 1))


def edited(draft: Draft, edits: Sequence[Edit]) -> Draft:
    """Apply edits, one after another; each sees the parts and names that those before it left.

    Every edit keeps a tree of uniquely named parts that all have vertices. Numbers of parts are not kept: a merge
    closes the gap that it leaves, a split puts the new part last. Joints stay at the contact of child and parent
    wherever an edit hangs a part elsewhere; those moved by hand stay where they are until then.

    Raises:
        UsageError: a part that there is not, a name that is taken, a split that leaves one side empty, a joint far
            from the mesh, a part under itself or under what hangs on it; says which edit.
    """
    for number, edit in enumerate(edits, 1):
        try:
            draft = _applied(draft, edit)
        except UsageError as error:
            raise UsageError(error.what, f"edit {number} ({error.where})", error.fix) from error
    return draft


def _applied(draft: Draft, edit: Edit) -> Draft:
    match edit:
        case Rename():
            return renamed(draft, edit)
        case Merge():
            return merged(draft, edit)
        case Split():
            return split(draft, edit)
        case Move():
            return moved(draft, edit)
        case Reparent():
            return reparented(draft, edit)
        case Reroot():
            return rerooted(draft, edit)


def _read(value: object, where: str) -> Edit:
    try:
        return edit_of(value)
    except UsageError as error:
        raise UsageError(error.what, f"{where} ({error.where})", error.fix) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return table


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
