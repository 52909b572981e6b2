"""Clips made on the spot: small, deterministic, of every shape a test asks for."""

import importlib
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import hypothesis
import numpy as np
import pytest

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # tests run side by side; threads beyond the cores spin, and starve each other
hypothesis.settings.register_profile("diorama", deadline=None)  # first calls compile kernels
hypothesis.settings.load_profile("diorama")

ROOT = Path(__file__).parent.parent
_CACHE = ROOT / ".numba_cache" / os.environ.get("PYTEST_XDIST_WORKER", "main")
# Two processes that save kernels of different signatures at once can mix up numba's files: each process gets its own,
# and so do the processes that tests start, whose code is not instrumented.
os.environ["NUMBA_CACHE_DIR"] = str(_CACHE / "checked")
importlib.import_module("numba")
os.environ["NUMBA_CACHE_DIR"] = str(_CACHE / "plain")


def picture(index: int, height: int, width: int) -> np.ndarray:
    """A smooth background with a moving bright box: textured, different in every frame."""
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    image = np.stack([xs * 255 / width, ys * 255 / height, 128 + 60 * np.sin(xs / 7 + ys / 11)], axis=-1)
    x, y, side = (7 + 5 * index) % max(1, width - width // 4), height // 3, max(2, height // 4)
    image[y : y + side, x : x + side] = (240, 230, 40)
    return image.clip(0, 255).astype(np.uint8)


def write_clip(
    path: Path,
    *,
    frames: int = 12,
    size: tuple[int, int] = (64, 96),
    fps: int = 24,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    pts: list[int] | None = None,
    time_base: Fraction | None = None,
    audio: bool = False,
    rotation: int = 0,
    sar: Fraction | None = None,
    tags: tuple[int, int, int, int] | None = None,
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
    image: Callable[[int, int, int], np.ndarray] = picture,
) -> Path:
    """Encode a small clip; see the arguments for what it can be made to look like."""
    height, width = size
    with av.open(str(path), "w", options=options or {}) as out:
        video = out.add_stream(codec, rate=fps)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        context = video.codec_context
        context.options = codec_options or {}
        if time_base is not None:
            video.time_base = context.time_base = time_base
        if sar is not None:
            context.sample_aspect_ratio = sar
        if rotation:
            video.set_display_rotation(rotation)
        if tags is not None:
            context.color_primaries, context.color_trc, context.colorspace, context.color_range = tags
        sound = out.add_stream("aac", rate=16000, layout="mono") if audio else None
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(image(i, height, width), format="rgb24").reformat(format=pix_fmt)
            frame.pts = pts[i] if pts else i
            frame.time_base = time_base or Fraction(1, fps)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if sound is not None:
            _sound(out, sound, seconds=frames / fps)
    return path


def _sound(out: Any, stream: Any, *, seconds: float) -> None:
    count = int(seconds * 16000)
    wave = (8000 * np.sin(np.arange(count) * 2 * np.pi * 440 / 16000)).astype(np.int16)
    for start in range(0, count, 1024):
        chunk = wave[None, start : start + 1024]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(chunk), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """The clip factory, as a fixture."""
    return write_clip


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """Real clips beside the checkout; tests that need them skip where they are absent."""
    folder = ROOT.parent / "shared" / "media"
    if not folder.is_dir():
        pytest.skip("no shared media beside this checkout")
    return folder
