"""Bakes the cast, ``src/diorama/figures/data/cast.npz``, from the Anny body model.

A tool for developers; nothing that it imports is needed at run time. In a virtual environment of its own:

    pip install torch==2.13.0 anny==0.6.2 scipy pillow pyyaml jaxtyping
    PYTHONPATH=src python tools/bake_cast.py

Anny's first construction takes minutes and leaves a cache of some 800 MB in ``~/.cache/anny``. The same versions give
the same bytes; put the hash that is logged into ``figures/cast.py``. Licences: ``figures/data/NOTICE-cast.md``.
"""

import hashlib
import io
import logging
import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from cast_landmarks import NEAR, landmarks, pose_randomly
from cast_people import AGES, PEOPLE, named_people, sampled_people
from cast_regions import REGIONS, face_regions, kinematic_parts
from cast_source import Source, top_weights
from diorama.media.atomic import write_bytes

TARGET = Path(__file__).parents[1] / "src/diorama/figures/data/cast.npz"
COMPONENTS = 32
SAMPLES = 900
SEED = 20260
LIMIT = 4 * 1000 * 1000
JOINT_WEIGHT = 3.0  # a joint counts as much as nine vertices in the fit of the components

logger = logging.getLogger("bake_cast")


class Basis:
    """Mean and principal components of bodies, vertices and joints together, in standard deviations."""

    def __init__(self, vertices: Float[np.ndarray, "n v 3"], joints: Float[np.ndarray, "n j 3"]) -> None:
        self.count = vertices.shape[1]
        rows = self._joined(vertices, joints)
        self.mean = rows.mean(axis=0)
        centred = rows - self.mean
        power, left = np.linalg.eigh(centred @ centred.T / len(rows))
        power, left = power[::-1][:COMPONENTS], left[:, ::-1][:, :COMPONENTS]
        axes = left.T @ centred / np.sqrt(len(rows))  # as long as their standard deviation
        axes *= np.sign(axes[np.arange(COMPONENTS), np.abs(axes).argmax(axis=1)])[:, None]
        self.axes, self.power = axes, power
        logger.info("spread of the components, mm a vertex: %s", np.sqrt(power / self.count * 1e6).round(2))

    def _joined(self, vertices: Float[np.ndarray, "n v 3"], joints: Float[np.ndarray, "n j 3"]) -> np.ndarray:
        return np.concatenate([vertices, joints * JOINT_WEIGHT], axis=1).reshape(len(vertices), -1)

    def split(self, rows: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, "n v 3"], Float[np.ndarray, "n j 3"]]:
        """Vertices and joints of joined rows."""
        points = rows.reshape(len(rows), -1, 3)
        return points[:, : self.count], points[:, self.count :] / JOINT_WEIGHT

    def coefficients(
        self, vertices: Float[np.ndarray, "n v 3"], joints: Float[np.ndarray, "n j 3"]
    ) -> Float[np.ndarray, "n k"]:
        """Bodies in the basis."""
        return (self._joined(vertices, joints) - self.mean) @ self.axes.T / (self.axes**2).sum(axis=1)


def report_residual(what: str, basis: Basis, bodies: tuple[np.ndarray, np.ndarray]) -> None:
    """Log how far bodies lie from the basis as it is stored."""
    axes = np.concatenate([part.astype(np.float16).reshape(COMPONENTS, -1, 3) for part in basis.split(basis.axes)], 1)
    vertices, joints = basis.split(basis.mean[None])
    mean = np.concatenate([vertices, joints], axis=1)
    back = mean + np.einsum("nk,kpc->npc", basis.coefficients(*bodies), axes.astype(np.float64))
    off = np.linalg.norm(back - np.concatenate(bodies, axis=1), axis=-1) * 1000
    for name, part in (("vertices", off[:, : basis.count]), ("joints", off[:, basis.count :])):
        spread = part.mean(), np.percentile(part, 95), part.max()
        logger.info("%s, %s: residual mean %.2f, p95 %.2f, max %.2f mm", what, name, *spread)


