"""``diorama doctor``: versions, devices, codecs, extras and models, with a command for each thing that is missing."""

import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import diorama
from diorama import catalog
from diorama.core.extras import EXTRAS, available

LIBRARIES = {
    "av": "av",
    "jaxtyping": "jaxtyping",
    "numba": "numba",
    "numpy": "numpy",
    "opencv-contrib-python": "cv2",
    "pillow": "PIL",
    "rich": "rich",
    "tyro": "tyro",
}
OPTIONAL = {
    "mediapipe": "mediapipe",
    "torch": "torch",
    "transformers": "transformers",
    "safetensors": "safetensors",
    "scikit-image": "skimage",
    "scikit-video": "skvideo",
}
ENCODERS = ("libx264", "libx265", "libsvtav1", "ffv1")
_NO_GL = "pip install --force-reinstall --no-deps opencv-contrib-python-headless"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    Attributes:
        name: of it.
        found: its version or place; empty where it is not there, or not usable.
        problem: why it is not usable, one line; empty where it is just not there.
        remedy: the command that brings it; empty where it is found.
        needed: whether Diorama does not do without.
    """

    name: str
    found: str = ""
    problem: str = ""
    remedy: str = ""
    needed: bool = False

    @property
    def said(self) -> str:
        """What stands behind the name."""
        return self.found or (f"BROKEN: {self.problem}" if self.problem else "MISSING" if self.needed else "-")


@dataclass(frozen=True)
class Examination:
    """All that was found.

    Attributes:
        facts: this installation and machine, as text.
        sections: findings by heading, in the order they are shown.
    """

    facts: dict[str, str]
    sections: dict[str, list[Finding]]

    def remedies(self, *, needed: bool) -> dict[str, list[str]]:
        """What is missing, by the command that brings it: what Diorama needs, or what it can do without."""
        wanted: dict[str, list[str]] = {}
        for finding in (finding for section in self.sections.values() for finding in section):
            if finding.remedy and finding.needed == needed:
                wanted.setdefault(finding.remedy, []).append(finding.name)
        return wanted


def examine() -> Examination:
    """Look at everything; imports the libraries, and torch where it is there."""
    facts = {
        "diorama": diorama.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "disk_free": f"{shutil.disk_usage('.').free / 1e9:.1f} GB",
    }
    libraries = {name: _imported(module) for name, module in LIBRARIES.items()}
    torch, broken = _imported("torch") if available("torch") else (None, "")
    sections = {
        "libraries": [_library(name, *found) for name, found in libraries.items()],
        "optional": [_optional(name, broken if name == "torch" else "") for name in OPTIONAL],
        "devices": list(_devices(torch)),
        "codecs": list(_codecs(libraries["av"][0])),
        "depth models": list(_models()),
    }
    return Examination(facts, sections)


def as_json(examination: Examination) -> dict[str, Any]:
    """The examination, ready for JSON."""
    sections = {name: [asdict(finding) for finding in found] for name, found in examination.sections.items()}
    return {**examination.facts, **sections}


def show(examination: Examination) -> str:
    """The examination as text."""
    facts = examination.facts
    lines = [f"diorama {facts['diorama']} on Python {facts['python']}, {facts['system']}"]
    lines += [f"free disk here: {facts['disk_free']}"]
    width = 2 + max(len(finding.name) for section in examination.sections.values() for finding in section)
    for heading, section in examination.sections.items():
        lines += ["", heading, *(f"  {finding.name:{width}}{finding.said}" for finding in section)]
    mend, add = (examination.remedies(needed=needed) for needed in (True, False))
    lines += ["", *(["to mend", *_commands(mend)] if mend else ["all that is needed is there"])]
    if add:
        lines += ["", "to add, as you like", *_commands(add)]
    return "\n".join(lines) + "\n"


def _commands(remedies: dict[str, list[str]]) -> Iterator[str]:
    for command, names in remedies.items():
        yield f"  {', '.join(names)}"
        yield f"    {command}"


def _imported(module: str) -> tuple[ModuleType | None, str]:
    """The module, or None and why it cannot be used; no reason where it is just not there."""
    if not available(module):
        return None, ""
    try:
        return importlib.import_module(module), ""
    except Exception as error:  # noqa: BLE001  a broken package may raise anything, and to say so is the point
        return None, _line(error)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _version(name: str, module: ModuleType | None = None) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # OpenCV under the name of its headless twin
        return str(getattr(module, "__version__", ""))


def _library(name: str, module: ModuleType | None, problem: str) -> Finding:
    if module is not None:
        return Finding(name, _version(name, module) or "there", needed=True)
    remedy = _NO_GL if "libGL" in problem else _install(name, again=bool(problem))
    return Finding(name, "", problem, remedy, needed=True)


def _install(name: str, *, again: bool = False) -> str:
    """The command that installs a library in the version Diorama asks for, over a broken one where `again`."""
    try:
        required = importlib.metadata.requires("diorama") or []
    except importlib.metadata.PackageNotFoundError:  # run from a copy of the sources
        required = []
    wanted = next((line for line in required if re.match(rf"{re.escape(name)}\b(?!-)[^;]*$", line)), name)
    return f"pip install {'--force-reinstall --no-deps ' if again else ''}'{wanted}'"


def _optional(name: str, problem: str) -> Finding:
    module = OPTIONAL[name]
    if available(module) and not problem:
        return Finding(name, _version(name) or "there")
    if name == "mediapipe" and sys.version_info >= (3, 13):
        return Finding(name, "", "", "make the environment with Python 3.11 or 3.12, which mediapipe needs")
    if problem:
        return Finding(name, "", problem, f"pip install --force-reinstall --no-deps {name} -c constraints.txt")
    return Finding(name, "", "", f"pip install 'diorama[{EXTRAS[module]}]' -c constraints.txt")


def _devices(torch: Any) -> Iterator[Finding]:
    """Where depth networks can run."""
    yield Finding("cpu", f"{os.cpu_count()} cores")
    if torch is None:
        return
    try:
        for number in range(torch.cuda.device_count()):
            yield Finding(f"cuda:{number}", str(torch.cuda.get_device_name(number)))
        if torch.backends.mps.is_available():
            yield Finding("mps", "there")
    except Exception as error:  # noqa: BLE001  a driver that does not fit; the CPU is there all the same
        yield Finding("gpu", "", _line(error))


def _codecs(av: Any) -> Iterator[Finding]:
    """FFmpeg, and the encoders films are written with; they come inside the wheel of av."""
    remedy = _install("av", again=True).replace("install", "install --only-binary av", 1)
    known: Iterable[str] = ()
    if av is not None:
        known = importlib.import_module("av.codec").codecs_available
    version = str(getattr(av, "ffmpeg_version_info", ""))
    yield Finding("FFmpeg", version, "", "" if version else remedy, needed=True)
    for name in ENCODERS:
        there = name in known
        yield Finding(name, "yes" if there else "", "", "" if there else remedy, needed=True)


def _models() -> Iterator[Finding]:
    """What ``--depth`` can name; networks may also lie in any folder."""
    yield Finding("embedded", "built in")
    found = {weights.name: str(path) for weights, path in catalog.models_found()}
    for weights in catalog.WEIGHTS:
        remedy = f"hf download {weights.source} --local-dir {weights.name}  # then --depth {weights.name}"
        place = found.get(weights.name, "")
        facts = f"{weights.megabytes} MB, {weights.licence}{'' if weights.commercial else ', no commercial use'}"
        yield Finding(weights.name, place, "", "" if place else f"{remedy}  ({facts})")
