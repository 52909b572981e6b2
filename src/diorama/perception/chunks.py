"""Maps that wait on disk until their shot's range is known, and make room when the film has moved on."""

import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt16

from diorama.errors import LimitError
from diorama.media.atomic import atomic_path

BEHIND = 256  # frames: more than pieces of the film and the queues before them hold, so a resumed run finds its shot
MINUTE = 1800  # frames, at 30 a second


@dataclass(frozen=True, eq=False)
class Chunk:
    """Consecutive maps on disk: 16-bit codes, with each map's range beside them.

    Codes rather than float16: the same bytes, 32 times as fine near the top of the range, and no overflow for
    networks whose values run to thousands (DPT).
    """

    path: Path
    lows: Float32[np.ndarray, "t"]
    highs: Float32[np.ndarray, "t"]

    @classmethod
    def write(cls, path: Path, maps: Float32[np.ndarray, "t dh dw"]) -> "Chunk":
        """Store maps; the file appears under its name only when whole."""
        lows, highs = maps.min(axis=(1, 2)), maps.max(axis=(1, 2))
        spans = np.where(highs > lows, highs.astype(np.float64) - lows, 1.0)
        codes = np.rint((maps - lows[:, None, None]) * (65535 / spans)[:, None, None]).astype(np.uint16)
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez(file, codes=codes, lows=lows, highs=highs)
        return cls(path, lows, highs)

    @classmethod
    def open(cls, path: Path) -> "Chunk | None":
        """A chunk left by an earlier run, or None where there is none that can be read."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(path, stored["lows"], stored["highs"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None

    def scaled(self, lowest: float, highest: float) -> Iterator[Float32[np.ndarray, "dh dw"]]:
        """The maps on the scale of their shot: `lowest` becomes 0 and `highest` 1; a flat shot is 0.5."""
        with np.load(self.path, allow_pickle=False) as stored:
            codes: UInt16[np.ndarray, "t dh dw"] = stored["codes"]
        span = highest - lowest
        for code, low, high in zip(codes, self.lows, self.highs, strict=True):
            if span <= 1e-6 * max(abs(lowest), abs(highest)):
                yield np.full(code.shape, 0.5, np.float32)
                continue
            slope = np.float32((float(high) - float(low)) / 65535 / span)
            yield np.clip(code * slope + np.float32((float(low) - lowest) / span), 0, 1, dtype=np.float32)


@dataclass
class Shelf:
    """The chunks of a film in a folder; of past shots only those stay that a resumed run may ask for.

    A run that was killed begins again with the shot in which its last whole piece of film ended. That may be some
    shots back, so shots stay until `BEHIND` frames have followed them.

    Attributes:
        folder: where they lie; made when the first shot begins.
        past: chunks of the shots whose maps were all handed out, the oldest shot first.
        fresh: whether nothing of the current shot was stored yet.
    """

    folder: Path
    past: list[list[Chunk]] = field(default_factory=list)
    fresh: bool = True

    def begin(self) -> None:
        """A shot begins: make room."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.fresh = True
        while sum(len(chunk.lows) for shot in self.past[1:] for chunk in shot) >= BEHIND:
            for chunk in self.past.pop(0):
                chunk.path.unlink(missing_ok=True)

    def end(self, chunks: list[Chunk]) -> None:
        """All maps of a shot, the `chunks`, were handed out."""
        self.past.append(chunks)

    def find(self, key: str) -> Chunk | None:
        """The chunk stored under `key`, also by an earlier run."""
        return Chunk.open(self._path(key))

    def store(self, key: str, maps: Float32[np.ndarray, "t dh dw"]) -> Chunk:
        """Store maps under `key`.

        Raises:
            LimitError: the disk does not hold them; or, at the first maps of a shot, a minute of such maps.
        """
        each, count = 2 * maps[0].size, MINUTE if self.fresh else len(maps)
        room = shutil.disk_usage(self.folder).free
        if each * count > room:
            raise LimitError(
                f"{room / 1e9:.2f} GB free, and the depth of the next minute needs {each * MINUTE / 1e9:.2f} GB",
                self.folder,
                "make room, or write to another disk and go on with --resume",
            )
        self.fresh = False
        return Chunk.write(self._path(key), maps)

    def _path(self, key: str) -> Path:
        return self.folder / f"depth-{key}.npz"
