"""Every command that the README shows is run as it stands there, in order, in a folder with a clip to work on."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from diorama.cli import main
from diorama.media.mesh import write_glb
from diorama.theatre.menagerie import random_creature, random_motion

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
    make_clip(folder / "clips" / "one.mp4", frames=4, size=(HEIGHT, WIDTH))
    (folder / "models").mkdir()
    creature = random_creature(np.random.default_rng(0), "hand")
    motion = random_motion(np.random.default_rng(0), creature)
    write_glb(folder / "models" / "hand.glb", creature.figure, {"move": motion})
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


def test_the_commands_of_the_readme_work(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = commands(README.read_text())
    assert len(lines) >= 3, "the README shows how to use it"
    assert any(line.startswith("diorama stereo clip.mp4") for line in lines)
    monkeypatch.chdir(workshop)
    for line in lines:
        with pytest.raises(SystemExit) as left:  # in this process: starting one for each takes most of the time
            main(shlex.split(line, comments=True)[1:])
        assert left.value.code == 0, line
        assert not list(workshop.rglob(".*.work")), f"{line} left something unfinished"


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
