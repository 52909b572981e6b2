"""A body as a fit sees it: few turns and a shape in, landmarks out, in products of small dense tensors.

What a pose moves is a role (`names.ROLES`); the joints of its chain share its turn evenly, and joints without a role
stay with their parents. A landmark is a mean of vertices, and so a sum over joints: with B and m summed once over its
vertices, ``landmark = sum_j R_j B_j + m_j c_j`` for joints turned by R_j at places c_j. No vertex is ever posed for it.
Rest frames are shifts without a turn, as those of the cast and of SMPL are. The shape that SMPL adds with the pose
(millimetres at these places) is left out.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int32, Int64

from diorama.core.figure import Figure, Motion, Skeleton
from diorama.core.rotations import between, inverse, normalize, to_matrix
from diorama.figures.cast import Cast, load_cast
from diorama.figures.landmarks import Place, cast_places, smpl_places
from diorama.figures.names import FINGERS, SIDES, roles_of
from diorama.figures.retarget import BONES, FOLLOWS
from diorama.figures.smpl import SmplBody, figure_of, shaped

_LOOSE = re.compile(r"_(index|middle|ring|little)[234]$|_thumb[34]$")
"""Landmarks that a stiff hand would carry to the wrong place."""


@dataclass(frozen=True, eq=False)
class FitBody:
    """A body of any shape.

    Attributes:
        skeleton: of the mean shape, rest frames without a turn.
        joint_dirs: what each shape component adds to the joints, metres a standard deviation.
        vertices: of the mean shape at rest.
        vertex_dirs: what each component adds to them.
        weights: of every joint at every vertex.
        faces: triangles.
        places: where landmarks sit.
        figure: the body of some coefficients.
    """

    skeleton: Skeleton
    joint_dirs: Float32[np.ndarray, "k j 3"]
    vertices: Float32[np.ndarray, "v 3"]
    vertex_dirs: Float32[np.ndarray, "k v 3"]
    weights: Float32[np.ndarray, "v j"]
    faces: Int32[np.ndarray, "f 3"]
    places: dict[str, Place]
    figure: Callable[[Float32[np.ndarray, " k"]], Figure]

    @staticmethod
    def of(body: Cast | SmplBody) -> "FitBody":
        """What a fit needs of the cast, or of a body of the SMPL family."""
        if isinstance(body, Cast):
            mean = body.figure(np.zeros(len(body.components), np.float32))
            drop = mean.mesh.vertices[0] - body.template[0]  # the mean stands on y = 0, as all figures of the cast do
            dirs, joint_dirs = body.components, body.joint_components
            vertices = (body.template + drop).astype(np.float32)
            places = cast_places(body)
        else:
            mean = figure_of(body)
            dirs = np.ascontiguousarray(body.shape_dirs.transpose(2, 0, 1))
            joint_dirs = np.einsum("jv,kvc->kjc", body.joint_regressor, dirs)
            vertices, places = body.template, smpl_places(body)

        def make(weights: Float32[np.ndarray, " k"]) -> Figure:
            return body.figure(weights) if isinstance(body, Cast) else figure_of(shaped(body, weights))

        return FitBody(mean.skeleton, joint_dirs, vertices, dirs, mean.dense_weights, mean.mesh.faces, places, make)


@dataclass(frozen=True, eq=False)
class Level:
    """Joints of equal depth.

    Attributes:
        roles: whose turn each shares.
        parents: places of their parents in the level above.
        joints: their numbers among the joints of the rig.
    """

    roles: Int64[np.ndarray, " n"]
    parents: Int64[np.ndarray, " n"]
    joints: Int64[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Shape:
    """A rig of one shape, or what each component adds to it.

    Attributes:
        rest: where the moving joints are at rest, metres.
        offsets: from parent to joint; 0 for the root.
        arms: B of the module's text.
    """

    rest: Float64[np.ndarray, "*k j 3"]
    offsets: Float64[np.ndarray, "*k j 3"]
    arms: Float64[np.ndarray, "*k l j 3"]


@dataclass(frozen=True, eq=False)
class Frames:
    """Moving joints, posed.

    Attributes:
        turns: in the world.
        places: metres.
    """

    turns: Float64[np.ndarray, "t j 3 3"]
    places: Float64[np.ndarray, "t j 3"]

    def shifts(self, shape: Shape) -> Float64[np.ndarray, "t j 3"]:
        """What is added to turned places at rest."""
        return self.places - (self.turns @ shape.rest[..., None])[..., 0]


@dataclass(frozen=True, eq=False)
class Rig:
    """The moving joints of a body and its landmarks.

    Attributes:
        roles: "hips" first; their turns are what is looked for.
        chains: the skeleton's joints of each role.
        moving: the skeleton's joints that move, parents first.
        levels: the same, as `Level`.
        mean, dirs: the mean shape, and what each component adds.
        mass: m of the module's text.
        known: which of the wanted landmarks the body has.
        home: the number in the rig of the joint that each of the skeleton's joints stays with.
        below: 1 where the column's joint hangs on the row's, or is it.
        shared: 1 for the role of each joint.
        to_cast: quaternions before and after a turn that give it in the cast's axes, where limits are known.
    """

    roles: tuple[str, ...]
    chains: tuple[tuple[int, ...], ...]
    moving: tuple[int, ...]
    levels: tuple[Level, ...]
    mean: Shape
    dirs: Shape
    mass: Float64[np.ndarray, "l j"]
    known: tuple[bool, ...]
    home: Int64[np.ndarray, " s"]
    below: Float64[np.ndarray, "j j"]
    shared: Float64[np.ndarray, "j r"]
    to_cast: tuple[Float64[np.ndarray, "r 4"], Float64[np.ndarray, "r 4"]]

    @staticmethod
    def of(body: FitBody, points: Sequence[str], *, fingers: bool = False) -> "Rig":
        """The rig for landmarks of these names; where fingers do not move, points beyond the knuckles are not known."""
        found = roles_of(body.skeleton)
        names = [role for role in found if fingers or role.rpartition("_")[0].partition("_")[2] not in FINGERS]
        roles = ("hips", *(role for role in names if role != "hips"))
        chains = tuple(found[role] for role in roles)
        moving = tuple(sorted(joint for chain in chains for joint in chain))
        home = _homes(body.skeleton, moving)
        firm = [name if fingers or not _LOOSE.search(name) else "" for name in points]
        arms, mass, known = _summed(body, firm, moving, home)
        above = _parents(body.skeleton, moving, home)
        role_of = [next(r for r, chain in enumerate(chains) if joint in chain) for joint in moving]
        rest = _joints(body)[:, list(moving)]
        offsets = rest - np.where(np.array(above)[:, None] < 0, rest, rest[:, above])
        parts = rest, offsets, arms
        return Rig(
            roles=roles,
            chains=chains,
            moving=moving,
            levels=_levels(above, role_of),
            mean=Shape(*(part[0] for part in parts)),
            dirs=Shape(*(part[1:] for part in parts)),
            mass=mass,
            known=known,
            home=home,
            below=_below(above),
            shared=np.eye(len(roles))[role_of],
            to_cast=_to_cast(body.skeleton, roles),
        )

    @property
    def lengths(self) -> Float64[np.ndarray, " r"]:
        """How many joints share each role's turn."""
        return np.array([len(chain) for chain in self.chains], np.float64)

    def shape(self, weights: Float[np.ndarray, " k"]) -> Shape:
        """The rig of one shape."""
        pairs = zip(vars(self.mean).values(), vars(self.dirs).values(), strict=True)
        return Shape(*(mean + np.tensordot(weights, dirs, 1) for mean, dirs in pairs))

    def frames(self, shape: Shape, quats: Float64[np.ndarray, "t r 4"], root: Float64[np.ndarray, "t 3"]) -> Frames:
        """The joints posed.

        Args:
            shape: of `shape`.
            quats: the share that each joint of a role's chain has of its turn; unit length.
            root: where the root joint is, metres.
        """
        own = to_matrix(quats)
        turns = np.empty((len(root), len(self.moving), 3, 3))
        places = np.empty((len(root), len(self.moving), 3))
        before = None
        for level in self.levels:
            if before is None:
                turns[:, level.joints], places[:, level.joints] = own[:, level.roles], root[:, None]
            else:
                parents = before.joints[level.parents]
                above = turns[:, parents]
                turns[:, level.joints] = above @ own[:, level.roles]
                step = (above @ shape.offsets[level.joints, :, None])[..., 0]
                places[:, level.joints] = places[:, parents] + step
            before = level
        return Frames(turns, places)

    def landmarks(self, shape: Shape, frames: Frames) -> Float64[np.ndarray, "t l 3"]:
        """Where the landmarks are."""
        flat = frames.turns.transpose(0, 2, 1, 3).reshape(len(frames.turns), 3, -1)
        return (flat @ shape.arms.reshape(len(shape.arms), -1).T).transpose(0, 2, 1) + self.mass @ frames.places

    def motion(
        self, figure: Figure, quats: Float[np.ndarray, "t r 4"], root: Float[np.ndarray, "t 3"], fps: float
    ) -> Motion:
        """The pose of every joint of a figure."""
        turns = np.zeros((len(root), len(figure.skeleton), 4), np.float32)
        turns[..., 0] = 1
        for r, chain in enumerate(self.chains):
            turns[:, list(chain)] = normalize(quats[:, r])[:, None]
        shift = root - figure.skeleton.joints[self.chains[0][0]]
        return Motion(figure.skeleton, turns, shift.astype(np.float32), fps)


