"""The nodes of a glTF document: the tree, and where each is over time."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32

from diorama.core.rotations import slerp, to_matrix
from diorama.errors import LimitError
from diorama.media.mesh._gltf_arrays import as_floats
from diorama.media.mesh._gltf_file import Document

MOST_NODES = 65_536
FPS = 30.0
"""Rate at which animations with uneven keys are read."""
MOST_FRAMES = 36_000
_PATHS = {"translation": 3, "rotation": 4, "scale": 3}


@dataclass(frozen=True, eq=False)
class Nodes:
    """The tree of nodes, parents before children in `order`."""

    parents: Int32[np.ndarray, " n"]
    order: tuple[int, ...]
    translation: Float64[np.ndarray, "n 3"]
    rotation: Float64[np.ndarray, "n 4"]
    scale: Float64[np.ndarray, "n 3"]
    fixed: dict[int, Float64[np.ndarray, "4 4"]]

    def worlds(self, moving: dict[tuple[int, str], np.ndarray] | None = None) -> Float64[np.ndarray, "n t 4 4"]:
        """Where the nodes are: node to scene, over the frames of `moving` values of (node, path)."""
        moving = moving or {}
        frames = max((len(values) for values in moving.values()), default=1)
        found = np.empty((len(self.parents), frames, 4, 4))
        for node in self.order:
            parent = self.parents[node]
            local = self._local(node, moving, frames)
            found[node] = local if parent < 0 else found[parent] @ local
        return found

    def _local(self, node: int, moving: dict[tuple[int, str], np.ndarray], frames: int) -> Float64[np.ndarray, "t 4 4"]:
        if node in self.fixed and not any((node, path) in moving for path in _PATHS):
            return np.broadcast_to(self.fixed[node], (frames, 4, 4))
        turn = to_matrix(moving.get((node, "rotation"), self.rotation[node][None]))
        found = np.zeros((frames, 4, 4))
        found[:, :3, :3] = turn * moving.get((node, "scale"), self.scale[node][None])[:, None]
        found[:, :3, 3], found[:, 3, 3] = moving.get((node, "translation"), self.translation[node][None]), 1
        return found


def read_nodes(document: Document) -> Nodes:
    """The tree of nodes.

    Raises:
        LimitError: too many of them.
        ValueError: a node with two parents, a cycle, or numbers that are not finite.
    """
    entries = document.json.get("nodes", [])
    if len(entries) > MOST_NODES:
        raise LimitError(f"{len(entries)} nodes, the limit is {MOST_NODES}", document.path)
    parents = np.full(len(entries), -1, np.int32)
    for number in range(len(entries)):
        for child in document.item("nodes", number).get("children", []):
            document.item("nodes", child)
            if parents[child] >= 0 or child == number:
                raise ValueError(f"node {child} has two parents")
            parents[child] = number
    order = [int(n) for n in np.flatnonzero(parents < 0)]
    for number in order:  # grows while it is read
        order += document.item("nodes", number).get("children", [])
    if len(order) != len(entries):
        raise ValueError("nodes are their own ancestors")
    nodes = [document.item("nodes", number) for number in range(len(entries))]
    fixed = {i: _matrix(node["matrix"]) for i, node in enumerate(nodes) if "matrix" in node}
    turns = _table(nodes, "rotation", (0.0, 0.0, 0.0, 1.0))
    length = np.linalg.norm(turns, axis=1, keepdims=True)
    if (length < 1e-6).any():
        raise ValueError("a rotation of no length")
    return Nodes(
        parents,
        tuple(order),
        _table(nodes, "translation", (0.0, 0.0, 0.0)),
        (turns / length)[:, [3, 0, 1, 2]],
        _table(nodes, "scale", (1.0, 1.0, 1.0)),
        fixed,
    )


def read_animation(document: Document, number: int) -> tuple[dict[tuple[int, str], np.ndarray], float]:
    """The values of an animation by (node, path) at even times, and their rate; weights of morphs are left out.

    Raises:
        LimitError: longer than `MOST_FRAMES`.
        ValueError: times that do not rise, or outputs that do not fit them.
    """
    entry = document.item("animations", number)
    tracks: dict[tuple[int, str], tuple[np.ndarray, np.ndarray, str]] = {}
    for channel in entry["channels"]:
        target = channel["target"]
        if target.get("path") not in _PATHS or "node" not in target:
            continue
        document.item("nodes", target["node"])
        samplers = entry["samplers"]
        if not 0 <= channel["sampler"] < len(samplers):
            raise IndexError(f"samplers[{channel['sampler']}]")
        sampler = samplers[channel["sampler"]]
        times = as_floats(document, sampler["input"])[:, 0].astype(np.float64)
        if not len(times) or (np.diff(times) < 0).any() or times[0] < 0:
            raise ValueError("times of an animation do not rise")
        values = as_floats(document, sampler["output"]).astype(np.float64)
        style = sampler.get("interpolation", "LINEAR")
        values = values.reshape(len(times), 3 if style == "CUBICSPLINE" else 1, _PATHS[target["path"]])
        tracks[target["node"], target["path"]] = times, values, style
    if not tracks:
        return {}, FPS
    wanted, fps = _clock([times for times, _, _ in tracks.values()])
    if len(wanted) > MOST_FRAMES:
        raise LimitError(f"an animation of {len(wanted)} frames, the limit is {MOST_FRAMES}", document.path)
    return {key: _sampled(key[1], *track, wanted) for key, track in tracks.items()}, fps


def _clock(inputs: list[np.ndarray]) -> tuple[np.ndarray, float]:
    """The keys' own times where they are even and the same, or else `FPS` from the first to the last."""
    first = inputs[0]
    same = all(len(times) == len(first) and np.allclose(times, first, atol=1e-5) for times in inputs)
    steps = np.diff(first)
    if same and len(first) > 1 and steps[0] > 1e-4 and np.allclose(steps, steps.mean(), rtol=1e-3, atol=1e-5):
        return first, round(float((len(first) - 1) / (first[-1] - first[0])), 4)
    start, end = min(times[0] for times in inputs), max(times[-1] for times in inputs)
    if end - start > MOST_FRAMES / FPS:
        return np.zeros(MOST_FRAMES + 1), FPS
    return start + np.arange(round((end - start) * FPS) + 1) / FPS, FPS


