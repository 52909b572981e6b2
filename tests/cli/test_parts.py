"""``diorama parts`` and ``diorama rig``: where they write by default."""

from pathlib import Path

import pytest

from diorama.cli.parts import PartsCommand, RigCommand
from diorama.errors import DioramaError, UsageError
from diorama.pipelines import parts as parts_module
from diorama.pipelines import rig as rig_module


class _AskedError(DioramaError):
    """Stands for a run: tells what would be written."""


@pytest.mark.parametrize("command", [PartsCommand, RigCommand])
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
    command: type[PartsCommand | RigCommand], given: str, stem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(source: str, output: str, *_: object, **__: object) -> None:
        raise _AskedError(output, source)

    here = tmp_path / "clip"
    (here / "deep").mkdir(parents=True)
    (tmp_path / "far.jpg").write_bytes(b"a picture")
    (here / "link.jpg").symlink_to(tmp_path / "far.jpg")
    monkeypatch.chdir(here)
    for module, name in ((parts_module, "parts"), (rig_module, "rig")):
        monkeypatch.setattr(module, name, tell)
    names = {"here": str(tmp_path), "above": str(tmp_path)}
    with pytest.raises(_AskedError) as asked:
        command(given.format(**names)).run()
    ending = "_parts" if command is PartsCommand else "_rigged.glb"
    assert asked.value.what == stem.format(**names) + ending


@pytest.mark.parametrize("command", [PartsCommand, RigCommand])
def test_an_input_without_a_name_is_refused(command: type[PartsCommand | RigCommand]) -> None:
    for given, said in (("/", "an input without a name.*-o"), ("", "an empty path")):
        with pytest.raises(UsageError, match=said):
            command(given).run()
