"""A run that is stopped, killed, or out of disk: never a half file under the final name, and --resume goes on."""

import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from diorama.cli import main
from diorama.core.progress import Silent
from diorama.errors import InterruptedRunError, UsageError
from diorama.media.encoding import Encoding
from diorama.pipelines.presets import DepthChoice, Look, StereoConfig
from diorama.pipelines.stereo import StereoRun, stereo

FRAMES = 24
PIECE = 5
CUT = 13  # first frame of the second shot

DRIVER = """
import os, signal, sys
from pathlib import Path
from diorama.core.progress import Silent
from diorama.pipelines import finish
from diorama.pipelines import stereo as module
from diorama.pipelines.presets import DepthChoice, Encoding, StereoConfig

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

class Deadly(Silent):
    "Kills its process at a frame."
    def __init__(self, frame):
        super().__init__()
        self.left = frame
    def advance(self, steps=1):
        self.left -= steps
        if self.left <= 0:
            die()

CONFIG = StereoConfig(depth=DepthChoice(people=False), encoding=Encoding(preset="ultrafast"))
source, *points = sys.argv[1:]
for point in points:  # each in a fork of this process, which has not begun any thread
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        print(point, os.WTERMSIG(status), flush=True)
        continue
    name, _, frame = point.partition("-")
    if name != "frame":
        setattr(finish, name, die)
    progress = Deadly(int(frame or 10**9))
    module.stereo(source, f"{point}.mp4", CONFIG, run=module.StereoRun(piece_frames=PIECE), progress=progress)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def clip(make_clip: Any, tmp_path_factory: Any) -> Path:
    """Two shots, with sound."""

    def image(index: int, height: int, width: int) -> np.ndarray:
        ys, xs = np.mgrid[:height, :width]
        waves = np.sin((xs + 2 * index) / 9) if index < CUT else np.cos((ys - index) / 5)
        shade = 130 + 90 * waves
        return np.stack([shade, shade * (index < CUT), 255 - shade], -1).clip(0, 255).astype(np.uint8)

    return make_clip(tmp_path_factory.mktemp("clip") / "in.mp4", frames=FRAMES, audio=True, image=image)


@pytest.fixture(scope="module")
def config() -> Any:
    """As in the driver."""
    return StereoConfig(depth=DepthChoice(people=False), encoding=Encoding(preset="ultrafast"))


@pytest.fixture(scope="module")
def whole(clip: Path, config: Any, tmp_path_factory: Any) -> Path:
    """An uninterrupted run."""
    target = tmp_path_factory.mktemp("whole") / "out.mp4"
    stereo(clip, target, config, run=StereoRun(piece_frames=PIECE))
    return target


def frames_of(path: Path) -> list[tuple[int, str]]:
    """Time and hash of every decoded frame, and the sound's packets."""
    with av.open(str(path)) as container:
        found = [(f.pts, hashlib.sha1(f.to_ndarray().tobytes()).hexdigest()) for f in container.decode(video=0)]
    with av.open(str(path)) as container:
        return found + [(p.pts, hashlib.sha1(bytes(p)).hexdigest()) for p in container.demux(audio=0) if p.size]


POINTS = (*(f"frame-{n}" for n in (5, 14, 24)), "publish", "write_bytes")


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """Tests that a shell runs in the background ignore Ctrl-C otherwise."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def killed(clip: Path, tmp_path_factory: Any) -> Path:
    """A folder with runs killed at every point."""
    folder = tmp_path_factory.mktemp("killed")
    driver = DRIVER.replace("PIECE", str(PIECE))
    words = [sys.executable, "-c", driver, str(clip), *POINTS]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.split() == [word for point in POINTS for word in (point, str(int(signal.SIGKILL)))]
    return folder


def test_without_resume_a_killed_run_is_neither_thrown_away_nor_gone_on_with(
    killed: Path, clip: Path, config: Any
) -> None:
    target = killed / "frame-24.mp4"
    kept = sorted(path.name for path in (killed / ".frame-24.mp4.work").iterdir())
    with pytest.raises(UsageError, match=r"unfinished run .* --resume .* --overwrite"):
        stereo(clip, target, config, run=StereoRun(piece_frames=PIECE))
    assert sorted(path.name for path in (killed / ".frame-24.mp4.work").iterdir()) == kept


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_goes_on(point: str, killed: Path, clip: Path, whole: Path, config: Any) -> None:
    """Row 41: the same frames at the same times as an uninterrupted run."""
    target = killed / f"{point}.mp4"
    published = point == "write_bytes"  # killed while the report is written, after the film had its name
    assert target.exists() == published
    result = stereo(clip, target, config, run=StereoRun(resume=True, piece_frames=PIECE))
    assert frames_of(target) == frames_of(whole)
    assert result.frames == FRAMES
    if point != "frame-5" and not published:
        assert any("going on at frame" in note for note in result.notes)
    assert not list(killed.glob(f".{point}.mp4*"))


def test_what_is_left_of_nothing_finished_is_cleared_away(
    killed: Path, clip: Path, config: Any, tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    work = tmp_path / ".out.mp4.work"
    work.mkdir()
    (work / "piece-00000-0.mkv").write_bytes(b"rubbish")
    (tmp_path / ".out.mp4.partial-1").write_bytes(b"rubbish")
    stereo(clip, target, config)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["out.mp4", "out.mp4.comfort.json", "out.mp4.comfort.png", "out.mp4.diorama.json"]
    )


def test_resume_refuses_other_options(clip: Path, config: Any, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with pytest.raises(InterruptedRunError):
        stereo(clip, target, config, run=StereoRun(piece_frames=PIECE), progress=Stopping(9))
    other = replace(config, look=Look(divergence=1.0))
    with pytest.raises(UsageError, match="other options"):
        stereo(clip, target, other, run=StereoRun(resume=True, piece_frames=PIECE))


class Stopping(Silent):
    """Presses Ctrl-C at a frame."""

    def __init__(self, frame: int) -> None:
        super().__init__()
        self.left = frame

    def advance(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("frame", [1, 14])
def test_a_stopped_run_goes_on(frame: int, clip: Path, whole: Path, config: Any, tmp_path: Path) -> None:
    """Row 42, in the library; a run stopped within its first piece keeps nothing."""
    target = tmp_path / "out.mp4"
    with pytest.raises(InterruptedRunError) as stopped:
        stereo(clip, target, config, run=StereoRun(piece_frames=PIECE), progress=Stopping(frame))
    assert ("--resume" in str(stopped.value)) == (frame > PIECE)
    assert {p.name for p in tmp_path.iterdir()} == ({".out.mp4.work"} if frame > PIECE else set())
    stereo(clip, target, config, run=StereoRun(resume=True, piece_frames=PIECE))
    assert frames_of(target) == frames_of(whole)


COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us without
from diorama.cli import main
main(sys.argv[1:])
"""