def _sampled(path: str, times: np.ndarray, values: np.ndarray, style: str, wanted: np.ndarray) -> np.ndarray:
    """A track at the wanted times (glTF 2.0, appendix C); quaternions come out as (w, x, y, z)."""
    after = np.clip(np.searchsorted(times, wanted, side="right"), 1, max(len(times) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(times) - 1)
    span = times[after] - times[before]
    share = np.clip((wanted - times[before]) / np.where(span > 0, span, 1), 0, 1)
    share = np.where(span > 0, share, 0.0)
    keys = values[:, 1] if style == "CUBICSPLINE" else values[:, 0]
    if path == "rotation":
        length = np.linalg.norm(keys, axis=1, keepdims=True)
        if (length < 1e-6).any():
            raise ValueError("a rotation of no length")
        keys = keys / length
    if style == "STEP":
        found = keys[np.where(share >= 1, after, before)]
    elif style == "CUBICSPLINE":
        s, tangents = share[:, None], span[:, None]
        found = (
            (2 * s**3 - 3 * s**2 + 1) * keys[before]
            + (s**3 - 2 * s**2 + s) * tangents * values[before, 2]
            + (3 * s**2 - 2 * s**3) * keys[after]
            + (s**3 - s**2) * tangents * values[after, 0]
        )
    elif style == "LINEAR":
        if path == "rotation":
            return slerp(keys[before][:, [3, 0, 1, 2]], keys[after][:, [3, 0, 1, 2]], share)
        found = (1 - share[:, None]) * keys[before] + share[:, None] * keys[after]
    else:
        raise ValueError(f"interpolation {style!r}")
    if path == "rotation":
        found = (found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9))[:, [3, 0, 1, 2]]
    return found


def _table(nodes: list[dict], key: str, default: tuple[float, ...]) -> Float64[np.ndarray, "n c"]:
    found = np.array([node.get(key, default) for node in nodes], np.float64).reshape(len(nodes), len(default))
    if not np.isfinite(found).all():
        raise ValueError(f"a {key} that is not finite")
    return found


def _matrix(values: list[float]) -> Float64[np.ndarray, "4 4"]:
    found = np.array(values, np.float64).reshape(4, 4).T
    if not np.isfinite(found).all() or not np.allclose(found[3], [0, 0, 0, 1], atol=1e-6):
        raise ValueError("a node's matrix is not finite or not affine")
    return found
