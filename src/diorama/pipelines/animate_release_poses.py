"""What released networks are shown of a character: its picture, and its body in each pose.

MIMO's release draws colours of the body's vertices on black, its paper learnt codes, Moore-AnimateAnyone and SCD a
skeleton as DWPose draws it (mimo.md 1.10, 1.15; scd.md 1.1). The picture is the canonical one, as in MIMO's paper: the
figure fills 92 % of the height of a white square; the release's own crop of a photo leaves 91 %.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from diorama.core.camera import Cameras
from diorama.diffusion.mimo_folder import PeopleModel
from diorama.errors import ModelError
from diorama.figures.appearance import body_colors
from diorama.figures.canonical import canonical_pictures, canonical_view
from diorama.figures.cast import load_cast
from diorama.figures.codes import color_map, feature_map, position_colors
from diorama.figures.skeleton2d import COCO, draw_coco
from diorama.figures.texture import Character
from diorama.geometry.raster import Fragments, rasterize


@dataclass(frozen=True, eq=False)
class Looks:
    """A character as networks of one kind see it.

    Attributes:
        model: the networks.
        character: who.
        reference: its picture on white.
        reference_pose: the pose in that picture, for networks that are told of it.
        colors: of the body's vertices, by place: in motion maps.
        textured: of the body's vertices, as they look: for a preview.
    """

    model: PeopleModel
    character: Character
    reference: UInt8[np.ndarray, "s s 3"]
    reference_pose: UInt8[np.ndarray, "s s 3"] | None
    colors: UInt8[np.ndarray, "v 3"]
    textured: UInt8[np.ndarray, "v 3"]

    @staticmethod
    def of(model: PeopleModel, character: Character) -> "Looks":
        """Of one character, for all of its frames.

        Raises:
            ModelError: codes or colours for other bodies than the character's.
        """
        mesh, size = character.body.mesh, model.size
        for name, table in (("codes", model.codes), ("colours", model.colors)):
            if table is not None and len(table) != len(mesh.vertices):
                what = f"{name} of {len(table)} vertices, the character's body has {len(mesh.vertices)}"
                raise ModelError(what, "--model", "give networks that were trained with such bodies")
        pictures, codes = canonical_pictures(character, size)
        colors = position_colors(mesh) if model.colors is None else model.colors
        pose = None
        if model.own_pose:
            camera = canonical_view(character.figure.mesh.vertices, size, "front")
            pose = skeleton_of(mesh.vertices, camera)
        return Looks(model, character, squared(pictures[0]), pose, colors, body_colors(pictures, codes, mesh))

    def shown(
        self, vertices: Float32[np.ndarray, "v 3"], camera: Cameras
    ) -> tuple[Float[np.ndarray, "s s k"] | UInt8[np.ndarray, "s s k"], UInt8[np.ndarray, "s s 3"], np.ndarray]:
        """A pose in a square: as the networks are told of it, the textured body, and where the body is.

        Args:
            vertices: of the posed body, metres in the world.
            camera: of the square.
        """
        faces = self.character.body.mesh.faces
        found = rasterize(vertices, faces, camera)
        there: Bool[np.ndarray, "s s"] = found.face_ids >= 0
        return self._told(vertices, found, camera), color_map(found, faces, self.textured), there

    def _told(self, vertices: np.ndarray, found: Fragments, camera: Cameras) -> np.ndarray:
        faces = self.character.body.mesh.faces
        match self.model.poses:
            case "skeletons":
                return skeleton_of(vertices, camera)
            case "codes":
                assert self.model.codes is not None
                drawn = feature_map(found, faces, self.model.codes.cpu()).permute(1, 2, 0)
                return np.asarray(drawn.numpy(), np.float16)
            case _:
                return color_map(found, faces, self.colors)


def squared(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h h 3"]:
    """A picture that is higher than wide, between two white stripes."""
    height, width = picture.shape[:2]
    left = (height - width) // 2
    return np.pad(picture, ((0, 0), (left, height - width - left), (0, 0)), constant_values=255)


def skeleton_of(vertices: Float32[np.ndarray, "v 3"], camera: Cameras) -> UInt8[np.ndarray, "h w 3"]:
    """The skeleton of a posed body of the cast, drawn as DWPose draws it.

    Raises:
        ModelError: another body, whose landmarks are not known.
    """
    cast = load_cast()
    if len(vertices) != len(cast.template):
        known = len(cast.template)
        what = f"a skeleton of a body of {len(vertices)} vertices, only those of the cast ({known}) are drawn"
        raise ModelError(what, "--model", "use --engine preview, or networks that see colours of vertices (MIMO)")
    places = cast.landmarks(vertices[None])[0, : len(COCO)]
    (pixels,), (depth,) = camera.project(places.astype(np.float64))
    points = np.where(depth[:, None] > 0, pixels, np.nan).astype(np.float32)
    return draw_coco(points, camera.height, camera.width)
