"""The command line answers at once, and without torch."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import diorama


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "diorama", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_help_is_quick() -> None:
    times = []
    for _ in range(5):  # the best of a few, in processor time: other processes share these cores
        began = os.times()
        done = run("--help")
        ended = os.times()
        times.append(ended.children_user + ended.children_system - began.children_user - began.children_system)
        assert done.returncode == 0
        assert "stereo" in done.stdout
        if times[-1] < 0.5:
            break
    assert 0 < min(times) < 0.5


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom diorama.cli import main\n"
        "try: main(['stereo', '--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'av', 'cv2', 'numba', 'mediapipe') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_output_that_exists_is_told_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"film")
    code = (
        "import sys\nfrom diorama.cli import main\n"
        f"try: main(['generate', '--seed', '3', '-o', {str(tmp_path / 'clip.mp4')!r}])\n"
        "except SystemExit as stop: print(stop.code, [m for m in ('torch', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "2 []\n"
    assert "the output exists" in done.stderr


def test_options_that_are_on_say_what_they_do_on_and_off() -> None:
    """Their flag is ``--no-X``: a text that tells only what X does would tell the opposite."""
    code = (
        "from diorama.cli.main import BELOW, COMMANDS, main\n"
        "for words in [[c] for c in COMMANDS] + [[c, b] for c in BELOW for b in BELOW[c]]:\n"
        "    try: main([*words, '--help'])\n"
        "    except SystemExit: pass\n"
    )
    wide = {**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"}  # too narrow for two boxes side by side
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=wide
    )
    text = " ".join(line.strip("│ ") for line in done.stdout.splitlines())
    found = re.findall(r" (--no-[\w-]+) +((?:(?!\(default: ).)*)\(default: True\)", text)
    assert {"--no-people", "--no-relight"} <= {option for option, _ in found}
    for option, told in found:
        assert f"; {option}: " in told, told


def test_version() -> None:
    assert run("--version").stdout.strip() == f"diorama {diorama.__version__}"


@pytest.mark.parametrize("command", ["stereo", "reproduce", "data", "doctor"])
def test_every_command_has_help(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert command in done.stdout


def test_unknown_command_and_option() -> None:
    for given, says in ((("sterio",), "perhaps stereo"), (("xylograph",), "choose one of stereo")):
        done = run(*given)
        assert done.returncode == 2
        assert says in done.stderr
    done = run("stereo", "a.mp4", "--divergense", "2")
    assert done.returncode == 2
    assert "perhaps --divergence" in done.stderr


def test_doctor_names_what_it_finds() -> None:
    done = run("doctor")
    assert done.returncode == 0
    for word in ("libx264", "numba", "cpu", "embedded"):
        assert word in done.stdout


@pytest.mark.parametrize("command", ["models list", "--help"])
def test_a_reader_that_goes_ends_it_quietly(command: str) -> None:
    shell = f"{sys.executable} -m diorama {command} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() in ("141", "0")  # 0 where all was read before
    assert done.stderr == ""
