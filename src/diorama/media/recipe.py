"""A recipe: how an output was made, as data. It is read back to make it again; nothing in it is evaluated."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PureWindowsPath

import av

from diorama.errors import MediaError, UsageError
from diorama.media.atomic import content_bytes, content_hash, write_bytes
from diorama.media.fields import Field, Scalar, parse
from diorama.media.images import image_comment, is_image
from diorama.media.safe import CONTAINER_OPTIONS, regular_file

SCHEMA = 1
MOST_BYTES = 1_000_000
MOST_EMBEDDED = 16_000
_PREFIX = "diorama-recipe:"


@dataclass(frozen=True)
class Input:
    """A file (or a folder of images) that a run read.

    Attributes:
        name: its name without any folder.
        bytes: its size.
        sha256: its content hash, 64 hexadecimal digits (`content_hash`).
    """

    name: str
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "Input":
        """Measure a file or folder; reads it once."""
        name = os.fsencode(path.name or path.resolve().name).decode(errors="replace")
        return cls(name, content_bytes(path), content_hash(path))


@dataclass(frozen=True)
class Recipe:
    """What was run on what.

    Attributes:
        command: the subcommand, such as ``stereo``.
        options: every option that shapes the result, by its name in the config, as plain scalars. An option
            that names a file holds the name of one of `inputs`.
        inputs: the files read.
        seed: of all randomness.
        version: of Diorama.
        models: what answered each question, such as ``{"depth": "embedded"}``, with the hash where it has
            one.
    """

    command: str
    options: Mapping[str, Scalar] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    seed: int = 0
    version: str = ""
    models: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.options.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError(f"options.{name}: {value} is not a finite number", "recipe")

    @property
    def identity(self) -> str:
        """32 hexadecimal digits that change with anything in the recipe; for seeds and resume folders."""
        return hashlib.blake2b(_dump(self).encode(), digest_size=16).hexdigest()


def to_json(recipe: Recipe) -> bytes:
    """The recipe as indented JSON in UTF-8."""
    return (json.dumps(recipe_table(recipe), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def recipe_table(recipe: Recipe) -> dict[str, object]:
    """The recipe as plain values for JSON; `recipe_field` reads it back."""
    return {
        "diorama_recipe": SCHEMA,
        "command": recipe.command,
        "options": dict(recipe.options),
        "inputs": [asdict(item) for item in recipe.inputs],
        "seed": recipe.seed,
        "version": recipe.version,
        "models": dict(recipe.models),
    }


def from_json(data: bytes, file: str = "recipe") -> Recipe:
    """Read a recipe from JSON.

    Raises:
        UsageError: over 1 MB, not JSON, nested too deeply, an unknown or missing key, a wrong type; the
            message holds the dotted path.
    """
    return recipe_field(parse(data, file, most=MOST_BYTES))


def recipe_field(top: Field) -> Recipe:
    """A recipe that is part of a larger document; raises what the field raises."""
    schema = top.entries().get("diorama_recipe")
    if schema is None:
        top.refuse("no key diorama_recipe: not a recipe")
    if schema.integer(1) > SCHEMA:
        schema.refuse(f"schema {schema.value}, this version reads up to {SCHEMA}", "update Diorama")
    keys = top.table(("diorama_recipe", "command", "options", "inputs", "seed", "version", "models"))
    return Recipe(
        keys["command"].text(100),
        {name: item.scalar() for name, item in keys["options"].entries(1000).items()},
        tuple(_input(item) for item in keys["inputs"].items(10_000)),
        keys["seed"].integer(0),
        keys["version"].text(100),
        {name: item.text(1000) for name, item in keys["models"].entries(100).items()},
    )


def sidecar_path(output: Path) -> Path:
    """``<output>.diorama.json``, beside the output."""
    return output.with_name(output.name + ".diorama.json")


def write_sidecar(output: Path, recipe: Recipe) -> Path:
    """Write the recipe beside `output`, atomically; returns where."""
    path = sidecar_path(output)
    write_bytes(path, to_json(recipe))
    return path


def embed_text(recipe: Recipe) -> str:
    """The recipe for a container's comment; "" where it is over 16 kB, and only the sidecar carries it."""
    text = _PREFIX + _dump(recipe)
    return text if len(text.encode()) <= MOST_EMBEDDED else ""


