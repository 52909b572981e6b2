"""Model files: GLB with skeleton, skin, animation and textures, both ways; OBJ and PLY read."""

from diorama.media.mesh.asset import Asset
from diorama.media.mesh.glb_animate import animate_glb
from diorama.media.mesh.glb_graft import graft_glb
from diorama.media.mesh.glb_read import read_glb
from diorama.media.mesh.glb_write import write_glb
from diorama.media.mesh.obj import read_obj
from diorama.media.mesh.ply import read_ply

__all__ = ["Asset", "animate_glb", "graft_glb", "read_glb", "read_obj", "read_ply", "write_glb"]