def _homes(skeleton: Skeleton, moving: tuple[int, ...]) -> Int64[np.ndarray, " s"]:
    number = {joint: i for i, joint in enumerate(moving)}
    home = np.zeros(len(skeleton), np.int64)
    for joint, parent in enumerate(skeleton.parents):
        home[joint] = number[joint] if joint in number else home[parent]
    return home


def _joints(body: FitBody) -> Float64[np.ndarray, "n s 3"]:
    """The joints at rest, then what each component adds."""
    return np.concatenate([body.skeleton.joints[None], body.joint_dirs]).astype(np.float64)


def _parents(skeleton: Skeleton, moving: tuple[int, ...], home: Int64[np.ndarray, " s"]) -> list[int]:
    """Numbers in the rig, -1 for its root."""
    return [-1 if skeleton.parents[joint] < 0 else int(home[skeleton.parents[joint]]) for joint in moving]


def _levels(above: list[int], role_of: list[int]) -> tuple[Level, ...]:
    depth: list[int] = []
    for parent in above:
        depth.append(0 if parent < 0 else depth[parent] + 1)
    levels, before = [], [-1]
    for level in range(max(depth) + 1):
        joints = [i for i, d in enumerate(depth) if d == level]
        rows = [role_of[i] for i in joints], [before.index(above[i]) for i in joints], joints
        levels.append(Level(*(np.array(row, np.int64) for row in rows)))
        before = joints
    return tuple(levels)


