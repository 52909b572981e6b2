"""Any file or folder of Gaussians, told by what is in it."""

from pathlib import Path
from typing import Literal, TypeAlias

from diorama.core.gaussians import Gaussians
from diorama.errors import MediaError
from diorama.media.safe import local_path, regular_file
from diorama.media.splat.dot_splat import SUFFIX, read_dot_splat
from diorama.media.splat.glb import holds_splats, read_splat_glb
from diorama.media.splat.ply import read_splat_ply
from diorama.media.splat.scene4d import ENDING, Scene4d, read_scene4d
from diorama.media.splat.sequence import SplatSequence, read_splat_sequence

Splats: TypeAlias = Gaussians | SplatSequence | Scene4d
Kind = Literal["ply", "splat", "glb", "scene4d", "sequence"]
_WEB = b"{"


def read_splats(path: Path) -> Splats:
    """The Gaussians of a PLY, .splat, GLB or scene4d file, or of a folder with a sequence of PLY files.

    Raises:
        UsageError: not a path of a local file.
        MediaError: no such file, or nothing that holds Gaussians.
        DamagedMediaError: it begins well and then breaks.
        LimitError: too large.
    """
    match kind_of_splats(path):
        case "sequence":
            return read_splat_sequence(path)
        case "ply":
            return read_splat_ply(path)
        case "glb":
            return read_splat_glb(path)
        case "scene4d":
            return read_scene4d(path)
        case "splat":
            return read_dot_splat(path)
        case None:
            known = f"PLY, .splat, GLB with Gaussians, {ENDING}, or a folder of PLY files"
            raise MediaError("nothing that holds Gaussians", path, f"give {known}")


def kind_of_splats(path: Path) -> Kind | None:
    """What a file or folder holds by its first bytes; .splat files, which have no mark, by their name.

    Raises:
        UsageError: not a path of a local file.
        MediaError: no such file, or it cannot be read.
        DamagedMediaError: a GLB file that cannot be read.
    """
    path = local_path(path)
    if path.is_dir():
        return "sequence"
    path = regular_file(path)
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror})", path, "check the permissions") from error
    if head[:3] == b"ply" and head[3:4] in (b"\n", b"\r"):
        return "ply"
    if head[8:9] == _WEB and int.from_bytes(head[:8], "little") < 1 << 32:
        return "scene4d"
    if head[:4] == b"glTF" or (head[:1] == _WEB and path.suffix.lower() == ".gltf"):
        return "glb" if holds_splats(path) else None
    return "splat" if path.suffix.lower() == SUFFIX else None
