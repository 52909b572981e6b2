"""Motion from anywhere: files, dances, other people of scenes, clips and pictures; put where an actor stands."""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float32, Float64, Int64

from diorama.core.actor import Actor
from diorama.core.figure import Figure, Motion
from diorama.core.person import filling
from diorama.core.progress import Progress, Silent
from diorama.core.rotations import from_axis_angle, from_matrix, inverse, multiply, to_matrix
from diorama.errors import DioramaError, MediaError, UsageError
from diorama.figures.clean import resampled
from diorama.figures.names import SIDES, roles_of
from diorama.figures.pose import joint_positions
from diorama.figures.retarget import retarget
from diorama.figures.stand_in import in_place_of
from diorama.media.images import is_image
from diorama.media.manifest import NAME
from diorama.media.mesh import read_glb
from diorama.media.motion import read_amass, read_bvh
from diorama.media.read import open_media
from diorama.media.store import read_actors
from diorama.perception.background import KeyFrames
from diorama.pipelines.animate_cast import Place
from diorama.pipelines.character import character_of_photo
from diorama.pipelines.decompose_bodies import bodies
from diorama.pipelines.decompose_people import look, outline_masks
from diorama.theatre.choreography import Dance, perform
from diorama.theatre.moves import MOVES
from diorama.theatre.style import random_style

KINDS = ".bvh, .npz (AMASS), .glb, a picture, a clip, or a scene"
MARK = "#"
"""Between a scene's folder and the name of one of its actors."""
STROLL = 0.5
"""Seconds: what somebody does more slowly than that is a way, what is faster a step."""


@dataclass(frozen=True, eq=False)
class Driving:
    """A motion, as it was found.

    Attributes:
        motion: of some skeleton whose joints are known, Y up.
        filmed: whether a camera saw it: then it faces the camera as it did there, else as whom it moves.
    """

    motion: Motion
    filmed: bool = False


def motion_for(given: str, actor: Actor | Place, figure: Figure, seed: int, progress: Progress | None = None) -> Motion:
    """A motion of `figure`, one pose a frame of the actor, that begins where the actor stands.

    Args:
        given: as `driving`.
        actor: whose place is taken.
        figure: the body that moves.
        seed: of a dance's style.
        progress: told where a clip is looked at.

    Raises:
        DioramaError: as `driving`.
    """
    count, fps = len(actor.frames), actor.motion.fps
    found = driving(given, figure, fps=fps, seconds=count / fps, seed=seed, progress=progress)
    return placed(replace(found, motion=as_long(found.motion, count)), actor, figure)


def driving(
    given: str, figure: Figure, *, fps: float, seconds: float, seed: int, progress: Progress | None = None
) -> Driving:
    """A motion of `figure`.

    Args:
        given: a file (BVH, AMASS npz, GLB with an animation), the name of a dance of the theatre, such as ``walk``,
            a picture or a clip of somebody, or a scene or one of its actors (``scene#person-1``).
        figure: the body that moves.
        fps: poses a second that are wanted.
        seconds: of a dance; all else is as long as it is.
        seed: of a dance's style.
        progress: told where a clip is looked at.

    Raises:
        UsageError: nothing of these, or a skeleton whose joints are not known.
        MediaError: a file without motion, or one that cannot be read.
    """
    if given in MOVES:
        style = random_style(np.random.default_rng(seed))
        dance = Dance((given,), (max(seconds, 1.0),), style)
        return Driving(perform(dance, figure, max(1, round(seconds * fps)), fps))
    found = _read(given, progress or Silent())
    moved = resampled(found.motion, fps) if len(found.motion) > 1 else replace(found.motion, fps=fps)
    return replace(found, motion=retarget(moved, figure.skeleton))


def check_motion(given: str) -> None:
    """Refuse what is no motion before anything else is done; whether a clip shows anybody is not looked at.

    Raises:
        DioramaError: as `driving`.
    """
    if given not in MOVES and _told(given) is None:
        open_media(given)


def on_the_spot(found: Driving) -> Driving:
    """The motion without the way it goes: steps sideways and back stay, a walk is one on a treadmill.

    Of a filmed one, where each picture tells the distance with an error of its own, the ground is also made level.
    """
    motion, spread = found.motion, STROLL * found.motion.fps
    if len(motion) < 2:
        return found
    root = motion.root.copy()
    ways = {axis: motion.root[:, axis] for axis in (0, 2)}
    if found.filmed:
        ways[1] = joint_positions(motion)[..., 1].min(axis=1)  # the lower foot
    for axis, way in ways.items():
        root[:, axis] -= _slow(way.astype(np.float64), spread) - way[0]
    return replace(found, motion=replace(motion, root=root))


def _slow(path: Float64[np.ndarray, " t"], spread: float) -> Float64[np.ndarray, " t"]:
    """Means over a bell of `spread` frames of a path that goes on at its ends as it began and ended."""
    reach = max(1, round(3 * spread))
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / spread) ** 2)
    before, after = 2 * path[0] - path[1:][:reach][::-1], 2 * path[-1] - path[:-1][::-1][:reach]
    padded = np.concatenate([before, path, after])
    lacking = reach - len(before), reach - len(after)
    padded = np.pad(padded, lacking, mode="edge")
    return np.convolve(padded, bell / bell.sum(), mode="valid")


def placed(found: Driving, actor: Actor | Place, figure: Figure) -> Motion:
    """A motion of `figure` moved, and where no camera saw it turned, to where an actor stands in its first frame."""
    return placed_like(found.motion, in_place_of(actor.motion[:1], figure), turn=not found.filmed)


