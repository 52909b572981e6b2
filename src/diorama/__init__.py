"""Diorama takes a video apart into a layered scene and puts it back together differently.

The public names are loaded on first use, so that importing the package loads no heavy library.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Actor": "diorama.core.actor",
    "AnimateConfig": "diorama.pipelines.animate_config",
    "Cameras": "diorama.core.camera",
    "DecomposeConfig": "diorama.pipelines.decompose_config",
    "DioramaError": "diorama.errors",
    "Layer": "diorama.core.layers",
    "LayeredVideo": "diorama.core.layers",
    "PersonConfig": "diorama.pipelines.person_config",
    "StereoConfig": "diorama.pipelines.presets",
    "StereoResult": "diorama.pipelines.stereo",
    "StereoRun": "diorama.pipelines.stereo",
    "Video": "diorama.core.video",
    "animate": "diorama.pipelines.animate",
    "decompose": "diorama.pipelines.decompose",
    "forward_warp": "diorama.geometry.warp",
    "multiplane_warp": "diorama.geometry.multiplane",
    "open_video": "diorama.media.read",
    "person": "diorama.pipelines.person",
    "read_actors": "diorama.media.store",
    "read_scene": "diorama.media.store",
    "stereo": "diorama.pipelines.stereo",
    "write_scene": "diorama.media.store",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'diorama' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
