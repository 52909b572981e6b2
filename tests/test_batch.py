"""Many clips at once: what was meant, where it goes, and that one bad clip costs one clip (platform.md 4.3, row 60)."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from diorama.cli import main
from diorama.core.progress import Silent
from diorama.errors import InterruptedRunError
from diorama.pipelines import batch
from diorama.pipelines.batch import BatchJob, convert_all, plan_batch
from diorama.pipelines.presets import DepthChoice, StereoConfig
from diorama.pipelines.stereo import StereoRun

OPTIONS = ("--no-people", "--preset", "ultrafast")
ENDING = "_LRF_Full_SBS.mp4"


@pytest.fixture
def folder(make_clip: Any, tmp_path: Path, monkeypatch: Any) -> Path:
    """Two clips and a text that is named like one; the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("a", "c"):
        make_clip(tmp_path / "in" / f"{name}.mp4", frames=4)
    (tmp_path / "in" / "b.mp4").write_text("not a film")
    return tmp_path


@pytest.fixture
def here(monkeypatch: Any) -> None:
    """Convert in this process, which is quicker than in another."""

    def convert(self: Any, *job: Any) -> Any:
        result = batch._attempt(*job)
        return result if isinstance(result, batch.StereoResult) else result.restored()

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(batch._Worker, "convert", convert)
    yield
    signal.signal(signal.SIGINT, before)


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["stereo", *words, *OPTIONS])
    return int(stop.value.code or 0)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix == ".mp4"}


@pytest.mark.usefixtures("here")
def test_a_bad_clip_among_good_ones(folder: Path, capfd: Any) -> None:
    assert run("in", "-o", "out", "--skip-error") == 8
    said = capfd.readouterr().err.splitlines()
    assert said[-1].startswith("error: 1 of 3 inputs failed")
    assert names(folder / "out") == {"a" + ENDING, "c" + ENDING}
    (failure,) = map(json.loads, (folder / "out" / "failures.jsonl").read_text().splitlines())
    assert failure["input"] == "in/b.mp4"
    assert failure["exit_code"] == 3
    assert "not a recognised video" in failure["error"]


@pytest.mark.usefixtures("here")
def test_without_skip_error_the_first_failure_ends_it(folder: Path, capfd: Any) -> None:
    assert run("in/*.mp4", "-o", "out") == 3
    said = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert len(said) == 1
    assert "in/b.mp4" in said[0]
    assert names(folder / "out") == {"a" + ENDING}


@pytest.mark.usefixtures("here")
def test_all_bad(folder: Path) -> None:
    assert run("in/b.mp4", "in/none.mp4", "-o", "out", "--skip-error") == 8
    assert len((folder / "out" / "failures.jsonl").read_text().splitlines()) == 2


@pytest.mark.usefixtures("here")
def test_a_single_input_may_skip_too(folder: Path) -> None:
    assert run("in/b.mp4", "-o", "out.mp4", "--skip-error") == 8
    assert (folder / "failures.jsonl").is_file()


@pytest.mark.usefixtures("here")
def test_a_second_time_takes_only_what_is_new(folder: Path, make_clip: Any) -> None:
    """Films that Diorama made lie beside their sources, and are no inputs; --resume leaves them alone."""
    (folder / "in" / "b.mp4").unlink()
    assert run("in") == 0
    made = {path.name: path.stat().st_mtime_ns for path in (folder / "in").glob("*" + ENDING)}
    assert set(made) == {"a" + ENDING, "c" + ENDING}
    make_clip(folder / "in" / "d.mp4", frames=2)
    assert run("in", "--resume") == 0
    again = {path.name: path.stat().st_mtime_ns for path in (folder / "in").glob("*" + ENDING)}
    assert {name: again[name] for name in made} == made
    assert set(again) - set(made) == {"d" + ENDING}


@pytest.mark.parametrize(
    ("words", "code", "word"),
    [
        (("in/a.mp4", "in/c.mp4", "-o", "out.mp4"), 2, "-o is a file"),
        (("in/a.mp4", "in/a.mp4"), 2, "two inputs would write one file"),
        (("in/*.mkv",), 3, "no file fits the pattern"),
        (("in/a.mp4", f"in/a{ENDING}", "--overwrite"), 2, "another input"),
    ],
)
def test_refused_before_anything_runs(folder: Path, words: tuple[str, ...], code: int, word: str, capfd: Any) -> None:
    (folder / "in" / f"a{ENDING}").write_bytes(b"precious")
    before = sorted(folder.rglob("*"))
    assert run(*words) == code
    assert word in capfd.readouterr().err
    assert sorted(folder.rglob("*")) == before
    assert (folder / "in" / f"a{ENDING}").read_bytes() == b"precious"


def test_what_a_folder_means(folder: Path) -> None:
    """Hidden files are not meant; one video in a folder still goes into the output folder."""
    (folder / "in" / "._a.mp4").write_text("a note of the file system")
    (folder / "in" / "notes.txt").write_text("text")
    jobs = plan_batch(["in"], "out", StereoConfig())
    assert [job.source.name for job in jobs] == ["a.mp4", "b.mp4", "c.mp4"]
    assert {job.output.parent for job in jobs} == {Path("out")}
    (folder / "one").mkdir()
    shutil.copy(folder / "in" / "a.mp4", folder / "one")
    assert plan_batch(["one"], "out", StereoConfig()) == [BatchJob(Path("one/a.mp4"), Path("out") / ("a" + ENDING))]


CRASH = """
import os, signal, sys

def die(event, arguments):
    if event == "open" and str(arguments[0]).endswith("b.mp4"):
        os.kill(os.getpid(), signal.SIGSEGV)

if any("spawn_main" in word for word in sys.orig_argv):
    sys.addaudithook(die)
"""


def test_a_crash_costs_one_clip(folder: Path, monkeypatch: Any) -> None:
    """The process that reads b.mp4 dies as of a fault in a decoder; the clips around it are converted."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(CRASH)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder / "site"), os.environ.get("PYTHONPATH", "")]))
    config = StereoConfig(depth=DepthChoice(people=False))
    jobs = plan_batch(["in"], "out", config)
    results, (failure,) = convert_all(jobs, config, StereoRun(), Silent(), skip_error=True)
    assert [result.files[0].name for result in results] == ["a" + ENDING, "c" + ENDING]
    assert failure.source == Path("in/b.mp4")
    assert "crashed" in failure.error


COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us without
from diorama.cli import main
main(sys.argv[1:])
"""


def test_ctrl_c_reaches_the_clip_at_work(folder: Path, make_clip: Any) -> None:
    """A terminal sends it to every process at once."""
    make_clip(folder / "in" / "a.mp4", frames=500)
    words = [sys.executable, "-c", COMMAND, "stereo", "in", "-o", "out", "--skip-error", *OPTIONS]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    for _ in range(400):
        if list(folder.glob("out/.*.work/job.json")) or process.poll() is not None:
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    quiet = "note: ", "terminate called"  # the latter by a library whose threads end with the process, now and then
    assert said.count("terminate called") <= 1
    assert [line for line in said.splitlines() if not line.startswith(quiet)] == [said.splitlines()[-1]]
    assert said.splitlines()[-1].startswith("error: stopped")
    assert "--resume" in said
    assert names(folder / "out") == set()


def test_an_interrupted_clip_is_no_failure(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(batch._Worker, "convert", lambda *_: InterruptedRunError("stopped"))
    with pytest.raises(InterruptedRunError):
        convert_all(plan_batch(["in"], "", StereoConfig()), StereoConfig(), StereoRun(), Silent(), skip_error=True)
    assert not list(folder.rglob("failures.jsonl"))
