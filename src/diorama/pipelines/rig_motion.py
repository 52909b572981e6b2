"""The animations of a rigged model: what is asked for, what was seen, and every joint in turn."""

from collections.abc import Container
from dataclasses import replace
from pathlib import Path

import numpy as np

from diorama.core.figure import Motion, Skeleton
from diorama.core.progress import Progress
from diorama.errors import UsageError
from diorama.figures.cast import load_cast
from diorama.figures.retarget import retarget
from diorama.media.mesh import read_glb
from diorama.media.motion.bvh import read_bvh
from diorama.pipelines.animate_motion import driving
from diorama.pipelines.rig_config import RigConfig
from diorama.pipelines.rig_source import Rigged
from diorama.rigging.swing import range_of_motion
from diorama.theatre.moves import MOVES

FPS, SECONDS = 24.0, 4.0
"""Of motions that are made."""


def motions_of(found: Rigged, config: RigConfig, progress: Progress) -> dict[str, Motion]:
    """The animations: what is asked for first, then what was seen, then every joint in turn.

    What is asked for keeps the name of its file; the others take one that is free. A model that has a skin and
    animations gets what is asked for alone.

    Raises:
        DioramaError: a motion that this skeleton cannot follow.
    """
    skeleton, motions = found.figure.skeleton, dict[str, Motion]()
    if config.motion:
        name = Path(config.motion).stem or "motion"
        motions[name] = _asked(found, config, progress)
    if found.whole:
        return motions
    for name, motion in (*found.motions.items(), ("range", range_of_motion(skeleton, fps=FPS))):
        motions[_free(name, motions)] = motion
    return motions


def _free(name: str, taken: Container[str]) -> str:
    """A name that no motion has yet."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    return found


def _asked(found: Rigged, config: RigConfig, progress: Progress) -> Motion:
    figure = found.figure
    own = _own(config.motion, figure.skeleton)
    if own is not None:
        return own
    # dances are those of the cast: whoever has other joints takes them over from somebody there
    dancer = load_cast().figure(load_cast().names[0]) if config.motion in MOVES else figure
    try:
        given = driving(config.motion, dancer, fps=FPS, seconds=SECONDS, seed=config.seed, progress=progress)
        return retarget(given.motion, figure.skeleton)
    except UsageError as error:
        names = ", ".join(figure.skeleton.names[:6])
        how = "with a person's names (by --edit, or in another program) they could follow"
        if config.names == "plain":
            how = "--names mixamo gives a person's parts names that motions know"
        elif config.motion in MOVES:
            how = "dances are a person's; a motion in a file may be of these joints"
        fix = f"the joints here are {names}, ...: {how}"
        raise UsageError(error.what, config.motion, fix) from error


def _own(given: str, skeleton: Skeleton) -> Motion | None:
    """A motion in a file of joints of the same names, turn by turn, whatever they are; None for any other."""
    path = Path(given)
    if path.suffix.lower() not in (".bvh", ".glb") or not path.is_file():
        return None
    motion = read_bvh(path) if path.suffix.lower() == ".bvh" else next(iter(read_glb(path).motions.values()), None)
    if motion is None or motion.skeleton.names != skeleton.names:
        return None
    other = motion.skeleton
    turned = not np.allclose(other.rest[:, :3, :3], skeleton.rest[:, :3, :3], atol=1e-4)
    if turned or not np.array_equal(other.parents, skeleton.parents):
        return None
    size, given_size = (float(np.ptp(joints, axis=0).max()) for joints in (skeleton.joints, other.joints))
    scale = np.float32(size / max(given_size, 1e-9))
    return replace(motion, skeleton=skeleton, root=motion.root * scale)
