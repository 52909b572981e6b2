"""A figure before cameras, as arrays: its poses, and what its parts look like in them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int16, Int64

from diorama.core.camera import Cameras
from diorama.core.figure import Figure
from diorama.core.rotations import from_axis_angle, multiply, normalize, to_matrix
from diorama.geometry.raster import rasterize
from diorama.rigging._capture_kernels import MOMENTS, add_moments, add_slopes

_NEAR = 1e-3
"""Sides of the figure's box before a camera where drawing begins."""

Moments = Float64[np.ndarray, "v k 6"]
Slopes = Float64[np.ndarray, "v k 6 d"]


@dataclass(frozen=True, eq=False)
class Pose:
    """One frame of a motion.

    Attributes:
        quats: of the joints, in their own rest frames.
        root: shift of the root, metres.
    """

    quats: Float64[np.ndarray, "j 4"]
    root: Float64[np.ndarray, "3"]

    @staticmethod
    def rest(joints: int) -> "Pose":
        """Nothing turned or shifted."""
        return Pose(np.tile([1.0, 0.0, 0.0, 0.0], (joints, 1)), np.zeros(3))

    def stepped(self, step: Float64[np.ndarray, " d"]) -> "Pose":
        """Shifted by metres, and turned by radians about the axes of each joint's own frame."""
        turns = from_axis_angle(step[3:].reshape(-1, 3))
        return Pose(normalize(multiply(self.quats, turns)), self.root + step[:3])


@dataclass(frozen=True, eq=False)
class Drawn:
    """A figure in a pose, in all views.

    Attributes:
        moments: of its parts, as `Model.seen` finds them in part maps.
        posed: of the joints: rest to posed model, "j 3 4"; frames in the model, "j 3 4"; parents.
        pictures: of each view labels, depth, face numbers, and the shares of the face's corners.
    """

    moments: Moments
    posed: tuple[np.ndarray, np.ndarray, np.ndarray]
    pictures: tuple[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], ...]


@dataclass(frozen=True, eq=False)
class Model:
    """What does not change from frame to frame.

    Attributes:
        parents: of the joints.
        local: rest frames in the parents'.
        inverse_rest: model to joint at rest.
        weights: of all joints, as skin.
        surface: faces, vertices at rest, their joints and weights.
        labels: number of each face in the part maps, and -1 at the end for where there is no face.
        count: how many numbers there are.
        cameras: of the views.
        size: the longest side of the box at rest, metres.
    """

    parents: Int64[np.ndarray, " j"]
    local: Float64[np.ndarray, "j 4 4"]
    inverse_rest: Float64[np.ndarray, "j 4 4"]
    weights: Float64[np.ndarray, "n j"]
    surface: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    labels: Int16[np.ndarray, " f"]
    count: int
    cameras: Cameras
    size: float

    @staticmethod
    def of(figure: Figure, numbers: Int64[np.ndarray, " p"], cameras: Cameras) -> "Model":
        """A figure whose parts have these numbers in part maps."""
        skeleton = figure.skeleton
        rest = skeleton.rest.astype(np.float64)
        above = np.where(skeleton.parents[:, None, None] < 0, np.eye(4), rest[skeleton.parents])
        vertices = figure.mesh.vertices.astype(np.float64)
        skin = figure.skin_joints.astype(np.int64), figure.skin_weights.astype(np.float64)
        return Model(
            parents=skeleton.parents.astype(np.int64),
            local=np.linalg.inv(above) @ rest,
            inverse_rest=np.linalg.inv(rest),
            weights=figure.dense_weights.astype(np.float64),
            surface=(figure.mesh.faces, vertices, *skin),
            labels=np.append(numbers[figure.face_parts], -1).astype(np.int16),
            count=int(numbers.max()) + 1,
            cameras=cameras,
            size=max(float(np.ptp(vertices, axis=0).max()), 1e-12),
        )

    @property
    def unknowns(self) -> int:
        """Three of the root's shift, and three of each joint's turn."""
        return 3 + 3 * len(self.parents)

    @property
    def middle(self) -> Float64[np.ndarray, "2"]:
        """The pixel that moments are about."""
        return np.array([self.cameras.width / 2, self.cameras.height / 2])

    def frames(self, pose: Pose) -> Float64[np.ndarray, "j 4 4"]:
        """Of the joints, joint to model; as `figures.pose.global_transforms`."""
        posed = self.local.copy()
        posed[:, :3, :3] = self.local[:, :3, :3] @ to_matrix(pose.quats)
        posed[0, :3, 3] += pose.root
        for joint in range(1, len(posed)):
            posed[joint] = posed[self.parents[joint]] @ posed[joint]
        return posed

    def seen(self, labels: Int16[np.ndarray, "v h w"]) -> Moments:
        """Of part maps."""
        found = np.zeros((len(labels), self.count, MOMENTS))
        for view, picture in enumerate(labels):
            add_moments(np.ascontiguousarray(picture), self.middle, found[view])
        return found

    def drawn(self, pose: Pose) -> Drawn:
        """The figure in a pose, in all views."""
        frames = self.frames(pose)
        moves = np.ascontiguousarray((frames @ self.inverse_rest)[:, :3])
        faces, rest = self.surface[:2]
        blended = (self.weights @ moves.reshape(len(moves), 12)).reshape(-1, 3, 4)
        vertices = (np.einsum("vac,vc->va", blended[:, :, :3], rest) + blended[:, :, 3]).astype(np.float32)
        moments = np.zeros((len(self.cameras), self.count, MOMENTS))
        pictures = []
        for view in range(len(self.cameras)):
            found = rasterize(vertices, faces, self.cameras[view : view + 1], near=_NEAR * self.size)
            labels = self.labels[found.face_ids]
            add_moments(labels, self.middle, moments[view])
            pictures.append((labels, found.depth, found.face_ids, found.barycentrics))
        return Drawn(moments, (moves, np.ascontiguousarray(frames[:, :3]), self.parents), tuple(pictures))

    def slopes(self, drawn: Drawn) -> Slopes:
        """The derivatives of the moments by what `Pose.stepped` takes."""
        found = np.zeros((*drawn.moments.shape, self.unknowns))
        for view, picture in enumerate(drawn.pictures):
            eye = self.cameras.viewmats[view].astype(np.float64), self.cameras.Ks[view].astype(np.float64)
            add_slopes(picture, self.surface, drawn.posed, eye, self.middle, found[view])
        return found
