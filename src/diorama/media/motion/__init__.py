"""Motion files and body archives: BVH, AMASS/SMPL sequences, and array pickles without execution."""

from diorama.media.motion.amass import AmassBody, read_amass, read_amass_body
from diorama.media.motion.bvh import read_bvh, write_bvh
from diorama.media.motion.npz import read_npz
from diorama.media.motion.pickles import SparseMatrix, load_arrays_pickle
from diorama.media.motion.smpl_joints import smpl_names, smpl_parents, smpl_skeleton

__all__ = [
    "AmassBody",
    "SparseMatrix",
    "load_arrays_pickle",
    "read_amass",
    "read_amass_body",
    "read_bvh",
    "read_npz",
    "smpl_names",
    "smpl_parents",
    "smpl_skeleton",
    "write_bvh",
]
