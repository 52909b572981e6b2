"""``diorama data`` as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "diorama", "data", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
    )


def test_make_and_look(tmp_path: Path) -> None:
    small = ("--size", "48", "--frames", "2", "--workers", "1")
    done = run("theatre", "--recipe", "person", "-n", "2", "-o", "set", *small, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["files"] == ["set/person-00000.tar"]
    looked = run("look", "set", cwd=tmp_path)
    assert looked.returncode == 0, looked.stderr
    assert "look.png" in looked.stdout
    with Image.open(tmp_path / "set/look.png") as sheet:
        assert sheet.width > 1000
    other = run("theatre", "--recipe", "person", "-n", "2", "-o", "set", *small, "--seed", "9", cwd=tmp_path)
    assert other.returncode == 2
    assert "another recipe" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("theatre", "-o", "x", "--recipe", "opera"), "choose one of person"),
        (("theatre", "-o", "x", "-n", "0"), "0 samples"),
        (("theatre", "-o", "x", "--size", "1"), "1 pixels"),
        (("theatre",), "--output"),
        (("theater", "-o", "x"), "perhaps theatre"),
        (("theatre", "-o", "x", "--seed", "-1"), "--seed"),
        (("look", ".", "-o", "x.xyz"), "such as look.png"),
        (("look", "nowhere"), "no shards"),
        (("look", "nowhere", "-n", "0"), "0 samples"),
        (("rigs", "nowhere", "-o", "x"), "no such folder"),
        ((), "theatre"),
    ],
)
def test_one_clear_line(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert says in done.stderr
    assert not list(tmp_path.iterdir())
