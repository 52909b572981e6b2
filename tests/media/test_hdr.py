"""HDR10 metadata goes through an encode unchanged."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from diorama.core.video import ColorTags
from diorama.media.encoding import Encoding
from diorama.media.hdr import HdrMetadata
from diorama.media.probe import probe
from diorama.media.write import FrameWriter, StreamSpec

GIVEN = HdrMetadata((34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450), (10_000_000, 50), (1000, 400))


def write(path: Path, hdr: HdrMetadata | None) -> Path:
    options = {"libx265": {"x265-params": hdr.x265_params()}} if hdr else {}
    spec = StreamSpec(96, 64, Fraction(1, 24), Fraction(24), 16, ColorTags(9, 16, 9), options=options)
    with FrameWriter(path, spec, Encoding("libx265").resolved(".mkv", 10)) as writer:
        for i in range(3):
            writer.write(np.full((64, 96, 3), 20000 + i, np.uint16), i)
    return path


def test_written_metadata_is_read_back(tmp_path: Path) -> None:
    assert probe(write(tmp_path / "a.mkv", GIVEN)).hdr == GIVEN


def test_without_light_level(tmp_path: Path) -> None:
    given = HdrMetadata(GIVEN.primaries, GIVEN.luminance)
    assert probe(write(tmp_path / "a.mkv", given)).hdr == given


def test_none_where_the_stream_says_nothing(tmp_path: Path) -> None:
    assert probe(write(tmp_path / "a.mkv", None)).hdr is None