def read_recipe(output: Path) -> Recipe:
    """The recipe of an output: from its sidecar, else from its container; or of a sidecar given itself.

    Raises:
        MediaError: no such file, or it carries no recipe.
        UsageError: it carries one that is not valid.
    """
    if output.name.endswith(".diorama.json"):
        return from_json(_capped(regular_file(output)), str(output))
    sidecar = sidecar_path(output)
    if sidecar.is_file():
        return from_json(_capped(sidecar), str(sidecar))
    comment = _comment(regular_file(output))
    if not comment.startswith(_PREFIX):
        raise MediaError("no recipe in the file, and no sidecar", output, f"expected {sidecar.name} beside it")
    return from_json(comment.removeprefix(_PREFIX).encode(errors="replace"), str(output))


def resolve_inputs(
    recipe: Recipe,
    beside: Path,
    given: Mapping[str, Path] | None = None,
    *,
    allow_changed: bool = False,
) -> dict[str, Path]:
    """Find the files a recipe names: those in `given` where told, all others only in the folder `beside`.

    Args:
        recipe: whose inputs are sought.
        beside: the folder of the output that carries the recipe.
        given: paths by input name; they win.
        allow_changed: accept contents other than the recorded ones.

    Raises:
        UsageError: a name that is not a plain file name, a link that leads out of `beside`, other contents,
            or `given` names no input.
        MediaError: a file is missing.
    """
    given = given or {}
    known = [item.name for item in recipe.inputs]
    for name in given:
        if name not in known:
            raise UsageError(f"the recipe has no input {name!r}", "--input", f"its inputs: {', '.join(known)}")
    found = {item.name: Path(given.get(item.name) or _beside(item.name, beside)) for item in recipe.inputs}
    for item in recipe.inputs:
        _check(item, found[item.name], allow_changed)
    return found


def is_plain_name(name: str) -> bool:
    """Whether `name` is a file name on any system: no folder, no drive, no device, no NUL."""
    windows = PureWindowsPath(name)
    device = windows.stem.upper().rstrip(" 0123456789") in ("CON", "PRN", "AUX", "NUL", "COM", "LPT")
    return name not in ("", ".", "..") and name == windows.name and "\0" not in name and not device


def _beside(name: str, folder: Path) -> Path:
    if not is_plain_name(name):
        raise UsageError(f"the input {name!r} is not a plain file name", "recipe", "give it: --input NAME=PATH")
    path = folder / name
    if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        raise UsageError("the input is a link out of the recipe's folder", path, f"give it: --input {name}=PATH")
    return path


def _check(item: Input, path: Path, allow_changed: bool) -> None:
    if not path.exists():
        raise MediaError(f"the input {item.name!r} is missing", path, f"give it: --input {item.name}=PATH")
    if not path.is_dir():
        regular_file(path)
    if not allow_changed and (content_bytes(path) != item.bytes or content_hash(path) != item.sha256):
        raise UsageError(
            "the input is not the one the recipe was made from (its content differs)",
            path,
            "give the original: --input NAME=PATH, or accept it: --allow-changed",
        )


def _input(item: Field) -> Input:
    keys = item.table(("name", "bytes", "sha256"))
    return Input(keys["name"].text(1000), keys["bytes"].integer(0), keys["sha256"].hexadecimal(64))


def _dump(recipe: Recipe) -> str:
    return json.dumps(recipe_table(recipe), separators=(",", ":"), sort_keys=True, allow_nan=False)


def _capped(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _comment(path: Path) -> str:
    if is_image(path):
        return image_comment(path)
    try:
        with av.open(str(path.absolute()), options=CONTAINER_OPTIONS, metadata_errors="replace") as container:
            tags = {key.lower(): value for key, value in container.metadata.items()}
    except av.error.FFmpegError as error:
        raise MediaError(f"not a recognised media file ({error.strerror})", path, "check the path") from error
    return tags.get("comment", "")
