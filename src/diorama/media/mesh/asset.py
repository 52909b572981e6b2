"""What a model file holds."""

from dataclasses import dataclass, field

from diorama.core.figure import Figure, Motion
from diorama.core.mesh import Mesh


@dataclass(frozen=True, eq=False)
class Asset:
    """A model file as values.

    Attributes:
        name: of the file.
        figures: one for each skin.
        meshes: surfaces without a skin, where the file puts them.
        motions: animations of the first figure's skeleton, by name.
    """

    name: str
    figures: tuple[Figure, ...] = ()
    meshes: tuple[Mesh, ...] = ()
    motions: dict[str, Motion] = field(default_factory=dict)
