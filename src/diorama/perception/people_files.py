"""People that someone else found: boxes, landmarks and masks from files.

Boxes: CSV with a head (``frame,left,top,right,bottom`` and optionally ``person``, ``score``), CSV as in the MOT
Challenge (no head: frame from 1, person, left, top, width, height, ...), or JSON, a list of ``{"frame", "box",
"person", "score"}``. Landmarks: JSON, a list of ``{"frame", "keypoints", "person", "score"}`` (COCO's results with
``image_id``, ``track_id`` and ``bbox`` are such a list), or a folder of OpenPose's ``..._keypoints.json``, one a frame.
Frames count from 0, places are pixels of the clip.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from diorama.core.person import Box, Points
from diorama.errors import UsageError
from diorama.media.fields import Field, parse
from diorama.media.safe import Limits, local_path, regular_file
from diorama.perception.depth_maps import open_maps
from diorama.perception.map_reader import MapReader
from diorama.perception.people_mask import SoftMask
from diorama.perception.people_points import to_landmarks

MOST_BYTES = 500_000_000
MOST_ENTRIES = 2_000_000
MOST_PEOPLE = 64  # in one frame
BEYOND = 2.0  # sides of the frame that a point may lie outside: limbs go on where the picture ends
HEAD = ("frame", "left", "top", "right", "bottom")
_FRAME, _PERSON = ("frame", "image_id"), ("person", "track_id")


@dataclass(frozen=True)
class ClipSize:
    """What a file must fit: number of frames, and pixels of each."""

    frames: int
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class GivenPerson:
    """What a file says about one person in one frame.

    Attributes:
        box: left, top, right, bottom in pixels.
        number: who it is, from 1; None where the file does not say.
        landmarks: None where the file has boxes only.
        score: 0..1.
    """

    box: Box
    number: int | None = None
    landmarks: Points | None = None
    score: float = 1.0


@dataclass(frozen=True, eq=False)
class GivenPeople:
    """People of a clip by frame number; frames without anybody are left out.

    Raises:
        UsageError: nobody at all, more than `MOST_PEOPLE` in a frame, one person twice in a frame.
    """

    frames: Mapping[int, tuple[GivenPerson, ...]]
    where: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not self.frames:
            raise UsageError("nobody in any frame", self.where, "give at least one box")
        for index, people in self.frames.items():
            if len(people) > MOST_PEOPLE:
                raise UsageError(f"frame {index}: {len(people)} people are over the limit of {MOST_PEOPLE}", self.where)
            numbers = [person.number for person in people if person.number is not None]
            if len(set(numbers)) < len(numbers):
                raise UsageError(f"frame {index}: one person twice", self.where, "number people differently")


def read_boxes(given: str | Path, size: ClipSize) -> GivenPeople:
    """Boxes from CSV or JSON.

    Raises:
        MediaError: no such file.
        UsageError: not such a document, NaN, empty boxes, frames or places beyond the clip; says the line.
    """
    path = regular_file(given)
    if path.suffix.lower() == ".json":
        return _gathered(_json_entries(path, size, points=False), path)
    return _gathered(_csv_entries(path, size), path)


def read_landmarks(given: str | Path, size: ClipSize) -> GivenPeople:
    """Landmarks from JSON with 17, 25, 33 or 133 points a person, or from a folder of OpenPose's files.

    Raises:
        MediaError: no such file or folder.
        UsageError: not such a document, a number of points that is not known, NaN, frames or places beyond the clip.
    """
    path = local_path(given)
    if path.is_dir():
        return _gathered(_openpose_entries(path, size), path)
    return _gathered(_json_entries(regular_file(path), size, points=True), path)


class MaskFile:
    """One person's masks: a folder of numbered pictures, one picture, an array or a grey video, one mask a frame.

    Integers span 0 to the type's maximum, floats and booleans 0..1. For one thread at a time; holds one mask.

    Raises:
        MediaError: missing or of no supported kind.
        UsageError: another number of masks than frames, another shape of picture, values out of range (when read).
    """

    def __init__(self, given: str | Path, size: ClipSize, limits: Limits | None = None) -> None:
        self._maps, self._where, self._size = open_maps(given, limits), str(given), size
        if self._maps.count != size.frames:
            raise UsageError(f"{self._maps.count} masks, expected {size.frames}, one a frame", given)
        wide, high = self._maps.width, self._maps.height
        if abs(wide * size.height - high * size.width) > 0.02 * wide * size.height:
            raise UsageError(f"masks of {wide}x{high}, expected the shape of {size.width}x{size.height}", given)
        self._reader = MapReader(self._maps)

    def at(self, index: int) -> SoftMask:
        """The mask of frame number `index`."""
        stored = self._reader.at(index)
        if stored is None:
            raise UsageError(f"no mask for frame {index}", self._where)
        most = np.iinfo(stored.dtype).max if stored.dtype.kind in "ui" else 1
        values = stored.astype(np.float32) / np.float32(most)
        if not (values.min() >= 0 and values.max() <= 1):  # NaN too
            raise UsageError(f"frame {index}: masks outside 0..1", self._where, "give coverage, 0 to 1 or 0 to 255")
        step_x, step_y = self._size.width / stored.shape[1], self._size.height / stored.shape[0]
        return SoftMask(values, np.array([[step_x, 0, 0], [0, step_y, 0]], np.float64))

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        self._reader.close()


Entry = tuple[int, GivenPerson]


def _gathered(entries: Iterator[Entry], path: Path) -> GivenPeople:
    frames: dict[int, list[GivenPerson]] = {}
    for index, person in entries:
        frames.setdefault(index, []).append(person)
    return GivenPeople({index: tuple(frames[index]) for index in sorted(frames)}, str(path))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _json_entries(path: Path, size: ClipSize, *, points: bool) -> Iterator[Entry]:
    for item in parse(_read(path), str(path), most=MOST_BYTES).items(MOST_ENTRIES):
        entry = item.entries()
        index = _first(entry, _FRAME, item).integer(0, size.frames - 1)
        number = next((entry[key].integer(0) + int(key != "person") for key in _PERSON if key in entry), None)
        if number == 0:
            item.refuse("person 0", "people count from 1")
        score = min(1.0, max(0.0, entry["score"].number())) if "score" in entry else 1.0
        if points:
            landmarks = to_landmarks(_triples(_first(entry, ("keypoints", "landmarks"), item)), f"{path}, {item.path}")
            box = _box_of(landmarks, size, f"{path}, {item.path}")
            yield index, GivenPerson(box, number, landmarks, score)
        elif "box" in entry:
            yield index, GivenPerson(_box(_numbers(entry["box"], 4), size, f"{path}, {item.path}"), number, None, score)
        else:
            left, top, width, height = _numbers(_first(entry, ("bbox",), item), 4)
            sides = np.array([left, top, left + width, top + height])
            yield index, GivenPerson(_box(sides, size, f"{path}, {item.path}"), number, None, score)


def _openpose_entries(folder: Path, size: ClipSize) -> Iterator[Entry]:
    files = sorted(folder.glob("*_keypoints.json"))
    if len(files) != size.frames:
        raise UsageError(f"{len(files)} files *_keypoints.json, expected {size.frames}, one a frame", folder)
    for index, file in enumerate(files):
        people = parse(_read(regular_file(file)), str(file), most=10_000_000).entries()
        for person in people["people"].items(MOST_PEOPLE) if "people" in people else []:
            triples = _triples(_first(person.entries(), ("pose_keypoints_2d",), person))
            if (triples[:, 2] > 0).sum() < 4:
                continue  # OpenPose writes people of whom it saw a hand only
            landmarks = to_landmarks(triples, f"{file}, {person.path}")
            yield index, GivenPerson(_box_of(landmarks, size, file), None, landmarks)


def _csv_entries(path: Path, size: ClipSize) -> Iterator[Entry]:
    data = _read(path)
    if len(data) > MOST_BYTES:
        raise UsageError(f"more than {MOST_BYTES} bytes", path)
    try:
        rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"not a table ({error})", path, "give CSV or JSON") from None
    names = [name.strip().lower() for name in rows[0]] if rows else []
    if "frame" in names:
        missing = [name for name in HEAD if name not in names]
        if missing:
            raise UsageError(f"no column {', '.join(missing)}", path, f"expected {', '.join(HEAD)}")
    start = int("frame" in names)
    for line, row in enumerate(rows[start:], start + 1):
        if row:
            yield _csv_entry(row, names if start else None, size, f"{path}, line {line}")


def _csv_entry(row: list[str], names: list[str] | None, size: ClipSize, where: str) -> Entry:
    try:
        numbers = [float(cell) for cell in row if cell.strip() or names is None]
    except ValueError:
        raise UsageError("a cell that is no number", where) from None
    if len(numbers) < (6 if names is None else len(names)):
        raise UsageError(f"{len(numbers)} numbers, expected {6 if names is None else len(names)}", where)
    if names is None:  # the MOT Challenge counts frames from 1 and writes person -1 where it is not known
        frame, person, left, top, width, height = numbers[:6]
        cells = {"frame": frame - 1, "left": left, "top": top, "right": left + width, "bottom": top + height}
        cells |= {"person": person} if person > 0 else {}
    else:
        cells = dict(zip(names, numbers, strict=False))
    if not all(np.isfinite(value) for value in cells.values()):
        raise UsageError("NaN or infinity", where)
    if cells["frame"] != int(cells["frame"]) or not 0 <= cells["frame"] < size.frames:
        raise UsageError(f"frame {cells['frame']:g} of a clip of {size.frames} frames (from 0)", where)
    number = int(cells["person"]) if "person" in cells else None
    if number is not None and number < 1:
        raise UsageError(f"person {number}", where, "people count from 1")
    box = _box(np.array([cells[name] for name in HEAD[1:]]), size, where)
    return int(cells["frame"]), GivenPerson(box, number, None, min(1.0, max(0.0, cells.get("score", 1.0))))


def _first(entry: Mapping[str, Field], names: tuple[str, ...], whole: Field) -> Field:
    for name in names:
        if name in entry:
            return entry[name]
    return whole.refuse(f"no {' or '.join(names)}")


def _numbers(values: Field, count: int) -> Float64[np.ndarray, "n"]:
    items = values.items(count)
    if len(items) != count:
        values.refuse(f"{len(items)} numbers, expected {count}")
    return np.array([item.number() for item in items], np.float64)


def _triples(values: Field) -> Float64[np.ndarray, "n 3"]:
    """x, y, confidence of each point, flat as COCO writes them or point by point."""
    items = values.items(3 * 133)
    if items and isinstance(items[0].value, list):
        return np.stack([_numbers(item, 3) for item in items])
    if len(items) % 3:
        values.refuse(f"{len(items)} numbers, expected x, y and confidence of each point")
    return np.array([item.number() for item in items], np.float64).reshape(-1, 3)


def _box(sides: Float64[np.ndarray, "4"], size: ClipSize, where: object) -> Box:
    if (sides[2:] <= sides[:2]).any():
        raise UsageError(f"an empty box {sides.tolist()}", where, "boxes are left, top, right, bottom in pixels")
    if sides.max() <= 1.0:
        raise UsageError(f"a box {sides.tolist()} of less than a pixel", where, "give pixels, not parts of the picture")
    if (sides[:2] >= [size.width, size.height]).any() or (sides[2:] <= 0).any():
        raise UsageError(f"a box {sides.tolist()} outside {size.width}x{size.height}", where, "is it another clip's?")
    _near(sides.reshape(2, 2), size, where)
    return sides.astype(np.float32)


def _box_of(landmarks: Points, size: ClipSize, where: object) -> Box:
    """The box around what is known of a body, with a tenth of its size around it for flesh and hair."""
    points = landmarks[landmarks[:, 2] > 0, :2].astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    if high.max() <= 1.0:
        raise UsageError("points within one pixel", where, "give pixels, not parts of the picture")
    _near(points, size, where)
    room = 0.1 * (high - low).max()
    return np.concatenate([low - room, np.maximum(high, low + 1) + room]).astype(np.float32)


def _near(points: Float64[np.ndarray, "n 2"], size: ClipSize, where: object) -> None:
    most = np.array([size.width, size.height], np.float64)
    if (points < -BEYOND * most).any() or (points > (1 + BEYOND) * most).any():
        raise UsageError(f"places far outside {size.width}x{size.height}", where, "give pixels of this clip")
