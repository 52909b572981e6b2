"""Optional packages: imported where they are used, with a one-line remedy when absent."""

import importlib
import importlib.util
from types import ModuleType

from diorama.errors import ModelError

EXTRAS = {
    "mediapipe": "people",
    "transformers": "hub",
    "peft": "hub",
    "accelerate": "train",
    "tensorboard": "train",
    "robust_laplacian": "rig",
    "scipy": "rig",
    "skimage": "samples",
    "skvideo": "samples",
}


def available(module: str) -> bool:
    """Whether an optional module is installed; does not import it."""
    return importlib.util.find_spec(module) is not None


def need(module: str) -> ModuleType:
    """Import an optional module.

    Raises:
        ModelError: it is not installed; the message holds the install command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        extra = EXTRAS.get(module.partition(".")[0], "")
        raise ModelError(
            f"the package {module} is not usable ({error})",
            fix=f"pip install 'diorama[{extra}]' -c constraints.txt" if extra else f"pip install {module}",
        ) from error