def test_ctrl_c_and_a_second_process(make_clip: Any, tmp_path: Path, capfd: Any, monkeypatch: Any) -> None:
    """Rows 42 and 43: the second process is refused; the first, stopped, says how to go on."""
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "in.mp4", frames=400, image=lambda i, h, w: np.full((h, w, 3), i % 250, np.uint8))
    words = ["stereo", "in.mp4", "-o", "out.mp4", "--no-people", "--preset", "ultrafast"]
    first = subprocess.Popen([sys.executable, "-c", COMMAND, *words], stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / ".out.mp4.work" / "piece-00000.json", first)
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert f"process {first.pid} on" in one_error(capfd.readouterr().err)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=30)
    assert first.returncode == 130
    assert "--resume" in one_error(said)
    assert {p.name for p in tmp_path.iterdir()} == {"in.mp4", ".out.mp4.work"}


def test_a_dead_process_holds_no_lock(clip: Path, config: Any, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    code = "import os, sys; from diorama.media.lock import RunLock; from pathlib import Path\n"
    code += "RunLock(Path(sys.argv[1])).__enter__(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert (tmp_path / ".out.mp4.lock").exists()
    assert stereo(clip, target, config).frames == FRAMES


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    for _ in range(600):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise TimeoutError(path)


def one_error(said: str) -> str:
    lines = [line for line in said.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1, said
    assert lines[0].startswith("error: ")
    return lines[0]


FULL = """
import os, resource, sys
from pathlib import Path
from diorama.pipelines import stereo as module
from diorama.pipelines.presets import DepthChoice, Encoding, StereoConfig
from diorama.errors import DioramaError
CONFIG = StereoConfig(depth=DepthChoice(people=False), encoding=Encoding(preset="ultrafast"))
for limit in sys.argv[2:]:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    try:
        module.stereo(sys.argv[1], f"{limit}.mp4", CONFIG, run=module.StereoRun(overwrite=True, piece_frames=PIECE))
        print(limit, "done", flush=True)
    except DioramaError as error:
        print(limit, error.exit_code, error, flush=True)
    os._exit(0)
"""


def test_a_full_disk(clip: Path, whole: Path, config: Any, tmp_path: Path) -> None:
    """Row 39: no file may grow over a limit, which fails as a full disk does; then there is room again."""
    again = StereoRun(overwrite=True, resume=True, piece_frames=PIECE)
    limits = (10, 3000, 12000)  # the lock, a piece, the whole film
    for limit in limits:
        (tmp_path / f"{limit}.mp4").write_bytes(b"precious")
    words = [sys.executable, "-c", FULL.replace("PIECE", str(PIECE)), str(clip), *map(str, limits)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=True)
    for limit, line in zip(limits, done.stdout.splitlines(), strict=True):
        assert line.startswith(f"{limit} 5 "), line
        assert (tmp_path / f"{limit}.mp4").read_bytes() == b"precious"
        stereo(clip, tmp_path / f"{limit}.mp4", config, run=again)
        assert frames_of(tmp_path / f"{limit}.mp4") == frames_of(whole)


def test_resume_replaces_no_file_of_anothers(clip: Path, config: Any, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"precious")
    with pytest.raises(UsageError, match="exists"):
        stereo(clip, target, config, run=StereoRun(resume=True, piece_frames=PIECE))
    assert target.read_bytes() == b"precious"