def arrays(source: Source) -> dict[str, np.ndarray]:
    """Everything that is stored, in the order of the file."""
    rng = np.random.default_rng(SEED)
    named = source.bodies(named_people(source, rng))
    sampled = source.bodies(sampled_people(source, rng, SAMPLES))
    unseen = source.bodies(sampled_people(source, rng, 150))
    both = [np.concatenate([*(2 * [some]), many]) for some, many in zip(named, sampled, strict=True)]
    basis = Basis(*both)
    report_residual("named people", basis, named)
    report_residual("people not fitted to", basis, unseen)
    skin_joints, skin_weights = top_weights(source)
    mean = tuple(part[0] for part in basis.split(basis.mean[None]))
    dense = np.zeros((len(mean[0]), len(source.rig.names)))
    np.add.at(dense, (np.arange(len(dense))[:, None], skin_joints), skin_weights / 255)
    posed = pose_randomly([part[:30] for part in sampled], source.rig.parents, dense, rng)
    found = landmarks(source, mean, posed, dense.argmax(axis=1))
    parts, joint_parts = kinematic_parts(source.rig.names)
    by_part = np.stack([dense[:, joint_parts == part].sum(axis=1) for part in range(len(parts))], axis=1)
    regions = face_regions(source, mean[0], by_part[source.faces].sum(axis=1).argmax(axis=1), parts, found)
    shapes, joint_shapes = basis.split(basis.axes)
    return {
        **people_arrays(basis.coefficients(*named)),
        **quantised("template", mean[0]),
        "components": shapes.astype(np.float16),
        "joints": mean[1].astype(np.float32),
        "joint_components": joint_shapes.astype(np.float16),
        "joint_names": np.array(source.rig.names),
        "parents": np.array(source.rig.parents, np.int8),
        "parts": np.array(parts),
        "joint_parts": joint_parts,
        "skin_joints": skin_joints,
        "skin_weights": skin_weights,
        "faces": source.faces.astype(np.uint16),
        "uv_faces": source.uv_faces.astype(np.uint16),
        **quantised("uvs", source.uvs),
        "regions": regions,
        "region_names": np.array(REGIONS),
        **landmark_arrays(found),
    }


def people_arrays(coefficients: Float[np.ndarray, "n k"]) -> dict[str, np.ndarray]:
    """Names, tags and coefficients of the named people."""
    groups = [next(group for limit, group in AGES if years < limit) for _, _, years, _, _ in PEOPLE]
    return {
        "people": np.array([row[0] for row in PEOPLE]),
        "ages": np.array(groups),
        "sexes": np.array([{"f": "female", "m": "male"}[row[1]] for row in PEOPLE]),
        "builds": np.array([row[3] for row in PEOPLE]),
        "coefficients": coefficients.astype(np.float32),
    }


def landmark_arrays(found: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """Landmarks padded to equally many vertices with weights of 0."""
    vertices = np.zeros((len(found), NEAR), np.uint16)
    weights = np.zeros((len(found), NEAR), np.float32)
    for row, (rows, shares) in enumerate(found.values()):
        vertices[row, : len(rows)], weights[row, : len(rows)] = rows, shares
    names = np.array(list(found))
    return {"landmark_names": names, "landmark_vertices": vertices, "landmark_weights": weights}


def quantised(name: str, values: Float[np.ndarray, "n d"]) -> dict[str, np.ndarray]:
    """Numbers in 16 bits over their box (0.03 mm of a body's height), and the box."""
    low, high = values.min(axis=0).astype(np.float32), values.max(axis=0).astype(np.float32)
    steps = np.round((values - low) / (high - low) * 65535)
    return {name: np.clip(steps, 0, 65535).astype(np.uint16), f"{name}_box": np.stack([low, high])}


def packed(stored: dict[str, np.ndarray]) -> bytes:
    """An npz archive without dates: the bytes depend on the data only."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in stored.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), data.getvalue(), zipfile.ZIP_DEFLATED, 9)
            logger.info("%s %s %s", name, array.dtype, array.shape)
    return buffer.getvalue()


def main() -> None:
    """Bake and write.

    Raises:
        ValueError: the file is larger than it may be.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # so that sums are taken in one order
    data = packed(arrays(Source()))
    if len(data) > LIMIT:
        raise ValueError(f"{len(data)} bytes, at most {LIMIT}: lower COMPONENTS")
    write_bytes(TARGET, data)
    logger.info("%d bytes; CAST_SHA256 = %s", len(data), hashlib.sha256(data).hexdigest())


if __name__ == "__main__":
    main()
