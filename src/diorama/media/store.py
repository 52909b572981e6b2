"""A scene on disk: a folder with the source clip once, and each layer as what differs from it.

``scene.json`` lists every file with its hash. Coverage and depth are lossless grey video, colour is the source's with
the changed tiles of each frame; each actor is a file of arrays. The folder appears whole or not at all.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import repeat
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from diorama.core.actor import Actor
from diorama.core.layers import Layer, LayerDepth, LayeredVideo, Map
from diorama.core.progress import Progress, Silent
from diorama.core.video import Frame, Pixels, Video
from diorama.errors import DamagedMediaError, MediaError, UsageError
from diorama.media.actors import read_actor
from diorama.media.manifest import (
    MOST_BYTES,
    NAME,
    Manifest,
    StoredActor,
    StoredLayer,
    check_files,
    from_json,
)
from diorama.media.masks import open_maps
from diorama.media.npy import open_array
from diorama.media.patches import patched
from diorama.media.read import open_video
from diorama.media.recipe import Recipe
from diorama.media.safe import regular_file
from diorama.media.scene_writer import LayerSpec, Piece, SceneSpec, SceneWriter, check_actors


def write_scene(
    path: Path,
    layered: LayeredVideo,
    *,
    actors: Sequence[Actor] = (),
    source: Path | None = None,
    source_start: int = 0,
    provenance: Recipe | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Store a scene so that `read_scene` and `read_actors` give back every bit of it.

    Args:
        path: the folder to make.
        layered: the scene; each layer is read once.
        actors: the people of the scene; of their bodies' meshes no texture, uvs and colours are kept.
        source: the clip it was taken from, copied byte for byte; layers are stored as what differs from it (without
            one, from black).
        source_start: the frame of the source that is the scene's first.
        provenance: how it was made.
        overwrite: replace a scene that is there, whole and only at the end.
        progress: told about each frame.

    Raises:
        UsageError: `path` exists or cannot be written, the source is not of the scene's size or too short, or
            actors are of one name, of layers that are not there, or of frames beyond the scene's.
        LimitError: more than `MOST_ACTORS` actors, or one that is too large.
    """
    if len(layered) == 0:
        raise UsageError("a scene of 0 frames", path, "give at least one frame")
    check_actors(actors, [layer.name for layer in layered.layers], len(layered))
    base = _base(layered, source, source_start)
    with SceneWriter(path, _spec(layered, source, source_start), overwrite=overwrite) as writer:
        writer.actors, writer.provenance = actors, provenance
        progress = progress or Silent()
        progress.begin("store", len(layered))
        for below, *pieces in zip(base, *(_pieces(layer) for layer in layered.layers), strict=True):
            writer.write(below.image, pieces[0][1], [piece for piece, _ in pieces])
            progress.advance()


def read_scene(path: Path, *, verify: bool = True) -> LayeredVideo:
    """Open a stored scene; frames are decoded when they are read.

    Args:
        path: the folder.
        verify: compare the hash of every file first (about a second a gigabyte).

    Raises:
        MediaError: no scene, of a newer schema, or a manifest that is not valid (by dotted path).
        DamagedMediaError: a file is missing, a link, or not what was stored.
    """
    manifest = read_manifest(path)
    check_files(path, manifest, hashes=verify)
    base = _stored_base(path, manifest)
    return LayeredVideo(tuple(_open_layer(path, manifest, layer, base) for layer in manifest.layers))


def read_actors(path: Path, *, verify: bool = True) -> tuple[Actor, ...]:
    """The people of a stored scene, in the order they were given; none in scenes of schema 1.

    Args:
        path: the folder.
        verify: compare the hashes of their files first; other files are not looked at.

    Raises:
        MediaError, LimitError: as `read_scene` and `media.actors.read_actor`.
        DamagedMediaError: a file is missing, a link, not what was stored, or no actor; an actor of another name than
            the manifest's, of a layer that is not there, or of frames beyond the scene's.
    """
    manifest = read_manifest(path)
    files = {actor.file: manifest.files[actor.file] for actor in manifest.actors}
    check_files(path, replace(manifest, files=files), hashes=verify)
    actors = tuple(_read_stored(path, stored) for stored in manifest.actors)
    try:
        check_actors(actors, [layer.name for layer in manifest.layers], manifest.frames)
    except UsageError as error:
        raise DamagedMediaError(f"{error.where}: {error.what}", path / NAME, "store the scene again") from error
    return actors


def read_manifest(path: Path) -> Manifest:
    """Only what is in the folder, and how it was made; raises `MediaError`."""
    if not path.is_dir():
        raise MediaError("no such scene", path, "give the folder that holds scene.json")
    file = path / NAME
    if file.is_symlink():
        raise MediaError("the manifest is a link", file)
    with regular_file(file).open("rb") as stream:
        return from_json(stream.read(MOST_BYTES + 1), str(file))


@dataclass(frozen=True, eq=False)
class _Black:
    """The ground of a scene without a source."""

    height: int
    width: int
    bits: int

    def read(self, start: int, stop: int) -> Iterator[Frame]:
        black = np.zeros((self.height, self.width, 3), np.uint8 if self.bits == 8 else np.uint16)
        for index in range(start, stop):
            yield Frame(black, index, 1, index)


