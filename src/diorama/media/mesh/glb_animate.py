"""More animations for a GLB or glTF file that has a skin; everything else of the file is kept as it is."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from diorama.core.figure import Motion
from diorama.core.rotations import from_matrix, steady, to_matrix
from diorama.errors import LimitError, MediaError, UsageError
from diorama.media.atomic import write_bytes
from diorama.media.mesh._gltf_motion import MOST_POSES
from diorama.media.mesh._gltf_nodes import Nodes, read_nodes
from diorama.media.mesh._gltf_rig import Channels, free_name, xyzw
from diorama.media.mesh._gltf_skin import ADDED, RIGID, Skin
from diorama.media.mesh._graft_source import Grown, Source
from diorama.media.mesh.glb_read import read_skins, rules_kept
from diorama.media.safe import local_path

STILL = 1e-6
"""What of a node changes by less (turns; shifts, of the skeleton's size) gets no channel."""


def animate_glb(source: Path, path: Path, motions: Mapping[str, Motion]) -> None:
    """Write a copy of a file with more animations.

    Joints turn, and the root shifts, as they do in the motions, in the file's own nodes: nodes between joints, scales
    and units above them stay. Other skins on the same nodes move along.

    Args:
        source: the file; pictures and buffers beside it are taken in.
        path: to write, always GLB; appears when it is complete.
        motions: of one skeleton, that of a figure of `read_glb(source)`, by name; a name that the file has already
            gets a number.

    Raises:
        UsageError: no skin of that skeleton, or a motion too long for glTF's clock.
        MediaError: as `read_glb`, and for joints under uneven scales, which no turn of a node can follow.
        DamagedMediaError, LimitError: as `read_glb`; a motion too long for so many joints.
    """
    source = local_path(source)
    with rules_kept(source):
        document = Source(source)
        nodes = read_nodes(document)
        skins = _skins(read_skins(document, nodes)[0], motions, source)
        buffer, chains = Grown(document), list(dict.fromkeys(skin.chain for skin in skins))
        joints = sum(map(len, chains))
        for node in {node for chain in chains for node in chain} & set(nodes.fixed):
            _spell_out(document, node, nodes.fixed[node])
        for title, motion in motions.items():
            if len(motion) * joints > MOST_POSES:
                raise LimitError(f"{len(motion)} frames of {joints} joints", title, "cut the motion")
            channels = Channels(document.json, buffer, motion, free_name(document.json, "animations", title))
            size, moved = float(np.ptp(motion.skeleton.joints, axis=0).max()), _moved(motion)
            for chain in chains:
                _add(channels, document.path, nodes, chain, moved, size)
            channels.close()
        data = buffer.file()
    write_bytes(path, data)


def _skins(skins: list[Skin], motions: Mapping[str, Motion], source: Path) -> list[Skin]:
    """The skins that the motions are for: exporters write the same joints again for each piece of clothing."""
    asked = [motion.skeleton for motion in motions.values()]
    found = [skin for skin in skins if all(skin.figure.skeleton.equals(each) for each in asked)]
    if not found:
        raise UsageError("no skin with the joints of the motions", source, "retarget them to one of its figures first")
    return found


def _add(
    channels: Channels,
    path: Path,
    nodes: Nodes,
    chain: tuple[int, ...],
    moved: Float64[np.ndarray, "t j 4 4"],
    size: float,
) -> None:
    """What the nodes of joints do; the first one always has a channel, as no animation may be empty."""
    rest, above = nodes.rest(), nodes.above(set(chain))
    place = {node: joint for joint, node in enumerate(chain)}
    first = next(node for node in chain if node != ADDED)
    for joint, node in enumerate(chain):
        if node == ADDED:
            continue
        parent, nearest = int(nodes.parents[node]), int(above[node])
        known = np.linalg.inv(rest[parent]) if parent >= 0 else np.eye(4)
        against = np.linalg.inv(moved[:, place[nearest]]) if nearest >= 0 else np.eye(4)
        local = known @ against @ moved[:, joint] @ rest[node]
        before = (known @ rest[node])[None]
        mirrored = np.ones(3) if node in nodes.fixed else np.where(nodes.scale[node] < 0, -1, 1)
        turns, still = (_turns(frames[:, :3, :3] * mirrored, path) for frames in (local, before))
        if np.abs(turns - still).max() > STILL:
            channels.add(node, "rotation", xyzw(steady(from_matrix(turns))))
        places, unit = local[:, :3, 3], float(np.linalg.norm(known[:3, 0]))
        if node == first or np.abs(places - before[:, :3, 3]).max() > STILL * max(unit * size, 1e-9):
            channels.add(node, "translation", places.astype(np.float32))


def _moved(motion: Motion) -> Float64[np.ndarray, "t j 4 4"]:
    """What a motion does to whatever hangs on a joint: from where it is at rest, in the scene."""
    skeleton = motion.skeleton
    rest, turns = skeleton.rest.astype(np.float64), to_matrix(motion.rotations.astype(np.float64))
    found = np.empty((len(motion), len(skeleton), 4, 4))
    for joint, parent in enumerate(skeleton.parents):
        own = np.tile(rest[joint], (len(motion), 1, 1))
        own[:, :3, :3] = own[:, :3, :3] @ turns[:, joint]
        own = own @ np.linalg.inv(rest[joint])
        if parent < 0:
            own[:, :3, 3] += motion.root
            found[:, joint] = own
        else:
            found[:, joint] = found[:, parent] @ own
    return found


def _turns(axes: Float64[np.ndarray, "t 3 3"], path: Path) -> Float64[np.ndarray, "t 3 3"]:
    """Axes without their lengths.

    Raises:
        MediaError: they are not at right angles: scales above turn into shear, which a node does not have.
    """
    turns = axes / np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-12)
    square = np.abs(turns.swapaxes(1, 2) @ turns - np.eye(3)).max() <= RIGID
    if not (square and (np.linalg.det(turns) > 0).all()):
        fix = "apply its scale in the program it is from, and export it again"
        raise MediaError("its joints hang under uneven scales, or are mirrored", path, fix)
    return turns


def _spell_out(document: Source, number: int, local: Float64[np.ndarray, "4 4"]) -> None:
    """A node's matrix as shift, turn and scale: what is animated must not have one (glTF 2.0, section 3.5.3)."""
    node = document.item("nodes", number)
    del node["matrix"]
    turn = _turns(local[None, :3, :3], document.path)
    node["translation"] = local[:3, 3].tolist()
    node["rotation"] = xyzw(from_matrix(turn))[0].tolist()
    node["scale"] = np.linalg.norm(local[:3, :3], axis=0).tolist()
