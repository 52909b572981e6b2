"""The first look at a clip: who is where, how the camera moves, key frames; then a body for everybody."""

import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Int64

from diorama.core.parallel import ahead
from diorama.core.person import Track
from diorama.core.progress import Progress
from diorama.core.video import Video
from diorama.media.atomic import atomic_path, write_bytes
from diorama.perception.background import KeyFrames
from diorama.perception.base import Tracked
from diorama.perception.camera_motion import CameraMotion
from diorama.perception.people_follow import Finder, Refiner, follow
from diorama.perception.people_frames import LEAST, SURE, PeopleFrame, tracks
from diorama.perception.people_hub_find import HubFinder
from diorama.perception.people_log import MaskLog, read_masks
from diorama.perception.people_mask import SoftMask
from diorama.perception.shots import reduced_size, track

PERSON = 0.3
"""Coverage from which on a pixel is kept out of the background."""


@dataclass(frozen=True, eq=False)
class People:
    """Who is seen in a clip.

    Attributes:
        tracks: everybody, in the order of their numbers.
        shots: number of each frame's shot.
    """

    tracks: tuple[Track, ...]
    shots: Int64[np.ndarray, " t"]


def look(
    video: Video,
    finder: Finder | None,
    keys: KeyFrames,
    folder: Path,
    progress: Progress,
    *,
    trusted: bool,
    refiner: Refiner | None = None,
) -> People:
    """Read the clip once: masks go to `folder`, key frames to `keys`.

    Args:
        video: the clip; its frames are numbered from 0.
        finder: who finds people; None: the embedded one.
        keys: receives key frames and the camera's motion.
        folder: for masks and tracks; a finished look is read from it again.
        progress: told of frames.
        trusted: people come from files, and are believed however short and unsure.
        refiner: knows some things better than the finder.
    """
    if (folder / "people.json").is_file():
        return _read_people(folder)
    progress.begin("people", len(video))
    held: deque[Tracked] = deque()
    camera, shots, start = CameraMotion(), list[int](), video.start

    def kept() -> Iterator[Tracked]:
        for tracked in ahead(track(ahead(video), moving=False), 2):
            held.append(tracked)
            yield tracked

    with _stages_in_threads(), MaskLog(folder / "masks.log") as log:

        def each(frame: PeopleFrame) -> None:
            tracked = held.popleft()
            people = union(tracked, [sighting.mask for sighting in frame.people])
            keys.see(tracked, people, camera(tracked, people))
            log.write(frame)
            shots.append(frame.shot)
            progress.advance()

        followed = follow(kept(), finder, refiner=refiner)
        counted = (replace(frame, index=frame.index - start) for frame in followed)
        least, sure = (1, 0) if trusted else finder.belief if isinstance(finder, HubFinder) else (LEAST, SURE)
        found = tracks(ahead(counted), each, least=least, sure=sure)
    keys.finish()
    people = People(found, np.array(shots, np.int64))
    _write_people(folder, people)
    return people


@contextmanager
def _stages_in_threads() -> Iterator[None]:
    """OpenCV in one thread, while several stages have one each: its own would wait for each other, busily."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def union(tracked: Tracked, masks: list[SoftMask]) -> Bool[np.ndarray, "sh sw"]:
    """Where anybody is, on the frame's reduced picture."""
    height, width = tracked.small.shape[:2]
    scale = height / tracked.frame.image.shape[0]
    total = np.zeros((height, width), bool)
    for mask in masks:
        total |= mask.whole(height, width, scale=scale) > PERSON
    return total


def outline_masks(log: Path, person: Track, height: int, width: int) -> Bool[np.ndarray, "t h w"]:
    """A person's masks from its first to its last frame, of a clip of `height` x `width`, at reduced size."""
    size = reduced_size(height, width)
    first, last = int(person.frames[0]), int(person.frames[-1])
    out = np.zeros((last - first + 1, *size), bool)
    for index, masks in read_masks(log):
        if index > last:
            break
        if index >= first and person.number in masks:
            out[index - first] = masks[person.number].whole(*size, scale=size[0] / height) > 0.5
    return out


def _write_people(folder: Path, people: People) -> None:
    arrays: dict[str, np.ndarray] = {"shots": people.shots}
    for person in people.tracks:
        for part in ("frames", "boxes", "scores", "landmarks", "world"):
            if getattr(person, part) is not None:
                arrays[f"{person.number}.{part}"] = getattr(person, part)
    with atomic_path(folder / "people.npz") as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    write_bytes(folder / "people.json", json.dumps([person.number for person in people.tracks]).encode())


def _read_people(folder: Path) -> People:
    with np.load(folder / "people.npz", allow_pickle=False) as arrays:
        found = [_track(arrays, int(n)) for n in json.loads((folder / "people.json").read_text())]
        return People(tuple(found), arrays["shots"])


def _track(arrays: "np.lib.npyio.NpzFile", number: int) -> Track:
    frames, boxes, scores, landmarks = (arrays[f"{number}.{p}"] for p in ("frames", "boxes", "scores", "landmarks"))
    return Track(number, frames, boxes, scores, landmarks, arrays.get(f"{number}.world"))
