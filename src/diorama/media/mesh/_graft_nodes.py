"""Meshes of a glTF document brought to the root of the scene; all other nodes stay where they are."""

import logging
from collections.abc import Collection, Iterable

import numpy as np

from diorama.errors import LimitError
from diorama.media.mesh._glb_bytes import Json, added
from diorama.media.mesh._gltf_file import Document
from diorama.media.mesh._gltf_nodes import PATHS, Nodes

_log = logging.getLogger(__name__)
MOST_SCENES = 256
PLACE = ("translation", "rotation", "scale", "matrix")
OTHER = ("children", "camera", "extensions")
"""What a node may carry besides a mesh, which its transform is still needed for."""


def show(document: Document, nodes: Nodes, chosen: Collection[int], joint: int, name: str) -> None:
    """List nodes, and the root of the joints, as roots of the scenes that show them; make a scene where none is.

    Raises:
        LimitError: too many scenes.
    """
    if len(document.json.get("scenes", [])) > MOST_SCENES:
        what = f"{len(document.json['scenes'])} scenes, the limit is {MOST_SCENES}"
        raise LimitError(what, document.path, "export the one that is shown")
    if not document.json.get("scenes"):
        roots = np.flatnonzero(nodes.parents < 0).tolist()
        document.json["scenes"] = [{"name": name, "nodes": roots}]
    document.json.setdefault("scene", 0)
    for number in range(len(document.json["scenes"])):
        roots = document.item("scenes", number).get("nodes", [])
        below = _below(document, roots)
        here = [node for node in chosen if node in below]
        if here:
            roots += [node for node in here if node not in roots] + [joint]


def lift(document: Document, nodes: Nodes, chosen: Collection[int]) -> None:
    """Take nodes out of their parents and their transforms from them.

    Where something else needs the transform (children, a camera, an animation), a node without the mesh takes over.
    """
    channels = _moving(document, nodes, chosen)
    instead: dict[int, int] = {}
    for number in reversed(nodes.order):  # children first: what has lost them may need no transform
        if number not in chosen:
            continue
        node = document.item("nodes", number)
        kept = {key: node.pop(key) for key in (*PLACE, *OTHER) if key in node}
        parent = int(nodes.parents[number])
        if number in channels or any(key in kept for key in OTHER):
            instead[number] = added(document.json, "nodes", {"name": node["name"]} | kept if "name" in node else kept)
            for target in channels.get(number, []):
                target["node"] = instead[number]
        if parent >= 0:
            _replace(document.item("nodes", parent), number, instead.get(number))
        elif number in instead:
            for scene in document.json["scenes"]:
                if number in scene.get("nodes", []):
                    scene["nodes"].append(instead[number])


def _below(document: Document, roots: Iterable[int]) -> set[int]:
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        number = waiting.pop()
        if number not in found:
            waiting += document.item("nodes", number).get("children", [])
            found.add(number)
    return found


def _moving(document: Document, nodes: Nodes, chosen: Collection[int]) -> dict[int, list[Json]]:
    """Targets of channels that move the chosen nodes, by node."""
    found: dict[int, list[Json]] = {}
    above, lost = nodes.with_ancestors(chosen), False
    for number in range(len(document.json.get("animations", []))):
        for channel in document.item("animations", number)["channels"]:
            target = channel["target"]
            if target.get("path") in PATHS and target.get("node") in above:
                lost = True
                if target["node"] in chosen:
                    found.setdefault(target["node"], []).append(target)
    if lost:
        _log.warning("%s: its own animations of nodes no longer move the meshes on them", document.path)
    return found


def _replace(parent: Json, child: int, other: int | None) -> None:
    """Put another child in a child's place, or none."""
    place = parent["children"].index(child)
    parent["children"][place : place + 1] = [] if other is None else [other]
    if not parent["children"]:
        del parent["children"]
