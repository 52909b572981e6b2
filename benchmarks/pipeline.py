"""Whole runs: against decoding and encoding alone, at default settings, and peak memory."""

import json
import re
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from statistics import median

import av
import numpy as np

from diorama.core.memory import keep_freed_memory
from diorama.media.encoding import Encoding
from diorama.media.write import FrameWriter, StreamSpec
from diorama.pipelines.presets import DepthChoice, StereoConfig
from diorama.pipelines.stereo import StereoRun, stereo
from table import show

FULL_HD, HD = (1080, 1920), (720, 1280)


def scene(index: int, height: int, width: int) -> np.ndarray:
    """A textured ground with two moving boxes: enough for flow and x264 to have real work."""
    rng = np.random.default_rng(7)
    noise = rng.integers(0, 60, (height // 8, width // 8, 3)).astype(np.uint8)
    image = np.kron(noise, np.ones((8, 8, 1), np.uint8)) + np.linspace(60, 160, height).astype(np.uint8)[:, None, None]
    for k, color in enumerate(((220, 60, 40), (40, 90, 220))):
        x = (index * (6 + 4 * k) + 300 * k) % (width - width // 5)
        y = height // 3 + height // 5 * k
        image[y : y + height // 4, x : x + width // 8] = color
    return np.roll(image, index * 2, axis=1)


def make_clip(path: Path, size: tuple[int, int], frames: int) -> Path:
    """A synthetic clip at 24 frames/s."""
    spec = StreamSpec(size[1], size[0], Fraction(1, 24), Fraction(24))
    with FrameWriter(path, spec, Encoding("libx264", crf=20, preset="veryfast").resolved(".mp4", 8)) as writer:
        for i in range(frames):
            writer.write(scene(i, *size), i)
    return path


def make_depth(path: Path, size: tuple[int, int], frames: int) -> Path:
    """Float32 depth of the same size: a ground plane and a moving bump."""
    maps = np.lib.format.open_memmap(path, "w+", np.float32, (frames, *size))
    ys, xs = np.mgrid[: size[0], : size[1]].astype(np.float32)
    for i in range(frames):
        maps[i] = ys / size[0] + 0.6 * np.exp(-(((xs - 8 * i - 300) / 150) ** 2) - ((ys - 500) / 200) ** 2)
    maps.flush()
    return path


def decode_stack_encode(source: Path, target: Path) -> float:
    """Seconds to decode to RGB24, put the frame beside itself, and encode: nothing else."""
    began = time.perf_counter()
    with av.open(str(source)) as container, av.open(str(target), "w") as out:
        video = container.streams.video[0]
        video.thread_type = "SLICE"
        stream = out.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 2 * video.width, video.height, "yuv420p"
        stream.codec_context.options = {"preset": "veryfast", "crf": "18"}
        for frame in container.decode(video):
            image = frame.to_ndarray(format="rgb24")
            both = np.ascontiguousarray(np.concatenate([image, image], axis=1))
            out.mux(stream.encode(av.VideoFrame.from_numpy_buffer(both, format="rgb24")))
        out.mux(stream.encode(None))
    return time.perf_counter() - began


def against_baseline(folder: Path, frames: int = 240, rounds: int = 3) -> dict:
    """The whole pipeline with ready depth over the bare minimum, in the same run."""
    clip = make_clip(folder / "full.mp4", FULL_HD, frames)
    depth = make_depth(folder / "depth.npy", FULL_HD, frames)
    config = StereoConfig(depth=DepthChoice(depth=str(depth)), encoding=Encoding("libx264", preset="veryfast"))
    run = StereoRun(overwrite=True)
    stereo(clip, folder / "warm.mp4", config, run=run)
    ours, bare = [], []
    for _ in range(rounds):
        bare.append(decode_stack_encode(clip, folder / "bare.mp4"))
        ours.append(stereo(clip, folder / "ours.mp4", config, run=run).seconds)
    ratio = median(o / b for o, b in zip(ours, bare, strict=True))
    note = f"{frames / median(ours):.1f} against {frames / median(bare):.1f} frames/s"
    return row("1080p, NPY depth, full SBS veryfast: time over decode + stack + encode", ratio, 1.5, ratio <= 1.5, note)


def default_rate(folder: Path, frames: int = 96, rounds: int = 3) -> dict:
    """Frames a second of the plain command at 720p."""
    clip = make_clip(folder / "hd.mp4", HD, frames)
    run = StereoRun(overwrite=True)
    stereo(clip, folder / "warm.mp4", run=run)
    rates = [frames / stereo(clip, folder / "ours.mp4", run=run).seconds for _ in range(rounds)]
    return row("720p, default command with embedded depth: frames/s", median(rates), 12, median(rates) >= 12)


def memory(folder: Path) -> list[dict]:
    """Peak resident memory of 10 s and 60 s at 1080p, each in a process of its own."""
    peaks = []
    for seconds in (10, 60):
        clip = make_clip(folder / f"{seconds}s.mp4", FULL_HD, 24 * seconds)
        code = [sys.executable, __file__, "--peak", str(clip), str(folder / f"{seconds}s_3d.mp4")]
        peaks.append(json.loads(subprocess.run(code, capture_output=True, text=True, check=True).stdout)["gb"])
    change = peaks[1] / peaks[0] - 1
    return [
        row("1080p, 60 s: peak memory, GB", peaks[1], 1.5, peaks[1] <= 1.5),
        row("1080p: memory of 60 s over 10 s, change", change, 0.1, abs(change) <= 0.1, f"{peaks[0]:.2f} GB at 10 s"),
    ]


def row(figure: str, measured: float, goal: float, ok: bool, note: str = "") -> dict:
    """One line of the table."""
    return {"figure": figure, "measured": f"{measured:.2f}", "goal": goal, "ok": ok, "note": note}


def main() -> list[dict]:
    """All figures of whole runs."""
    keep_freed_memory()  # as the command line does
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [against_baseline(folder), default_rate(folder), *memory(folder)]
    show(rows)
    return rows


def peak(source: str, target: str) -> None:
    """Run once and print the peak resident memory."""
    keep_freed_memory()
    stereo(source, target, run=StereoRun(overwrite=True))
    status = Path("/proc/self/status").read_text()  # ru_maxrss would count the process that started this one
    print(json.dumps({"gb": int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1e6}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        peak(*sys.argv[2:4])
    else:
        main()
