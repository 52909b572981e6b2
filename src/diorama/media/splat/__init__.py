"""Files of Gaussians: PLY and .splat for every viewer, GLB for programs that read glTF, safetensors for what moves."""

from diorama.media.splat.dot_splat import read_dot_splat, write_dot_splat
from diorama.media.splat.glb import read_splat_glb, write_splat_glb
from diorama.media.splat.ply import read_splat_ply, write_splat_ply
from diorama.media.splat.read import read_splats
from diorama.media.splat.scene4d import Scene4d, read_scene4d, write_scene4d
from diorama.media.splat.sequence import SplatSequence, read_splat_sequence, write_splat_sequence

__all__ = [
    "Scene4d",
    "SplatSequence",
    "read_dot_splat",
    "read_scene4d",
    "read_splat_glb",
    "read_splat_ply",
    "read_splat_sequence",
    "read_splats",
    "write_dot_splat",
    "write_scene4d",
    "write_splat_glb",
    "write_splat_ply",
    "write_splat_sequence",
]
