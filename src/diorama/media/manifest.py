"""The manifest of a stored scene: what is in the folder, checked before anything of it is opened."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from diorama.core.actor import MOST_LETTERS
from diorama.core.video import ColorTags
from diorama.errors import DamagedMediaError, MediaError
from diorama.media.atomic import content_hash
from diorama.media.fields import Field, parse
from diorama.media.recipe import Recipe, is_plain_name, recipe_field, recipe_table
from diorama.media.safe import Limits

SCHEMA = 2
NAME = "scene.json"
MOST_BYTES = 4_000_000
MOST_LAYERS = 64
MOST_ACTORS = 32


@dataclass(frozen=True)
class StoredDepth:
    """A file of depth codes; inverse depth in 1/m is ``offset + scale * code``."""

    file: str
    scale: float
    offset: float


@dataclass(frozen=True)
class StoredLayer:
    """One layer: files of coverage (None: full), of changed tiles (None: the source's pixels), and of depth."""

    name: str
    alpha: str | None
    alpha_bits: int
    patches: str | None
    depth: StoredDepth | None


@dataclass(frozen=True)
class StoredActor:
    """One actor: its name and its file."""

    name: str
    file: str


@dataclass(frozen=True)
class StoredFile:
    """Size and content hash of a file of the folder."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What the folder holds.

    Attributes:
        frames, height, width, bits: of the scene; bits of its pixels, 8 or more.
        time_base: seconds per tick, as numerator and denominator.
        color: colour tags.
        clock: file with start and duration of each frame.
        source: the stored clip, or None; layers differ from it (or from black).
        source_start: frame of the source that is the scene's first.
        layers: from far to near.
        files: all files of the folder but the manifest.
        provenance: how the scene was made.
        actors: the people of the scene; none in scenes of schema 1.
    """

    frames: int
    height: int
    width: int
    bits: int
    time_base: tuple[int, int]
    color: ColorTags
    clock: str
    source: str | None
    source_start: int
    layers: tuple[StoredLayer, ...]
    files: Mapping[str, StoredFile] = field(default_factory=dict)
    provenance: Recipe | None = None
    actors: tuple[StoredActor, ...] = ()


def to_json(manifest: Manifest) -> bytes:
    """The manifest as indented JSON."""
    table = asdict(manifest)
    table["provenance"] = None if manifest.provenance is None else recipe_table(manifest.provenance)
    return (json.dumps({"diorama_scene": SCHEMA, **table}, indent=1, allow_nan=False) + "\n").encode()


def from_json(data: bytes, file: str) -> Manifest:
    """Read a manifest.

    Raises:
        MediaError: over the size cap, not JSON, of a newer schema, or a field of a wrong type (by dotted path).
        LimitError: pictures over the pixel budget.
    """
    top = parse(data, file, most=MOST_BYTES, fault=MediaError)
    schema = top.entries().get("diorama_scene")
    if schema is None:
        top.refuse("no key diorama_scene: not a scene")
    if schema.integer(1) > SCHEMA:
        schema.refuse(f"schema {schema.value}, this version reads up to {SCHEMA}", "update Diorama")
    known = [name for name in Manifest.__dataclass_fields__ if name != "actors" or schema.value != 1]
    keys = top.table(("diorama_scene", *known))
    files = {name: _file(item) for name, item in keys["files"].entries(1000).items()}
    manifest = Manifest(
        keys["frames"].integer(1, 2**31),
        keys["height"].integer(1, 2**20),
        keys["width"].integer(1, 2**20),
        keys["bits"].integer(8, 16),
        _ratio(keys["time_base"]),
        _color(keys["color"]),
        _listed(keys["clock"], files),
        None if keys["source"].value is None else _listed(keys["source"], files),
        keys["source_start"].integer(0, 2**31),
        tuple(_layer(item, files) for item in keys["layers"].items(MOST_LAYERS)),
        files,
        None if keys["provenance"].value is None else recipe_field(keys["provenance"]),
        tuple(_actor(item, files) for item in keys["actors"].items(MOST_ACTORS)) if "actors" in keys else (),
    )
    names = {layer.name for layer in manifest.layers}
    if not names or len(names) < len(manifest.layers):
        keys["layers"].refuse("two of one name" if names else "no layers")
    if len({actor.name for actor in manifest.actors}) < len(manifest.actors):
        keys["actors"].refuse("two of one name")
    Limits().check_size(manifest.width, manifest.height, file)
    return manifest


def check_files(folder: Path, manifest: Manifest, *, hashes: bool) -> None:
    """Raise `DamagedMediaError` for a file that is missing, a link, of another size or, if asked, of other content."""
    for name, expected in manifest.files.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise DamagedMediaError("a file of the scene is missing, or is a link", path, "store the scene again")
        size = path.stat().st_size
        if size != expected.bytes:
            raise DamagedMediaError(f"{size} bytes, expected {expected.bytes}", path, "store the scene again")
        if hashes and content_hash(path) != expected.sha256:
            raise DamagedMediaError("its content is not what was stored", path, "store the scene again")


def _listed(item: Field, files: Mapping[str, StoredFile]) -> str:
    name = item.text(255)
    if name not in files:
        item.refuse(f"{name!r} is not among files")
    return name


def _file(item: Field) -> StoredFile:
    name = item.path.partition(".")[2]
    if not is_plain_name(name) or name == NAME:
        item.refuse("no plain file name: paths out of the folder are not followed")
    keys = item.table(("bytes", "sha256"))
    return StoredFile(keys["bytes"].integer(0), keys["sha256"].hexadecimal(64))


def _layer(item: Field, files: Mapping[str, StoredFile]) -> StoredLayer:
    keys = item.table(("name", "alpha", "alpha_bits", "patches", "depth"))
    alpha, patches = (None if keys[k].value is None else _listed(keys[k], files) for k in ("alpha", "patches"))
    depth = None
    if keys["depth"].value is not None:
        parts = keys["depth"].table(("file", "scale", "offset"))
        depth = StoredDepth(_listed(parts["file"], files), parts["scale"].number(), parts["offset"].number())
    if keys["alpha_bits"].integer() not in (8, 16):
        keys["alpha_bits"].refuse("expected 8 or 16")
    return StoredLayer(keys["name"].text(200), alpha, keys["alpha_bits"].integer(), patches, depth)


def _actor(item: Field, files: Mapping[str, StoredFile]) -> StoredActor:
    keys = item.table(("name", "file"))
    return StoredActor(keys["name"].text(MOST_LETTERS), _listed(keys["file"], files))


def _ratio(item: Field) -> tuple[int, int]:
    parts = item.items(2)
    if len(parts) != 2:
        item.refuse("expected numerator and denominator")
    return parts[0].integer(1, 2**31), parts[1].integer(1, 2**31)


def _color(item: Field) -> ColorTags:
    keys = item.table(("primaries", "transfer", "matrix", "full_range"))
    primaries, transfer, matrix = (keys[name].integer(0, 255) for name in ("primaries", "transfer", "matrix"))
    return ColorTags(primaries, transfer, matrix, keys["full_range"].flag())
