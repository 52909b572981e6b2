"""Networks of `transformers` from a local folder, the download cache, or the hub; loaded without running code.

Weights are safetensors, or pickles read with ``weights_only=True``; the architecture is checked before they are
opened, every tensor must find its place, and a model is downloaded only when the user named it.
"""

import hashlib
import json
import os
import pickle
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from diorama import catalog
from diorama.core.extras import need
from diorama.errors import ModelError
from diorama.media.atomic import content_hash
from diorama.media.fields import parse

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
PATTERNS = [
    "config.json",
    "preprocessor_config.json",
    "README.md",
    "model*.safetensors",
    "model*.safetensors.index.json",
]
JSON_LIMIT = 10_000_000
HEADER_LIMIT = 100_000_000
SHOWN = 5
# Released checkpoints leave out what inference never reads: the first fusion layer has nothing to add, and the mask
# token is for training.
UNREAD = re.compile(r"fusion_stage\.layers\.0\.residual_layer1\.|\.mask_token$")


@dataclass(frozen=True)
class ModelFolder:
    """A folder with a model, not loaded yet.

    Attributes:
        path: holds config.json and the weights.
        name: what the user asked for.
        terms: source and licence in one line.
        config: contents of config.json.
        preprocessor: contents of preprocessor_config.json, empty without one.
    """

    path: Path
    name: str
    terms: str
    config: Mapping[str, Any]
    preprocessor: Mapping[str, Any]

    @property
    def family(self) -> str:
        """The architecture, as `transformers` names it."""
        return str(self.config.get("model_type", "unknown"))

    @property
    def weights(self) -> list[Path]:
        """Files of the weights: safetensors where there are any, else pickles."""
        safe = sorted(self.path.glob("*.safetensors"))
        return safe or sorted(self.path.glob("pytorch_model*.bin"))

    @property
    def safe(self) -> bool:
        """Whether the weights are safetensors."""
        return any(self.path.glob("*.safetensors"))

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the model by content: SHA-256 (hexadecimal) over its configuration and its weights."""
        total = hashlib.sha256(json.dumps([self.config, self.preprocessor], sort_keys=True).encode())
        for file in self.weights:
            total.update(f"{file.name} {content_hash(file)}\n".encode())
        return total.hexdigest()


def locate(name: str | Path, note: Callable[[str], None]) -> ModelFolder:
    """Find a model by folder, by catalogue name, or by hub name ``organisation/model``.

    The download cache comes first; the hub is asked only for what is not there.

    Raises:
        ModelError: unknown, not downloadable, without configuration or weights, or a file with the wrong hash.
    """
    path = Path(name)
    if path.is_dir():
        return _opened(path, str(name), _folder_terms(path))
    text = str(name)
    named = HUB_NAME.fullmatch(text)
    entry = catalog.by_source(text) if named else catalog.find(text)
    source = entry.source if entry else text
    terms = entry.terms if entry else f"weights {source}: see its page for the licence, {catalog.UNVERIFIED}"
    whole = ("config.json", "model.safetensors"), ("config.json", "model.safetensors.index.json")
    found = catalog.cached(source, whole[0]) or catalog.cached(source, whole[1])
    if found is None:
        size = f" ({entry.megabytes} MB)" if entry else ""
        note(f"downloading {source}{size}; {terms}")
        found = _download(source)
    folder = _opened(found, text, terms)
    if entry and entry.sha256:
        _verify(folder, entry)
    return folder


def _download(source: str) -> Path:
    quiet()
    hub = need("huggingface_hub")
    remedy = f"where there is a network: hf download {source} --local-dir model; then name that folder"
    try:
        return Path(hub.snapshot_download(source, allow_patterns=PATTERNS))
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ModelError(f"no such folder, and no download ({reason})", source, remedy) from error


def quiet() -> None:
    """Turn off telemetry, and the messages and bars that `transformers` writes to the terminal."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging = need("transformers").utils.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _opened(path: Path, name: str, terms: str) -> ModelFolder:
    config = read_json(path / "config.json")
    prepared = path / "preprocessor_config.json"
    folder = ModelFolder(path, name, terms, config, read_json(prepared) if prepared.is_file() else {})
    if not folder.weights:
        raise ModelError("no weights in the model folder", path, "it must hold config.json and model.safetensors")
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of at most 10 MB.

    Raises:
        ModelError: missing, too large, or not a JSON object.
    """
    try:
        with path.open("rb") as file:
            data = file.read(JSON_LIMIT + 1)
    except OSError as error:
        raise ModelError(f"no {path.name} in the model folder", path.parent, "name a folder of transformers") from error
    loaded = parse(data, str(path), most=JSON_LIMIT, fault=ModelError).value
    if not isinstance(loaded, dict):
        raise ModelError("not a JSON object", path)
    return loaded


def _folder_terms(path: Path) -> str:
    """The licence a folder's README states in its head, the form that model pages use."""
    readme = path / "README.md"
    head = readme.read_bytes()[:4000].decode("utf-8", "replace") if readme.is_file() else ""
    stated = re.search(r"^license(?:_name)?:\s*([\w.-]+)", head, re.MULTILINE)
    return f"weights {path}: {stated[1] if stated else 'the folder states no licence'}, {catalog.UNVERIFIED}"


