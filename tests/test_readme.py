"""Every command that the README shows is run as it stands there, in order, in a folder with a clip to work on."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```(?:console|sh|shell|bash)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
FRAMES, HEIGHT, WIDTH = 24, 64, 96


def commands(text: str) -> list[str]:
    """The ``diorama`` lines of shell blocks, without prompts, with continued lines joined."""
    lines = [line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    stripped = [line.strip().removeprefix("$ ").strip() for line in lines]
    return [line for line in stripped if line == "diorama" or line.startswith("diorama ")]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    """A folder with everything that the README's commands name."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("clip.mp4", "other.mp4"):
        make_clip(folder / name, frames=FRAMES, size=(HEIGHT, WIDTH), audio=True)
    ramp = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None].repeat(WIDTH, axis=1)
    np.save(folder / "depth.npy", np.broadcast_to(ramp, (FRAMES, HEIGHT, WIDTH)))
    (folder / "clips").mkdir()
    for name in ("one.mp4", "two.mp4"):
        make_clip(folder / "clips" / name, frames=4, size=(HEIGHT, WIDTH))
    return folder


def test_the_commands_are_found() -> None:
    text = """
```console
$ diorama stereo a.mp4 \\
    -o b.mp4
# diorama stereo commented.mp4
make demo
diorama doctor
```
```text
diorama stereo ignored.mp4
```
"""
    assert [shlex.split(line) for line in commands(text)] == [
        ["diorama", "stereo", "a.mp4", "-o", "b.mp4"],
        ["diorama", "doctor"],
    ]


def test_the_commands_of_the_readme_work(workshop: Path) -> None:
    lines = commands(README.read_text())
    assert len(lines) >= 3, "the README shows how to use it"
    assert any(line.startswith("diorama stereo clip.mp4") for line in lines)
    for line in lines:
        done = _run(line, workshop)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert not list(workshop.rglob(".*.work")), f"{line} left something unfinished"


def _run(line: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """In a process of its own: the command ends its process, and prints."""
    given = shlex.split(line, comments=True)[1:]
    return subprocess.run(
        [sys.executable, "-m", "diorama", *given], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_pictures_of_the_readme_exist() -> None:
    shown = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", README.read_text())
    assert shown, "a picture of a result near the top"
    for words, path in shown:
        assert words, "pictures are described in words"
        assert (README.parent / path).is_file(), path


def test_links_within_the_project_lead_somewhere() -> None:
    for target in re.findall(r"(?<!!)\[[^\]]+\]\(([^)#]+)[^)]*\)", README.read_text()):
        if "://" not in target:
            assert (README.parent / target).exists(), target
