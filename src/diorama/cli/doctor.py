"""``diorama doctor``: versions, devices, codecs, extras and models, with a remedy for what is missing."""

import importlib.metadata
import os
import platform
import shutil
from typing import Any

import diorama
from diorama import catalog
from diorama.core.extras import EXTRAS, available

LIBRARIES = ("av", "jaxtyping", "numba", "numpy", "opencv-contrib-python", "pillow", "rich", "tyro")
OPTIONAL = ("mediapipe", "torch", "transformers", "safetensors", "scikit-image", "scikit-video")
_MODULES = {"scikit-image": "skimage", "scikit-video": "skvideo"}
ENCODERS = ("libx264", "libx265", "libsvtav1", "ffv1")


def examine() -> dict[str, Any]:
    """What was found, ready for JSON."""
    missing = {name: EXTRAS[_MODULES.get(name, name)] for name in OPTIONAL if not available(_MODULES.get(name, name))}
    return {
        "diorama": diorama.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "disk_free_gb": round(shutil.disk_usage(".").free / 1e9, 1),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "extras": {name: _version(name) for name in OPTIONAL},
        "remedies": [f"pip install 'diorama[{extra}]' -c constraints.txt" for extra in sorted(set(missing.values()))],
        "devices": _devices(),
        "ffmpeg": _ffmpeg(),
        "encoders": _encoders(),
        "models": _models(),
    }


def show(findings: dict[str, Any]) -> str:
    """The findings as text."""
    lines = [f"diorama {findings['diorama']} on Python {findings['python']}, {findings['system']}"]
    lines += [f"free disk here: {findings['disk_free_gb']} GB", "", "libraries"]
    lines += [f"  {name:24}{version or 'MISSING'}" for name, version in findings["libraries"].items()]
    lines += ["optional"]
    lines += [f"  {name:24}{version or '-'}" for name, version in findings["extras"].items()]
    lines += ["devices", f"  {', '.join(findings['devices'])}"]
    lines += ["codecs", f"  FFmpeg {findings['ffmpeg']}"]
    lines += [f"  {name:24}{'yes' if there else 'MISSING'}" for name, there in findings["encoders"].items()]
    lines += ["depth models"]
    lines += [f"  {name:32}{where}" for name, where in findings["models"].items()]
    lines += ["to mend" if findings["remedies"] else "nothing is missing"]
    lines += [f"  {remedy}" for remedy in findings["remedies"]]
    return "\n".join(lines) + "\n"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> list[str]:
    found = [f"cpu ({os.cpu_count()} cores)"]
    if available("torch"):
        import torch

        found += [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            found.append("mps")
    return found


def _ffmpeg() -> str:
    import av

    return str(av.ffmpeg_version_info)


def _encoders() -> dict[str, bool]:
    import av.codec

    return {name: name in av.codec.codecs_available for name in ENCODERS}


def _models() -> dict[str, str]:
    return {"embedded": "built in", **{weights.name: str(path) for weights, path in catalog.models_found()}}