def _verify(folder: ModelFolder, entry: catalog.Weights) -> None:
    """Compare the files whose hash the catalogue knows."""
    for name, expected in entry.sha256.items():
        file = folder.path / name
        found = content_hash(file) if file.is_file() else "none"
        if found != expected:
            raise ModelError(
                f"{name} has sha256 {found[:12]}, expected {expected[:12]}", folder.path, "delete it to fetch it again"
            )


def check_safetensors(path: Path) -> None:
    """Refuse what the safetensors reader lets pass or reports unclearly: cut files, names that occur twice.

    Raises:
        ModelError: truncated, an oversized or unreadable header, a name twice, data beyond the end.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if length > min(HEADER_LIMIT, size - 8):
            raise ModelError("the weights are cut off in the header", path, "copy or download the file again")
        raw = file.read(length)
    header = parse(raw, str(path), most=HEADER_LIMIT, fault=ModelError).value
    try:
        if not isinstance(header, dict):
            raise TypeError("not an object")
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ModelError(f"the header of the weights is damaged ({str(error)[:100]})", path) from error
    if expected != size:
        raise ModelError(f"the weights hold {size} bytes, expected {expected}", path, "copy or download the file again")


def load(folder: ModelFolder, classes: Mapping[str, str], **options: Any) -> Any:
    """Load a network in evaluation mode, float32, on the CPU.

    Args:
        folder: from `locate`.
        classes: class in `transformers` for each architecture that is accepted.
        options: further arguments of ``from_pretrained``.

    Raises:
        ModelError: another architecture, damaged or incomplete weights, values that are not finite, or a
            pickle that holds more than tensors.
    """
    if folder.family not in classes:
        raise ModelError(
            f"a model of the family {folder.family!r}", folder.path, f"expected one of {', '.join(sorted(classes))}"
        )
    for file in folder.weights if folder.safe else []:
        check_safetensors(file)
    quiet()
    torch = need("torch")
    network, report = _from_pretrained(folder, classes[folder.family], torch, options)
    missing = [key for key in report["missing_keys"] if not UNREAD.search(key)]
    problems = [*missing, *(key for key, *_ in report["mismatched_keys"])]
    if problems:
        shown = ", ".join(sorted(problems)[:SHOWN])
        raise ModelError(
            f"{len(problems)} tensors of {folder.family} are missing or of another shape: {shown}", folder.path
        )
    broken = [name for name, tensor in network.named_parameters() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise ModelError(f"weights with NaN or infinity: {', '.join(broken[:SHOWN])}", folder.path)
    return network.eval()


def _from_pretrained(folder: ModelFolder, name: str, torch: Any, options: Mapping[str, Any]) -> tuple[Any, Any]:
    safetensors, kinds = need("safetensors"), need("huggingface_hub.errors")
    refused = (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        RuntimeError,
        EOFError,
        ImportError,
    )
    try:
        return getattr(need("transformers"), name).from_pretrained(
            folder.path,
            local_files_only=True,
            use_safetensors=folder.safe,
            weights_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
            **options,
        )
    except pickle.UnpicklingError as error:
        raise ModelError(
            "pickle refused: the weights hold more than tensors", folder.path, "use model.safetensors"
        ) from error
    except (*refused, ZeroDivisionError, safetensors.SafetensorError, kinds.StrictDataclassError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"the {folder.family} model does not load ({reason})", folder.path) from error