def placed_like(motion: Motion, other: Motion, *, turn: bool = True) -> Motion:
    """A motion turned and moved so that in its first frame it stands and looks as another one does in its own.

    Args:
        motion: Y is up.
        other: of the same skeleton.
        turn: whether it is turned; else only moved.
    """
    if not turn:
        return replace(motion, root=(motion.root + _stand(other) - _stand(motion)).astype(np.float32))
    around = from_axis_angle(np.array([[0, _heading(other) - _heading(motion), 0]]))
    rest, root = motion.skeleton.rest[0], motion.skeleton.rest[0, :3, 3]
    frame = from_matrix(rest[None, :3, :3].astype(np.float64))
    within = multiply(multiply(inverse(frame), around), frame)  # the root is turned in its own rest frame
    rotations = motion.rotations.copy()
    rotations[:, 0] = multiply(np.repeat(within, len(motion), axis=0), rotations[:, 0].astype(np.float64))
    path = (motion.root + root) @ to_matrix(around)[0].T - root
    turned = replace(motion, rotations=rotations, root=path.astype(np.float32))
    shift = _stand(other) - _stand(turned)
    return replace(turned, root=(turned.root + shift).astype(np.float32))


def _read(given: str, progress: Progress) -> Driving:
    return _told(given) or Driving(_filmed(Path(given), progress), filmed=True)


def _told(given: str) -> Driving | None:
    """A motion that is known without looking at pictures; None for a picture or a clip."""
    path = Path(given)
    folder, _, name = given.rpartition(MARK)
    if path.is_dir() and (path / NAME).is_file():
        return Driving(_of_scene(path, "").motion, filmed=True)
    if folder and not path.exists() and (Path(folder) / NAME).is_file():
        return Driving(_of_scene(Path(folder), name).motion, filmed=True)
    suffix = path.suffix.lower()
    if not given or not path.exists():
        raise _unknown(given)
    if suffix not in (".bvh", ".npz", ".glb"):
        return None
    if suffix == ".bvh":
        return Driving(read_bvh(path))
    if suffix == ".npz":
        return Driving(read_amass(path))
    motions = read_glb(path).motions
    if not motions:
        raise MediaError("a model without animation", path, "choose one that moves")
    return Driving(next(iter(motions.values())))


def _unknown(given: str) -> DioramaError:
    if Path(given).suffix:
        return MediaError("no such file", given, f"check --motion; it takes {KINDS}, or a dance: {', '.join(MOVES)}")
    return UsageError(f"no motion {given!r}", "--motion", f"give {KINDS}; or a dance: {', '.join(MOVES)}")


def _of_scene(folder: Path, name: str) -> Actor:
    actors = {actor.name: actor for actor in read_actors(folder, verify=False)}
    if not actors or (name and name not in actors):
        known = ", ".join(actors) or "nobody"
        raise UsageError(f"no actor {name!r}" if name else "a scene without people", folder, f"it has {known}")
    return actors[name] if name else max(actors.values(), key=lambda actor: filling(actor.track))


def _filmed(path: Path, progress: Progress) -> Motion:
    """The motion of the largest person of a picture or a clip."""
    if path.is_file() and is_image(path):
        opened = open_media(path)
        if opened.probe is None and len(opened.video) == 1:
            return character_of_photo(path, progress=progress).fit.motion
    return actor_of_clip(path, progress).motion


def actor_of_clip(path: Path, progress: Progress) -> Actor:
    """The largest person of a clip, as a body that moves; no layers are made.

    Raises:
        UsageError: nobody is found, or none shows enough.
        DioramaError: it is no clip.
    """
    video = open_media(path).video
    with TemporaryDirectory() as folder:
        work, size = Path(folder), (video.height, video.width)
        people = look(video, None, KeyFrames(work / "keys"), work, progress, trusted=False).tracks
        largest = tuple(sorted(people, key=filling)[-1:])
        found = bodies(
            largest, size, float(video.fps), work, lambda p: outline_masks(work / "masks.log", p, *size), progress
        )
    if not found:
        raise UsageError("nobody is found in the clip", path, "choose one that shows a person whole")
    return found[0]


def as_long(motion: Motion, count: int) -> Motion:
    """The first `count` frames; a shorter motion runs there and back, without a jump."""
    if len(motion) >= count:
        return motion[:count]
    there_and_back = np.concatenate([np.arange(len(motion)), np.arange(len(motion) - 2, 0, -1)])
    places = there_and_back[np.arange(count) % len(there_and_back)] if len(motion) > 1 else np.zeros(count, int)
    return chosen(motion, places)


def chosen(motion: Motion, places: Int64[np.ndarray, " n"]) -> Motion:
    """Some poses of a motion, in any order."""
    return replace(motion, rotations=motion.rotations[places], root=motion.root[places])


def _heading(motion: Motion) -> float:
    """Where somebody looks in the first frame: radians about Y, 0 along +Z; told by the thighs."""
    roles = roles_of(motion.skeleton)
    joints = joint_positions(motion[:1])[0]
    left, right = (joints[roles[f"{side}_thigh"][0]] for side in ("left", "right"))
    across = left - right
    return float(np.arctan2(-across[2], across[0]))


def _stand(motion: Motion) -> Float32[np.ndarray, "3"] | Float64[np.ndarray, "3"]:
    """The place between the feet on the height of the lowest joint, in the first frame."""
    roles, joints = roles_of(motion.skeleton), joint_positions(motion[:1])[0]
    across, along = joints[[roles[f"{side}_foot"][0] for side in SIDES]][:, [0, 2]].mean(axis=0)
    return np.array([across, joints[:, 1].min(), along])
