"""Motion from anywhere for an actor of a scene: files and dances, put where the actor stands."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64

from diorama.core.actor import Actor
from diorama.core.figure import Figure, Motion
from diorama.core.rotations import from_axis_angle, from_matrix, inverse, multiply, to_matrix
from diorama.errors import MediaError, UsageError
from diorama.figures.clean import resampled
from diorama.figures.names import roles_of
from diorama.figures.pose import joint_positions
from diorama.figures.retarget import retarget
from diorama.figures.stand_in import in_place_of
from diorama.media.mesh import read_glb
from diorama.media.motion import read_amass, read_bvh
from diorama.theatre.choreography import Dance, perform
from diorama.theatre.moves import MOVES
from diorama.theatre.style import random_style

KINDS = ".bvh, .npz (AMASS), .glb"


def motion_for(given: str, actor: Actor, figure: Figure, seed: int) -> Motion:
    """A motion of `figure`, one pose a frame of the actor, that begins where the actor stands and looks.

    Args:
        given: a file (BVH, AMASS npz, GLB with an animation), or the name of a dance of the theatre, such as ``walk``.
        actor: whose place is taken.
        figure: the body that moves.
        seed: of the dance's style.

    Raises:
        UsageError: neither a file nor a dance, or a skeleton whose joints are not known.
        MediaError: a file without motion, or one that cannot be read.
    """
    count, fps = len(actor.frames), actor.motion.fps
    if given in MOVES:
        style = random_style(np.random.default_rng(seed))
        found = perform(Dance((given,), (max(count / fps, 1.0),), style), figure, count, fps)
    else:
        found = retarget(resampled(_read(Path(given)), fps), figure.skeleton)
    stood = in_place_of(actor.motion, figure)
    return placed_like(_as_long(found, count), stood)


def placed_like(motion: Motion, other: Motion) -> Motion:
    """A motion turned and moved so that in its first frame it stands and looks as another one does in its own.

    Args:
        motion: Y is up.
        other: of the same skeleton.
    """
    turn = from_axis_angle(np.array([[0, _heading(other) - _heading(motion), 0]]))
    rest, root = motion.skeleton.rest[0], motion.skeleton.rest[0, :3, 3]
    frame = from_matrix(rest[None, :3, :3].astype(np.float64))
    within = multiply(multiply(inverse(frame), turn), frame)  # the root is turned in its own rest frame
    rotations = motion.rotations.copy()
    rotations[:, 0] = multiply(np.repeat(within, len(motion), axis=0), rotations[:, 0].astype(np.float64))
    path = (motion.root + root) @ to_matrix(turn)[0].T - root
    turned = replace(motion, rotations=rotations, root=path.astype(np.float32))
    shift = _stand(other) - _stand(turned)
    return replace(turned, root=(turned.root + shift).astype(np.float32))


def _read(path: Path) -> Motion:
    suffix = path.suffix.lower()
    if not path.is_file():
        raise UsageError(
            f"no motion {str(path)!r}", "--motion", f"give a file ({KINDS}) or a dance: {', '.join(MOVES)}"
        )
    if suffix == ".bvh":
        return read_bvh(path)
    if suffix == ".npz":
        return read_amass(path)
    if suffix == ".glb":
        motions = read_glb(path).motions
        if not motions:
            raise MediaError("a model without animation", path, "choose one that moves")
        return next(iter(motions.values()))
    raise UsageError(f"motion from {suffix or 'a file without suffix'}", "--motion", f"known: {KINDS}")


def _as_long(motion: Motion, count: int) -> Motion:
    """The first `count` frames; a shorter motion runs there and back, without a jump."""
    if len(motion) >= count:
        return motion[:count]
    there_and_back = np.concatenate([np.arange(len(motion)), np.arange(len(motion) - 2, 0, -1)])
    places = there_and_back[np.arange(count) % max(len(there_and_back), 1)] if len(motion) > 1 else np.zeros(count, int)
    return replace(motion, rotations=motion.rotations[places], root=motion.root[places])


def _heading(motion: Motion) -> float:
    """Where somebody looks in the first frame: radians about Y, 0 along +Z; told by the thighs."""
    roles = roles_of(motion.skeleton)
    joints = joint_positions(motion[:1])[0]
    left, right = (joints[roles[f"{side}_thigh"][0]] for side in ("left", "right"))
    across = left - right
    return float(np.arctan2(-across[2], across[0]))


def _stand(motion: Motion) -> Float32[np.ndarray, "3"] | Float64[np.ndarray, "3"]:
    """The place under the hips on the height of the lowest joint, in the first frame."""
    joints = joint_positions(motion[:1])[0]
    return np.array([joints[0, 0], joints[:, 1].min(), joints[0, 2]])
