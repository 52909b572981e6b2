"""Single maps out of a video: decoded on where that is cheaper than opening the file again."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from diorama.core.video import Frame, Video
from diorama.perception.depth_maps import VideoMaps
from diorama.perception.map_reader import READ_ON, MapReader


class Counted:
    """A video source that counts how often it is opened, and how many frames it gives."""

    def __init__(self, frames: int) -> None:
        self.frames, self.opened, self.given = frames, 0, 0

    def read(self, start: int, stop: int) -> Iterator[Frame]:
        self.opened += 1
        for index in range(start, min(stop, self.frames)):
            self.given += 1
            yield Frame(np.full((2, 2, 3), index, np.uint16), index, 1, index)


def counted(frames: int) -> tuple[Counted, MapReader]:
    source = Counted(frames)
    clock = np.arange(frames, dtype=np.int64)
    video = Video(source, clock, np.ones_like(clock), Fraction(1, 25), 2, 2, 16)
    return source, MapReader(VideoMaps(video, Path("d.mkv")))


def read(reader: MapReader, indices: Iterable[int]) -> list[int]:
    return [-1 if (found := reader.at(index)) is None else int(found[0, 0]) for index in indices]


def test_a_video_is_decoded_once_where_frames_repeat_or_are_left_out() -> None:
    source, reader = counted(600)
    slow = [index // 3 for index in range(300)]
    assert read(reader, slow) == slow
    assert (source.opened, source.given) == (1, 100)
    fast = list(range(100, 300, 2))
    assert read(reader, fast) == fast
    assert (source.opened, source.given) == (1, 299)


def test_a_video_is_opened_again_only_to_go_back_or_far_ahead() -> None:
    source, reader = counted(600)
    assert read(reader, [0, READ_ON + 1]) == [0, READ_ON + 1]
    assert source.opened == 1
    assert read(reader, [2 * READ_ON + 3, 5, 5, 4]) == [2 * READ_ON + 3, 5, 5, 4]
    assert source.opened == 4
    reader.close()
    assert read(reader, [4, 5, 600, 599]) == [4, 5, -1, 599]
    assert source.opened == 6
