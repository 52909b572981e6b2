"""The mediapipe package, kept quiet, and graphs of its calculators made from a text."""

import contextlib
import importlib.util
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from diorama.core.extras import need
from diorama.errors import ModelError

QUIET = {"GLOG_minloglevel": "3", "TF_CPP_MIN_LOG_LEVEL": "3", "MEDIAPIPE_DISABLE_GPU": "1"}
_OPTIONS = {
    "core": ("constant_side_packet", "gate", "split_vector"),
    "image": ("warp_affine",),
    "tensor": (
        *("image_to_tensor", "inference", "tensors_to_detections", "tensors_to_floats"),
        *("tensors_to_landmarks", "tensors_to_segmentation"),
    ),
    "tflite": ("ssd_anchors",),
    "util": ("landmark_projection", "local_file_contents", "non_max_suppression", "thresholding"),
}
"""Calculators of the graphs that have options; a graph is read without the options that nobody knows."""
_NOTHING: Mapping[str, Any] = {}

_turning_away = threading.Lock()


def _as_it_is(_: Any) -> None:
    """Changes nothing of a node."""


def graph(
    text: str,
    *,
    observed: Mapping[str, str] = _NOTHING,
    settle: Callable[[Any], None] = _as_it_is,
    given: Mapping[str, Any] = _NOTHING,
) -> Any:
    """A running graph; ``process({stream: value})`` answers with one attribute an output stream, None without a packet.

    Args:
        text: a graph in text form; subgraphs are those inside the package.
        observed: streams inside subgraphs that become outputs too, each with its tag.
        settle: receives each node of the whole graph, to change its options.
        given: side packets.

    Raises:
        ModelError: mediapipe is not installed, or is a version without these calculators.
    """
    hush()
    _open_side_door()
    base = need("mediapipe.python.solution_base")
    validated = need("mediapipe.python._framework_bindings").validated_graph_config.ValidatedGraphConfig()
    protos = need("mediapipe.framework.calculator_pb2")
    for kind, names in _OPTIONS.items():
        for name in names:
            need(f"mediapipe.calculators.{kind}.{name}_calculator_pb2")
    need("mediapipe.framework.tool.switch_container_pb2")
    plan = need("google.protobuf.text_format").Parse(text, protos.CalculatorGraphConfig())
    _name_resources()
    try:
        with quiet():
            validated.initialize(graph_config=plan)
            whole = protos.CalculatorGraphConfig.FromString(validated.binary_config)
            whole.output_stream.extend(f"{tag}:{stream}" for stream, tag in observed.items())
            for node in whole.node:
                settle(node)
            return base.SolutionBase(graph_config=whole, side_inputs=dict(given))
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"mediapipe does not run the graph ({reason})",
            fix="pip install 'diorama[people]' -c constraints.txt (mediapipe 0.10.14)",
        ) from error


def _open_side_door() -> None:
    """Make what is inside the package importable without what its front door loads besides: matplotlib, sound, tasks.

    They take a second, and nothing here needs them. Whoever asks the package itself for anything has it all, as ever.
    """
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or spec.loader is None or "mediapipe" in sys.modules:
        return
    package, loader = importlib.util.module_from_spec(spec), spec.loader

    def whole(name: str) -> Any:
        if vars(package).pop("__getattr__", None) is not None:
            loader.exec_module(package)
        try:
            return vars(package)[name]
        except KeyError:
            raise AttributeError(f"module 'mediapipe' has no attribute {name!r}") from None

    package.__getattr__ = whole  # type: ignore[method-assign]
    sys.modules["mediapipe"] = package


def _name_resources() -> None:
    """Where the package finds its weights; a graph is validated before its own class would say so."""
    package = os.path.dirname(str(need("mediapipe").__file__))
    need("mediapipe.python._framework_bindings").resource_util.set_resource_dir(os.path.dirname(package))


def hush() -> None:
    """Ask the native libraries to keep to themselves what they can be asked about; before they are loaded."""
    warnings.filterwarnings("ignore", message="SymbolDatabase.GetPrototype", category=UserWarning)
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send to nowhere what the native libraries write about themselves all the same.

    They write to the process's error stream itself, past Python, so that is what must be turned away: for the whole
    process and every thread of it. So a block must be short, what another thread reports meanwhile is lost, and a
    lock lets in one thread at a time, else the second would keep and restore the first one's way to nowhere.
    """
    with _turning_away:
        keep, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, 2)
            yield
        finally:
            os.dup2(keep, 2)
            os.close(keep)
            os.close(null)
