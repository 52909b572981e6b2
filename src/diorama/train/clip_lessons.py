"""Pieces of real clips as lessons: shards that `diorama.pipelines.train_clips` made, in the files of `train.lessons`.

Which pieces are held out their notes say: the end of each person's time. A shard is hostile until checked.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.torch import save_file

from diorama.diffusion.codec import Codec
from diorama.errors import DamagedMediaError, UsageError
from diorama.media.atomic import atomic_path
from diorama.theatre.lesson import Lesson
from diorama.theatre.shards import Sample
from diorama.train.lessons import encoded, whole
from diorama.train.sources import REMEDY, Place, open_shards, read_note, read_sample
from diorama.train.split import Part

VERSION = 1
"""Raised when the same piece gives another lesson."""
PICTURES = ("image", "scene", "codes", "preview")
MASKS = ("person", "occluder")
CANONICAL = ("canonical", "canonical_codes")
MOST_LETTERS = 500


@dataclass(frozen=True)
class ClipPiece:
    """A piece in its shard.

    Attributes:
        place: where it lies.
        identity: tells it from all others.
        held_out: whether it is kept from training.
    """

    place: Place
    identity: str
    held_out: bool


@dataclass(frozen=True)
class ClipPieces:
    """The pieces of a folder of shards."""

    all: tuple[ClipPiece, ...]

    @staticmethod
    def open(folder: str) -> "ClipPieces":
        """The pieces in a folder.

        Raises:
            UsageError: no folder, other samples than pieces of clips, or none of a part.
            DamagedMediaError: a damaged shard.
        """
        if not folder:
            raise UsageError("no clips to learn from", "--data", "name a folder of clips")
        if not any(Path(folder).glob("*.tar")):
            raise UsageError(
                "no pieces of clips in the folder", folder, "diorama train RECIPE --data cuts clips into them"
            )
        found = tuple(_piece(place) for place in open_shards(Path(folder)).places)
        for held_out in (False, True):
            if not any(piece.held_out == held_out for piece in found):
                kind = "held out" if held_out else "to learn from"
                raise UsageError(f"no piece that is {kind}", folder, "add longer clips")
        return ClipPieces(found)

    def of(self, part: Part) -> tuple[ClipPiece, ...]:
        """Those of a part, in order."""
        return tuple(piece for piece in self.all if part == "all" or piece.held_out == (part == "held-out"))


def _piece(place: Place) -> ClipPiece:
    note = read_note(place)
    identity, held_out = note.get("identity"), note.get("held_out")
    if not (isinstance(identity, str) and len(identity) <= MOST_LETTERS and isinstance(held_out, bool)):
        raise UsageError("samples that are no pieces of clips", place.shard, "name a folder of clips with --data")
    return ClipPiece(place, identity, held_out)


def read_piece(piece: ClipPiece, names: Collection[str], size: int, frames: int) -> Sample:
    """Some arrays of a piece, of the shapes that are expected.

    Raises:
        DamagedMediaError: damaged, or of other shapes.
    """
    sample = read_sample(piece.place, names)
    for name, array in sample.arrays.items():
        fits = True
        if name in PICTURES:
            fits = array.dtype == np.uint8 and array.shape == (frames, size, size, 3)
        elif name in MASKS:
            fits = array.dtype == np.bool_ and array.shape == (frames, size, size)
        elif name in CANONICAL:
            wide = array.shape[2] if array.ndim == 4 else 0
            known = array.shape == (2, size, wide, 3) and 0 < wide <= size and wide % 8 == 0
            fits = array.dtype == np.uint8 and known
        if not fits:
            what = f"{name} of {array.dtype} {array.shape}, expected {frames} frames of {size}x{size}"
            raise DamagedMediaError(what, f"{piece.place.shard}: {piece.place.key}", REMEDY)
    return sample


@dataclass(frozen=True)
class ClipLessons:
    """Where the lessons of pieces lie, and what they are like; see `train.lessons.Lessons`."""

    folder: Path
    codec: str
    frames: int = 16
    size: int = 256

    def path(self, piece: ClipPiece) -> Path:
        """The file of a piece."""
        what = ("clip", VERSION, self.codec, self.frames, self.size, piece.identity, piece.place.shard.name)
        name = hashlib.blake2b(repr(what).encode(), digest_size=16).hexdigest()
        return self.folder / name[:2] / f"{name}.safetensors"

    def pictures(self, piece: ClipPiece) -> Lesson:
        """The piece as pictures."""
        names = (*PICTURES, *MASKS, *CANONICAL)
        found = read_piece(piece, names, self.size, self.frames).arrays
        return Lesson(**{name: found[name].copy() for name in names})  # torch wants to be able to write

    def ready(self, piece: ClipPiece, codec: Codec) -> Path:
        """The file of a piece, made where it is not there or damaged."""
        path = self.path(piece)
        if not whole(path, self.frames):
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as partial:
                save_file(dict(encoded(self.pictures(piece), codec)), partial)
        return path
