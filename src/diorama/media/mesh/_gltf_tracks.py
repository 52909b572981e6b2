"""Animations of a glTF document, sampled at even times (glTF 2.0, section 3.11 and appendix C)."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from diorama.core.rotations import slerp
from diorama.errors import LimitError
from diorama.media.mesh._gltf_arrays import as_floats
from diorama.media.mesh._gltf_file import Document
from diorama.media.mesh._gltf_nodes import PATHS, Tracks

FPS = 30.0
"""Rate at which animations with uneven or curved keys are read."""
MOST_FRAMES = 36_000


@dataclass(frozen=True, eq=False)
class _Keys:
    """A channel as stored: `values` holds one row a key, or in-tangent, value and out-tangent for a cubic spline."""

    path: str
    times: Float64[np.ndarray, " k"]
    values: Float64[np.ndarray, "k s c"]
    style: str

    @property
    def points(self) -> Float64[np.ndarray, "k c"]:
        return self.values[:, self.values.shape[1] // 2]


def read_animation(document: Document, number: int, among: Collection[int]) -> tuple[Tracks, float]:
    """The values of an animation at even times, and their rate in frames a second; morphs are left out.

    Args:
        document: that holds it.
        number: of the animation.
        among: the nodes that matter.

    Raises:
        LimitError: longer than `MOST_FRAMES`.
        ValueError: times that do not rise, or outputs that do not fit them.
    """
    entry = document.item("animations", number)
    document.spend("animations", 1)
    found: dict[tuple[int, str], _Keys] = {}
    for channel in entry["channels"]:
        document.spend("animation channels", 1)
        target = channel["target"]
        if target.get("path") not in PATHS or "node" not in target:
            continue
        document.item("nodes", target["node"])
        if target["node"] in among:
            found[target["node"], target["path"]] = _keys(document, entry["samplers"], channel["sampler"], target)
    if not found:
        return {}, FPS
    wanted, fps = _clock(list(found.values()), document)
    return {key: _sampled(keys, wanted) for key, keys in found.items()}, fps


def _keys(document: Document, samplers: list, number: int, target: dict) -> _Keys:
    if not isinstance(number, int) or not 0 <= number < len(samplers):
        raise IndexError(f"samplers[{str(number)[:40]}] of {len(samplers)}")
    sampler, path = samplers[number], target["path"]
    style = sampler.get("interpolation", "LINEAR")
    if style not in ("LINEAR", "STEP", "CUBICSPLINE"):
        raise ValueError(f"interpolation {str(style)[:40]!r}")
    times = as_floats(document, sampler["input"], (1,))[:, 0].astype(np.float64)
    if not len(times) or (np.diff(times) < 0).any() or times[0] < 0:
        raise ValueError("times of an animation do not rise")
    values = as_floats(document, sampler["output"], (PATHS[path],)).astype(np.float64)
    keys = _Keys(path, times, values.reshape(len(times), 3 if style == "CUBICSPLINE" else 1, PATHS[path]), style)
    if path == "rotation" and (np.linalg.norm(keys.points, axis=1) < 1e-6).any():
        raise ValueError("a rotation of no length")
    return keys


def _clock(channels: list[_Keys], document: Document) -> tuple[Float64[np.ndarray, " t"], float]:
    """The keys' own times where they are even, shared and joined by straight lines; or else `FPS` from end to end."""
    first = channels[0].times
    straight = all(keys.style == "LINEAR" for keys in channels)
    same = all(len(k.times) == len(first) and np.allclose(k.times, first, rtol=0, atol=1e-5) for k in channels)
    steps = np.diff(first)
    if straight and same and len(steps) and steps[0] > 1e-4 and np.allclose(steps, steps.mean(), rtol=1e-3, atol=1e-5):
        wanted, fps = first, round(float(len(steps) / (first[-1] - first[0])), 4)
    else:
        start, end = min(k.times[0] for k in channels), max(k.times[-1] for k in channels)
        wanted, fps = start + np.arange(min(round((end - start) * FPS), MOST_FRAMES) + 1) / FPS, FPS
    if len(wanted) > MOST_FRAMES:
        raise LimitError(f"an animation of more than {MOST_FRAMES} frames", document.path, "cut it")
    return wanted, fps


def _sampled(keys: _Keys, wanted: Float64[np.ndarray, " t"]) -> Float64[np.ndarray, "t c"]:
    """A channel at the wanted times, held before its first and after its last key."""
    last = len(keys.times) - 1
    before = np.clip(np.searchsorted(keys.times, wanted, side="right") - 1, 0, max(last - 1, 0))
    after = np.minimum(before + 1, last)
    span = keys.times[after] - keys.times[before]
    share = np.clip((wanted - keys.times[before]) / np.where(span > 0, span, 1), 0, 1)[:, None]
    points = keys.points
    if keys.path == "rotation":
        points = (points / np.linalg.norm(points, axis=1, keepdims=True))[:, [3, 0, 1, 2]]
    if keys.style == "STEP":
        return points[np.where(share[:, 0] >= 1, after, before)]
    if keys.style == "CUBICSPLINE":
        return _spline(keys, before, after, span[:, None], share)
    if keys.path == "rotation":
        return slerp(points[before], points[after], share[:, 0])
    return (1 - share) * points[before] + share * points[after]


def _spline(keys: _Keys, before: np.ndarray, after: np.ndarray, span: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Hermite pieces; quaternions are taken as stored and made unit length at the end."""
    points = keys.points
    found = (2 * s**3 - 3 * s**2 + 1) * points[before] + (3 * s**2 - 2 * s**3) * points[after]
    found += (s**3 - 2 * s**2 + s) * span * keys.values[before, 2] + (s**3 - s**2) * span * keys.values[after, 0]
    if keys.path == "rotation":
        found = (found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9))[:, [3, 0, 1, 2]]
    return found