def _below(above: list[int]) -> Float64[np.ndarray, "j j"]:
    found = np.eye(len(above))
    for joint in range(len(above) - 1, 0, -1):
        found[above[joint]] += found[joint]
    return found


def _summed(
    body: FitBody, points: Sequence[str], moving: tuple[int, ...], home: Int64[np.ndarray, " s"]
) -> tuple[Float64[np.ndarray, "n l j 3"], Float64[np.ndarray, "l j"], tuple[bool, ...]]:
    """B of the mean and of each component, m, and which landmarks there are; rows of 0 for the others."""
    joints = _joints(body)
    known = tuple(name in body.places for name in points)
    arms = np.zeros((len(joints), len(points), len(moving), 3))
    mass = np.zeros((len(points), len(moving)))
    for row, name in enumerate(points):
        if not known[row]:
            continue
        place = body.places[name]
        if place.joint >= 0:
            mass[row, home[place.joint]] = 1
            arms[:, row, home[place.joint]] = joints[:, place.joint]
            continue
        share = np.zeros((len(place.vertices), len(moving)))
        np.add.at(share.T, home, (body.weights[place.vertices] * place.weights[:, None]).T)
        where = np.concatenate([body.vertices[None, place.vertices], body.vertex_dirs[:, place.vertices]])
        mass[row] = share.sum(axis=0)
        arms[:, row] = np.einsum("nj,knc->kjc", share, where)
    return arms - mass[None, ..., None] * joints[:, None, list(moving)], mass, known


def _to_cast(
    skeleton: Skeleton, roles: tuple[str, ...]
) -> tuple[Float64[np.ndarray, "r 4"], Float64[np.ndarray, "r 4"]]:
    """By how much limbs at rest differ from the cast's: a body in the T-pose has other turns in the same pose."""
    cast = load_cast()
    mean = cast.figure(np.zeros(len(cast.components), np.float32)).skeleton
    own, other = roles_of(skeleton), roles_of(mean)
    turned: dict[str, np.ndarray] = {}
    for role in roles:
        side, _, limb = role.partition("_")
        start = FOLLOWS.get(limb, limb)
        turned[role] = np.array([1.0, 0, 0, 0])
        if side in SIDES and start in BONES:
            ends = f"{side}_{start}", f"{side}_{BONES[start]}"
            if all(end in table for end in ends for table in (own, other)):
                turned[role] = between(_along(skeleton, own, ends), _along(mean, other, ends))
    by_joint = {joint: role for role in roles for joint in own[role]}
    before = []
    for role in roles:
        parent = int(skeleton.parents[own[role][0]])
        while parent >= 0 and parent not in by_joint:
            parent = int(skeleton.parents[parent])
        before.append(turned[by_joint[parent]] if parent >= 0 else turned[role] * 0 + [1, 0, 0, 0])
    # C_cast = C_own inverse(a) for a limb that rests along a(own) = cast; its turn against its parent is
    # a_parent R inverse(a), which is no turn where both bodies stand as the cast does at rest.
    after = inverse(np.stack([turned[role] for role in roles]))
    return np.stack(before), after


def _along(skeleton: Skeleton, roles: dict[str, tuple[int, ...]], ends: tuple[str, str]) -> Float[np.ndarray, "3"]:
    return (skeleton.joints[roles[ends[1]][0]] - skeleton.joints[roles[ends[0]][0]]).astype(np.float64)
