"""Broken copies of sound clips, made with fixed seeds: a film, or a typed error; never a defect or a hang."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diorama.errors import DioramaError
from diorama.media.encoding import Encoding
from diorama.pipelines.presets import Clip, DepthChoice, StereoConfig
from diorama.pipelines.stereo import stereo

MUTATIONS = 30
SECONDS = 180  # the first use of a kernel compiles it
FRAMES = 8


def flip(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A few bits change, anywhere."""
    for position in rng.integers(0, len(data), int(rng.integers(1, 20))):
        data[position] ^= 1 << int(rng.integers(8))
    return data


def flip_header(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Bytes change where the tables are."""
    edges = rng.choice([0, len(data) - 1200])
    for position in rng.integers(0, 1200, int(rng.integers(1, 12))):
        data[max(0, edges) + position] = int(rng.integers(256))
    return data


def truncate(data: bytearray, rng: np.random.Generator) -> bytearray:
    """The end is missing."""
    return data[: int(rng.integers(1, len(data)))]


def splice(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A part is cut out, doubled or moved elsewhere."""
    first, last, place = sorted(int(p) for p in rng.integers(0, len(data), 3))
    part = data[first:last]
    choice = int(rng.integers(3))
    if choice == 0:
        return data[:first] + data[last:]
    return data[:place] + part + data[place if choice == 1 else min(len(data), place + len(part)) :]


KINDS = (flip, flip_header, truncate, splice)


@pytest.fixture(scope="module")
def sound(make_clip: Any, tmp_path_factory: Any) -> dict[str, bytes]:
    """One clip in both containers, and depth for as many frames as a broken one may seem to have."""
    folder = tmp_path_factory.mktemp("sound")
    return {
        name: make_clip(folder / f"a.{name}", frames=FRAMES, audio=True, codec_options={"g": "4"}).read_bytes()
        for name in ("mp4", "mkv")
    }


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """A mutation that hangs fails instead."""

    def stop(number: int, frame: Any) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("seed", range(MUTATIONS))
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_mutation(container: str, seed: int, sound: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng([seed, len(container), ord(container[1])])
    broken = tmp_path / f"in.{container}"
    broken.write_bytes(KINDS[seed % len(KINDS)](bytearray(sound[container]), rng))
    np.save(tmp_path / "d.npy", np.zeros((64, 64, 96), np.uint8))
    before = sorted(path.name for path in tmp_path.iterdir())
    config = StereoConfig(
        depth=DepthChoice(depth=str(tmp_path / "d.npy")),
        clip=Clip(tolerant=seed // len(KINDS) % 2 == 1),
        encoding=Encoding(preset="ultrafast"),
    )
    refused: DioramaError | None = None
    try:
        stereo(broken, tmp_path / "out.mp4", config)
    except DioramaError as error:
        refused = error
    if refused is None:
        assert (tmp_path / "out.mp4").is_file()
        return
    assert refused.exit_code in (3, 4, 5), refused
    assert len(str(refused).splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before
