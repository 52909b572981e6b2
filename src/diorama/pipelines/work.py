"""The unfinished half of a run: encoded pieces in a hidden folder beside the output, so that a killed run goes on.

A piece is closed before its record is written, so a record vouches for its pieces; whatever has no record is thrown
away. Long runs lose at most one piece.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diorama.core.progress import Progress
from diorama.core.video import Pixels
from diorama.errors import UsageError
from diorama.media.atomic import flush, hidden_sibling, write_bytes
from diorama.media.encoding import Encoding
from diorama.media.mux import Piece
from diorama.media.write import FrameWriter, StreamSpec


@dataclass(frozen=True, eq=False)
class Shown:
    """One finished frame.

    Attributes:
        images: one picture an output stream, all RGB of the stream's size.
        pts: ticks of the run's time base.
        index: frame number in the source.
        shot_start: source index of the first frame of its shot; a resumed run replays from there.
        shot: number of its shot.
        record: JSON-ready facts of the frame, kept for the report.
    """

    images: tuple[Pixels, ...]
    pts: int
    index: int
    shot_start: int
    shot: int
    record: dict[str, Any]


@dataclass(frozen=True)
class Done:
    """A recorded piece: its frames, and where the following one has to begin.

    Attributes:
        pts: of each stream's packets, in the order of decoding.
        last_index: output position of the last frame.
        shot_start: output position where the shot of the last frame begins.
        shot: its number.
    """

    pts: tuple[tuple[int, ...], ...]
    last_index: int
    shot_start: int
    shot: int


class WorkFolder:
    """The hidden folder ``.<output>.work`` of one run.

    Args:
        target: the output.
        identity: of the run: what it reads and its options.
        resume: go on with what is there.
        anew: without `resume`: throw it away, also where it is of this very run.

    Raises:
        UsageError: it belongs to a run with other options, and `resume` is asked for; or to this run, and neither
            `resume` nor `anew` is.
    """

    def __init__(self, target: Path, identity: str, *, resume: bool, anew: bool = False) -> None:
        self.path = hidden_sibling(target, "work")
        known = self._identity()
        if known == identity and not (resume or anew) and self._holds_work():
            fix = "--resume goes on with it, --overwrite starts anew"
            raise UsageError("an unfinished run of this very command waits", target, fix)
        if resume and known is not None and known != identity:
            raise UsageError(
                "the unfinished run was started with other options or another input",
                target,
                "use the same ones, or start anew without --resume",
            )
        if not resume or known is None:
            shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(exist_ok=True)
        write_bytes(self.path / "job.json", json.dumps({"identity": identity}).encode())

    @classmethod
    def waits(cls, target: Path) -> bool:
        """Whether an unfinished run of `target` waits to go on."""
        return (hidden_sibling(target, "work") / "job.json").is_file()

    def _holds_work(self) -> bool:
        """Whether anything is finished: a piece that is recorded, a window, a stage."""
        files = (path for path in self.path.rglob("*") if path.is_file())
        return any(path.name != "job.json" and path.suffix != ".mkv" for path in files)

    def _identity(self) -> str | None:
        try:
            return str(json.loads((self.path / "job.json").read_text())["identity"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def done(self, streams: int) -> list[Done]:
        """The recorded pieces from the first on without a gap."""
        found: list[Done] = []
        while True:
            number = len(found)
            try:
                fields = self._fields(number)
                piece = Done(tuple(tuple(p) for p in fields["pts"]), *(int(fields[k]) for k in _PLACES))
            except (OSError, ValueError, KeyError, TypeError):
                return found
            if [_size(self.piece_path(number, s)) for s in range(streams)] != fields["bytes"]:
                return found
            found.append(piece)

    def piece_path(self, number: int, stream: int) -> Path:
        """Where a piece of a stream is encoded."""
        return self.path / f"piece-{number:05d}-{stream}.mkv"

    def _fields(self, number: int) -> dict[str, Any]:
        return dict(json.loads((self.path / f"piece-{number:05d}.json").read_text()))

    def record(self, number: int, done: Done, records: Sequence[dict[str, Any]]) -> None:
        """Vouch for the pieces of `number`, all their files being closed; `records` are facts of each frame."""
        paths = [self.piece_path(number, stream) for stream in range(len(done.pts))]
        for path in paths:
            flush(path)
        fields = {**asdict(done), "bytes": [_size(path) for path in paths], "records": records}
        write_bytes(self.path / f"piece-{number:05d}.json", json.dumps(fields).encode())

    def records(self, pieces: int) -> Iterator[dict[str, Any]]:
        """The facts of every frame, read back from disk."""
        for number in range(pieces):
            yield from self._fields(number)["records"]

    def pieces(self, done: Sequence[Done], stream: int) -> tuple[Piece, ...]:
        """The recorded pieces of one stream, ready for `mux.assemble`."""
        return tuple(Piece(self.piece_path(i, stream), piece.pts[stream]) for i, piece in enumerate(done))

    def remove(self) -> None:
        """The output is complete; nothing is left to resume."""
        shutil.rmtree(self.path, ignore_errors=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


_PLACES = ("last_index", "shot_start", "shot")


@dataclass(frozen=True)
class PieceWriter:
    """Encodes finished frames into pieces of `frames` frames each, and records them.

    Attributes:
        work: where pieces go.
        specs: one output stream each.
        encoding: resolved.
        frames: length of a piece.
    """

    work: WorkFolder
    specs: tuple[StreamSpec, ...]
    encoding: Encoding
    frames: int

    def run(self, shown: Iterable[Shown], before: list[Done], progress: Progress) -> list[Done]:
        """Encode all of `shown` after the pieces in `before`; returns all pieces."""
        pieces = list(before)
        frames = iter(shown)
        while True:
            piece = self._piece(frames, len(pieces), progress)
            if piece is None:
                return pieces
            pieces.append(piece)

    def _piece(self, frames: Iterator[Shown], number: int, progress: Progress) -> Done | None:
        records: list[dict[str, Any]] = []
        last: Shown | None = None
        writers: list[FrameWriter] = []
        with ExitStack() as stack:
            for frame in frames:
                if not writers:
                    writers = [
                        stack.enter_context(FrameWriter(self.work.piece_path(number, s), spec, self.encoding))
                        for s, spec in enumerate(self.specs)
                    ]
                for writer, image in zip(writers, frame.images, strict=True):
                    writer.write(image, frame.pts)
                last = frame
                records.append(frame.record)
                progress.advance()
                if len(records) == self.frames:
                    break
        if last is None:
            return None
        pts = tuple(tuple(writer.packet_pts) for writer in writers)
        done = Done(pts, last.index, last.shot_start, last.shot)
        self.work.record(number, done, records)
        return done