@dataclass(frozen=True, eq=False)
class PatchedSource:
    """Frames of `base` with the tiles of a patch file, on the scene's clock."""

    base: Video
    patches: Path | None
    pts: Int64[np.ndarray, "t"]
    durations: Int64[np.ndarray, "t"]

    def read(self, start: int, stop: int) -> Iterator[Frame]:
        stop = min(stop, len(self.pts))
        base = self.base[start:stop]
        images: Iterator[Pixels]
        images = (frame.image for frame in base) if self.patches is None else patched(self.patches, base, start)
        for index, image in enumerate(images, start):
            yield Frame(image, int(self.pts[index]), int(self.durations[index]), index)


def _base(layered: LayeredVideo, source: Path | None, start: int) -> Video:
    """What layers are compared with."""
    first = layered.layers[0].color
    if source is None:
        return _black(layered.height, layered.width, first.bits, len(layered))
    video = open_video(regular_file(source))[start : start + len(layered)]
    found = (len(video), video.height, video.width, video.bits > 8)
    if found != (len(layered), layered.height, layered.width, first.bits > 8):
        held = f"{found[0]} frames of {found[2]}x{found[1]}, {video.bits} bits, from frame {start} on"
        raise UsageError(f"the source holds {held}: not those of the scene", source, "give the clip it was made from")
    return video


def _black(height: int, width: int, bits: int, frames: int) -> Video:
    clock = np.arange(frames, dtype=np.int64)
    bits = 8 if bits == 8 else 16
    return Video(_Black(height, width, bits), clock, np.ones_like(clock), Fraction(1, 25), height, width, bits)


def _spec(layered: LayeredVideo, source: Path | None, start: int) -> SceneSpec:
    first, layers = layered.layers[0].color, tuple(_layer_spec(layer) for layer in layered.layers)
    size = layered.height, layered.width, first.bits
    return SceneSpec(*size, layered.time_base, first.color, layers, source, start)


def _layer_spec(layer: Layer) -> LayerSpec:
    bits: int | None = 8 if layer.color.bits == 8 else 16
    if layer.alpha is not None:
        bits = 8 * next(iter(layer.alpha[:1])).dtype.itemsize
    elif not layer.color.has_alpha:
        bits = None
    depth = None if layer.depth is None else (layer.depth.scale, layer.depth.offset)
    return LayerSpec(layer.name, bits, depth)


def _pieces(layer: Layer) -> Iterator[tuple[Piece, tuple[int, int]]]:
    """A layer's frames with their clock; the range of its coverage is kept as it is."""
    alphas: Iterable[Map | None] = repeat(None, len(layer.color)) if layer.alpha is None else layer.alpha
    codes: Iterable[Map | None] = repeat(None, len(layer.color)) if layer.depth is None else layer.depth.codes
    for frame, given, code in zip(layer.color, alphas, codes, strict=True):
        alpha = _coverage(frame) if given is None and layer.color.has_alpha else given
        yield Piece(frame.image, alpha, code), (frame.pts, frame.duration)


def _coverage(frame: Frame) -> np.ndarray:
    if frame.alpha is not None:
        return frame.alpha
    return np.full(frame.image.shape[:2], np.iinfo(frame.image.dtype).max, frame.image.dtype)


def _read_stored(folder: Path, stored: StoredActor) -> Actor:
    actor = read_actor(folder / stored.file)
    if actor.name != stored.name:
        what = f"it holds {actor.name!r}, expected {stored.name!r}"
        raise DamagedMediaError(what, folder / stored.file, "store the scene again")
    return actor


def _stored_base(folder: Path, manifest: Manifest) -> Video:
    if manifest.source is None:
        return _black(manifest.height, manifest.width, manifest.bits, manifest.frames)
    start = manifest.source_start
    video = open_video(folder / manifest.source)[start : start + manifest.frames]
    expected = (manifest.frames, manifest.height, manifest.width, manifest.bits > 8)
    if (len(video), video.height, video.width, video.bits > 8) != expected:
        raise DamagedMediaError("the stored source does not fit the manifest", folder / manifest.source)
    return video


def _open_layer(folder: Path, manifest: Manifest, layer: StoredLayer, base: Video) -> Layer:
    pts, durations = _clock(folder / manifest.clock, manifest.frames)
    source = PatchedSource(base, folder / layer.patches if layer.patches else None, pts, durations)
    size = {"length": manifest.frames, "height": manifest.height, "width": manifest.width}
    color = Video(
        source,
        pts,
        durations,
        Fraction(*manifest.time_base),
        manifest.height,
        manifest.width,
        manifest.bits,
        manifest.color,
    )
    alpha = open_maps(folder / layer.alpha, bits=layer.alpha_bits, **size) if layer.alpha else None
    depth = None
    if layer.depth is not None:
        codes = open_maps(folder / layer.depth.file, bits=16, **size)
        depth = LayerDepth(codes, layer.depth.scale, layer.depth.offset)
    return Layer(layer.name, color, alpha, depth)


def _clock(file: Path, frames: int) -> tuple[Int64[np.ndarray, "t"], Int64[np.ndarray, "t"]]:
    try:
        table = open_array(file)
    except (MediaError, DamagedMediaError) as error:
        raise DamagedMediaError(f"not a clock ({error.what})", file) from error
    if table.shape != (2, frames) or table.dtype != np.int64:
        raise DamagedMediaError(f"a clock of {table.shape} {table.dtype}, expected (2, {frames}) int64", file)
    pts, durations = np.array(table)
    if np.any(np.diff(pts) <= 0) or np.any(durations < 0):
        raise DamagedMediaError("times that do not rise", file)
    return pts, durations
