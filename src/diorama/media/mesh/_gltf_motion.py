"""Animations of a glTF document as motions of a figure."""

import logging
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64

from diorama.core.figure import Motion, Skeleton
from diorama.core.rotations import from_matrix
from diorama.errors import LimitError
from diorama.media.mesh._gltf_file import Document, label
from diorama.media.mesh._gltf_nodes import Nodes
from diorama.media.mesh._gltf_skin import ADDED, Skin
from diorama.media.mesh._gltf_surface import check_near
from diorama.media.mesh._gltf_tracks import read_animation

_log = logging.getLogger(__name__)
MOST_POSES = 4_000_000
"""Joints times frames of one animation."""
STRAY = 0.01
"""Share of the skeleton's size by which joints may shift or stretch against their parents before it is said."""

Worlds = Mapping[int, Float64[np.ndarray, "_ 4 4"]]


def read_motions(document: Document, nodes: Nodes, skin: Skin) -> dict[str, Motion]:
    """Those animations that move joints of a figure, by name.

    Joints turn, and the root shifts; shifts and stretches of other joints are left out, with a warning. A root that
    was added moves with the largest of the trees below it.

    Raises:
        LimitError: too long for so many joints.
        ValueError: an animation that breaks the rules of glTF, or shrinks a joint to nothing.
    """
    among = nodes.with_ancestors([node for node in skin.chain if node != ADDED])
    found: dict[str, Motion] = {}
    for number in range(len(document.json.get("animations", []))):
        tracks, fps = read_animation(document, number, among)
        if not tracks:
            continue
        frames = len(next(iter(tracks.values())))
        document.spend("joint poses", frames * len(skin.chain))
        if frames * len(among) > MOST_POSES:
            given = f"{frames} frames of {len(among)} nodes"
            raise LimitError(given, document.path, f"cut the animation; the limit is {MOST_POSES} poses")
        title = label(document, "animations", number, "animation")
        title = title if title not in found else f"{title}_{number}"
        found[title] = _motion(skin, nodes.moved(tracks, among), frames, fps, f"{document.path}: {title}")
    return found


def _motion(skin: Skin, worlds: Worlds, frames: int, fps: float, where: str) -> Motion:
    """The turns of joints against their parents, measured from the rest pose."""
    skeleton = skin.figure.skeleton
    local = skeleton.local[:, :3, :3].astype(np.float64)
    turns = [_turns(worlds, node) for node in skin.chain]
    quats = np.empty((frames, len(skeleton), 4), np.float32)
    for joint, parent in enumerate(skeleton.parents):
        against = turns[joint] if parent < 0 else turns[parent].transpose(0, 2, 1) @ turns[joint]
        quats[:, joint] = from_matrix(local[joint].T @ against)
    lead = _lead(skeleton, skin.chain)
    shift = worlds[skin.chain[lead]][:, :3, 3] - skeleton.rest[lead, :3, 3]
    check_near(shift)
    _warn_of_strays(skin, worlds, turns, lead, where)
    return Motion(skeleton, quats, np.broadcast_to(shift, (frames, 3)).astype(np.float32), fps)


def _turns(worlds: Worlds, node: int) -> Float64[np.ndarray, "t 3 3"]:
    """Where the axes of a node point."""
    if node == ADDED:
        return np.eye(3)[None]
    axes = worlds[node][:, :3, :3]
    length = np.linalg.norm(axes, axis=1, keepdims=True)
    if not (length > 1e-9).all():
        raise ValueError(f"node {node} shrinks to nothing")
    return axes / length


def _lead(skeleton: Skeleton, chain: tuple[int, ...]) -> int:
    """The joint whose shift is the root's: the root, or of an added one the child with most joints below it."""
    if chain[0] != ADDED:
        return 0
    below = np.ones(len(skeleton), np.int64)
    for joint in range(len(skeleton) - 1, 0, -1):
        below[skeleton.parents[joint]] += below[joint]
    children = np.flatnonzero(skeleton.parents == 0)
    return int(children[below[children].argmax()])


def _warn_of_strays(skin: Skin, worlds: Worlds, turns: list[np.ndarray], lead: int, where: str) -> None:
    skeleton = skin.figure.skeleton
    size = max(float(np.ptp(skeleton.joints, axis=0).max()), 1e-6)
    rest = skeleton.local[:, :3, 3]
    stray = []
    for joint, parent in enumerate(skeleton.parents):
        if parent < 0 or joint == lead or skin.chain[parent] == ADDED:
            continue
        shift = worlds[skin.chain[joint]][:, :3, 3] - worlds[skin.chain[parent]][:, :3, 3]
        offset = (turns[parent].transpose(0, 2, 1) @ shift[..., None])[..., 0]
        if np.abs(offset - rest[joint]).max() > STRAY * size:
            stray.append(skeleton.names[joint])
    if stray:
        _log.warning("%s: shifts of %d joints against their parents are left out (%s)", where, len(stray), stray[0])
