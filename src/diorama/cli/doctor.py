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
    "diffusers": "diffusers",
    "jaxtyping": "jaxtyping",
    "numba": "numba",
    "numpy": "numpy",
    "opencv-contrib-python": "cv2",
    "pillow": "PIL",
    "rich": "rich",
    "safetensors": "safetensors",
    "torch": "torch",
    "tyro": "tyro",
}
OPTIONAL = {
    "mediapipe": "mediapipe",
    "transformers": "transformers",
    "peft": "peft",
    "accelerate": "accelerate",
    "tensorboard": "tensorboard",
    "scikit-image": "skimage",
    "scikit-video": "skvideo",
}
ENCODERS = ("libx264", "libx265", "libsvtav1", "ffv1")
SHIPPED = ("scene-s", "upscale-s")
"""Networks inside the package, of the generative engine and of upscaling."""
PRIORS = ("zeroscope-v2-576w", "wan-2.1-t2v-1.3b", "sd15-pipeline", "animatediff-motion-v3")
"""As in `diorama.diffusion.prior_load`, which needs torch to be imported."""
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
        about: what one should know of it before the remedy.
    """

    name: str
    found: str = ""
    problem: str = ""
    remedy: str = ""
    needed: bool = False
    about: str = ""

    @property
    def said(self) -> str:
        """What stands behind the name."""
        if self.found:
            return self.found
        state = f"BROKEN: {self.problem}" if self.problem else "MISSING" if self.needed else "-"
        return f"{state}  {self.about}".rstrip()


def examine() -> dict[str, Any]:
    """Look at everything; imports the libraries, and torch where it is there.

    Returns:
        dict[str, Any]: facts of this installation and machine, and under ``sections`` the `Finding` values by heading,
        in the order they are shown; ready for JSON.
    """
    libraries = {name: _imported(module) for name, module in LIBRARIES.items()}
    sections: dict[str, Iterable[Finding]] = {
        "libraries": (_library(name, *found) for name, found in libraries.items()),
        "optional": (_optional(name) for name in OPTIONAL),
        "devices": _devices(libraries["torch"][0]),
        "codecs": _codecs(libraries["av"][0]),
        "depth models": _models(),
        "priors and upscaler": _networks(),
    }
    return {
        "diorama": diorama.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "disk_free_gb": round(shutil.disk_usage(".").free / 1e9, 1),
        "sections": {heading: [asdict(finding) for finding in section] for heading, section in sections.items()},
    }


def show(findings: dict[str, Any]) -> str:
    """The findings as text; ends with the command for each thing that is missing."""
    sections = {heading: [Finding(**row) for row in rows] for heading, rows in findings["sections"].items()}
    every = [finding for section in sections.values() for finding in section]
    width = 2 + max(len(finding.name) for finding in every)
    lines = [f"diorama {findings['diorama']} on Python {findings['python']}, {findings['system']}"]
    lines += [f"free disk here: {findings['disk_free_gb']} GB"]
    for heading, section in sections.items():
        lines += ["", heading, *(f"  {finding.name:{width}}{finding.said}" for finding in section)]
    mend, add = (remedies(every, needed=needed) for needed in (True, False))
    lines += ["", *(["to mend", *_commands(mend)] if mend else ["nothing that is needed is missing"])]
    if add:
        lines += [
            "",
            "to add, if you like (the folder of a model is what --depth or --prior is given)",
            *_commands(add),
        ]
    return "\n".join(lines) + "\n"


def remedies(findings: Iterable[Finding], *, needed: bool) -> dict[str, list[str]]:
    """Names of what is missing, by the command that brings it: what Diorama needs, or what it can do without."""
    wanted: dict[str, list[str]] = {}
    for finding in findings:
        if finding.remedy and finding.needed == needed:
            wanted.setdefault(finding.remedy, []).append(finding.name)
    return wanted


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
    over = f"--force-reinstall --no-deps --only-binary {name} " if again else ""
    return f"pip install {over}'{wanted}'"


def _optional(name: str) -> Finding:
    module = OPTIONAL[name]
    if available(module):
        return Finding(name, _version(name) or "there")
    if name == "mediapipe" and sys.version_info >= (3, 13):
        return Finding(name, "", "", "make the environment with Python 3.11 or 3.12, which mediapipe needs")
    return Finding(name, "", "", f"pip install 'diorama[{EXTRAS[module]}]' -c constraints.txt")


def _devices(torch: Any) -> Iterator[Finding]:
    """Where networks can run."""
    yield Finding("cpu", f"{os.cpu_count()} cores")
    if torch is None:
        return
    try:
        cards, apple = torch.cuda.device_count(), torch.backends.mps.is_available()
        for number in range(cards):
            card = torch.cuda.get_device_properties(number)
            yield Finding(f"cuda:{number}", f"{card.name}, {card.total_memory / 1e9:.0f} GB")
        if apple:
            yield Finding("mps", "there")
        if not (cards or apple):
            yield Finding("gpu", about="none that PyTorch can use, networks run on the CPU")
    except Exception as error:  # noqa: BLE001  a driver that does not fit; the CPU is there all the same
        yield Finding("gpu", "", _line(error))


def _codecs(av: Any) -> Iterator[Finding]:
    """FFmpeg, and the encoders films are written with; they come inside the wheel of av."""
    remedy = _install("av", again=True)
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
        place = found.get(weights.name, "")
        remedy = "" if place else f"hf download {weights.source} --local-dir {weights.name}"
        yield Finding(weights.name, place, remedy=remedy, about=_about(weights))


def _networks() -> Iterator[Finding]:
    """What paints and enlarges: the networks that ship, and what ``--prior`` can name; others may lie in any folder."""
    for name in SHIPPED:
        there = catalog.folder_of(catalog.find(name, catalog.EMBEDDED)) is not None
        remedy = "" if there else "pip install --force-reinstall --no-deps diorama"
        yield Finding(name, "built in" if there else "", remedy=remedy, needed=True)
    for weights in (catalog.find(name, catalog.GENERATORS) for name in PRIORS):
        place = catalog.folder_of(weights)
        remedy = "" if place else f"diorama models get {weights.name}"
        yield Finding(weights.name, str(place or ""), remedy=remedy, about=_about(weights))


def _about(weights: catalog.Weights) -> str:
    use = "" if weights.commercial else ", no commercial use"
    return f"{weights.megabytes} MB, {weights.licence}{use}"
