"""The doctor names every fault with the command that mends it, and survives whatever is broken."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from diorama import catalog
from diorama.cli import doctor
from diorama.cli.doctor import Finding, examine, show
from diorama.diffusion.prior_load import PRIORS

FINE = "nothing that is needed is missing"


def found(findings: dict[str, Any], name: str) -> Finding:
    rows = [row for section in findings["sections"].values() for row in section]
    return next(Finding(**row) for row in rows if row["name"] == name)


def missing(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Make these modules look as if they were not installed."""
    there = doctor.available
    monkeypatch.setattr(doctor, "available", lambda name: name not in modules and there(name))


def test_a_whole_installation_needs_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    findings = examine()
    text = show(findings)
    assert FINE in text
    assert "to mend" not in text
    assert found(findings, "numba").found == importlib.metadata.version("numba")
    assert json.loads(json.dumps(findings)) == findings


def test_every_absent_model_has_the_command_that_gets_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    small = catalog.find(catalog.DEFAULT_DEPTH)
    snapshot = tmp_path / f"models--{small.source.replace('/', '--')}" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for name in small.files:
        (snapshot / name).write_bytes(b"{}")
    text = show(examine())
    assert str(snapshot) in text
    for weights in catalog.WEIGHTS:
        command = f"hf download {weights.source} --local-dir {weights.name}\n"
        assert (command in text) == (weights is not small)


@pytest.mark.parametrize(
    ("module", "name", "command"),
    [
        ("numba", "numba", "pip install 'numba"),
        ("cv2", "opencv-contrib-python", "pip install 'opencv-contrib-python"),
        ("av", "av", "pip install 'av"),
    ],
)
def test_a_missing_library_is_to_be_mended(
    module: str, name: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing(monkeypatch, module)
    text = show(examine())
    assert FINE not in text
    assert re.search(rf"^  {name} +MISSING$", text, re.MULTILINE)
    assert command in text.partition("to mend")[2]


@pytest.mark.parametrize(
    ("module", "extra"), [("mediapipe", "people"), ("transformers", "hub"), ("skimage", "samples")]
)
def test_a_missing_extra_may_be_added(module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    missing(monkeypatch, module)
    text = show(examine())
    assert FINE in text
    if module != "mediapipe" or sys.version_info < (3, 13):
        assert f"pip install 'diorama[{extra}]' -c constraints.txt" in text.partition("to add")[2]


def test_a_missing_encoder_is_to_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("av.codec.codecs_available", {"libx264", "libx265", "ffv1"})
    text = show(examine())
    assert FINE not in text
    assert re.search(r"to mend\n  libsvtav1\n    pip install .*--only-binary av .*'av", text)


def test_opencv_without_libgl_gets_its_headless_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor.importlib.import_module

    def importing(name: str) -> Any:
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")
        return real(name)

    monkeypatch.setattr(doctor.importlib, "import_module", importing)
    assert found(examine(), "opencv-contrib-python").remedy.endswith("opencv-contrib-python-headless")


def test_broken_packages_raise_no_traceback(tmp_path: Path) -> None:
    for name, fault in {"torch": "OSError('no libcudart')", "av": "RuntimeError('no\\nlibav')"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise {fault}")
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-m", "diorama", "doctor"], capture_output=True, text=True, env=paths, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^  torch +BROKEN: no libcudart$", done.stdout, re.MULTILINE)
    assert re.search(r"^  av +BROKEN: no libav$", done.stdout, re.MULTILINE)
    assert re.search(r"to mend\n  av, FFmpeg, libx264, libx265, libsvtav1, ffv1\n    pip install", done.stdout)
    assert re.search(r"pip install --force-reinstall --no-deps --only-binary torch .torch", done.stdout)


def test_what_ships_is_told_and_its_loss_is_to_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("scene-s", "upscale-s")
    assert {found(examine(), name).found for name in names} == {"built in"}
    monkeypatch.setattr(doctor.catalog, "folder_of", lambda weights: None)
    text = show(examine())
    for name in names:
        assert re.search(rf"^  {name} +MISSING", text, re.MULTILINE)
    assert re.search(r"to mend\n  scene-s, upscale-s\n    pip install --force-reinstall --no-deps diorama", text)


def test_priors_are_told_where_they_lie_or_how_they_are_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert doctor.PRIORS == PRIORS
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    entry = catalog.find("animatediff-motion-v3", catalog.GENERATORS)
    snapshot = tmp_path / f"models--{entry.source.replace('/', '--')}" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / entry.files[0]).write_bytes(b"")
    findings = examine()
    assert found(findings, entry.name).found == str(snapshot)
    other = found(findings, "zeroscope-v2-576w")
    assert (other.found, other.remedy) == ("", "diorama models get zeroscope-v2-576w")
    assert other.said == "-  3673 MB, CC-BY-NC-4.0, no commercial use"


def test_a_graphics_card_is_told_with_its_memory_or_that_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Card:
        name, total_memory = "NVIDIA H200", 150_000_000_000

    cuda = "torch.cuda."
    monkeypatch.setattr(cuda + "device_count", lambda: 0)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert found(examine(), "gpu").said == "-  none that PyTorch can use, networks run on the CPU"
    monkeypatch.setattr(cuda + "device_count", lambda: 1)
    monkeypatch.setattr(cuda + "get_device_properties", lambda number: Card)
    findings = examine()
    assert found(findings, "cuda:0").found == "NVIDIA H200, 150 GB"
    assert "gpu" not in [row["name"] for row in findings["sections"]["devices"]]


def test_the_text_stands_in_columns() -> None:
    text = show(examine())
    rows = re.findall(r"^  (\S+ +)\S.*$", text.partition("nothing")[0], re.MULTILINE)
    assert len(rows) > 20
    assert len({len(row) for row in rows}) == 1
    assert max(map(len, text.splitlines())) <= 120
