"""``diorama parts``, ``rig`` and ``decompose``: where they write by default, and what a wrong value is told."""

from pathlib import Path

import pytest

from diorama.cli.main import main
from diorama.cli.parts import PartsCommand, RigCommand
from diorama.cli.people import DecomposeCommand
from diorama.errors import DioramaError, UsageError
from diorama.pipelines import decompose as decompose_module
from diorama.pipelines import parts as parts_module
from diorama.pipelines import rig as rig_module

COMMANDS = {PartsCommand: "_parts", RigCommand: "_rigged.glb", DecomposeCommand: "_scene"}
Command = PartsCommand | RigCommand | DecomposeCommand


class _AskedError(DioramaError):
    """Stands for a run: tells what would be written."""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("given", "stem"),
    [
        (".", "{here}/clip"),
        ("../clip/.", "../clip"),
        ("..", "{above}"),
        ("deep/..", "{here}/clip"),
        ("dog.jpg", "dog"),
        ("{here}/clip/link.jpg", "{here}/clip/link"),
        ("scene#person-1", "scene#person-1"),
    ],
)
def test_the_output_lies_beside_the_input(
    command: type[Command], given: str, stem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(source: str, output: Path, *_: object, **__: object) -> None:
        raise _AskedError(str(output), source)

    here = tmp_path / "clip"
    (here / "deep").mkdir(parents=True)
    (tmp_path / "far.jpg").write_bytes(b"a picture")
    (here / "link.jpg").symlink_to(tmp_path / "far.jpg")
    monkeypatch.chdir(here)
    for module, name in ((parts_module, "parts"), (rig_module, "rig"), (decompose_module, "decompose")):
        monkeypatch.setattr(module, name, tell)
    names = {"here": str(tmp_path), "above": str(tmp_path)}
    with pytest.raises(_AskedError) as asked:
        command(given.format(**names)).run()
    assert asked.value.what == stem.format(**names) + COMMANDS[command]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_input_without_a_name_is_refused(command: type[Command]) -> None:
    for given, said in (("/", "an input without a name.*-o"), ("", "an empty path")):
        with pytest.raises(UsageError, match=said):
            command(given).run()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--box", "0.1", "0.2", "0.3"], "--box 0.1 0.2 0.3: expected 4 numbers"),
        (["--box"], "--box (nothing): expected 4 numbers"),
        (["--guidance", "1"], "--guidance 1: expected 2 numbers"),
        (["--box", "0.1,0.2,0.3,0.4"], "--box 0.1,0.2,0.3,0.4: expected 4 numbers"),
        (["--parts", "it's"], "--parts it's: expected a whole number"),
        (["--softness", "soft"], "--softness soft: expected a number"),
        (["--seed", "x"], "--seed x: expected a whole number"),
    ],
)
def test_values_that_do_not_fit_an_option_are_told_in_words(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["rig", "dog.jpg", *given])
    assert said in capsys.readouterr().err
