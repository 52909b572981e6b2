"""A scene on disk: a folder with the source clip once, and each layer as what differs from it.

``scene.json`` lists every file with its hash. Coverage and depth are lossless grey video, colour is the source's with
the changed tiles of each frame. The folder appears whole or not at all.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from diorama.core.layers import Layer, LayerDepth, LayeredVideo
from diorama.core.progress import Progress, Silent
from diorama.core.video import Frame, Pixels, Video
from diorama.errors import DamagedMediaError, MediaError, UsageError
from diorama.media.atomic import atomic_folder, content_hash
from diorama.media.manifest import (
    MOST_BYTES,
    NAME,
    Manifest,
    StoredDepth,
    StoredFile,
    StoredLayer,
    check_files,
    from_json,
    to_json,
)
from diorama.media.masks import open_maps, write_maps
from diorama.media.npy import open_array
from diorama.media.patches import patched, write_patches
from diorama.media.read import open_video
from diorama.media.recipe import Recipe
from diorama.media.safe import regular_file


def write_scene(
    path: Path,
    layered: LayeredVideo,
    *,
    source: Path | None = None,
    source_start: int = 0,
    provenance: Recipe | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Store a scene so that `read_scene` gives back every bit of it.

    Args:
        path: the folder to make.
        layered: the scene; each layer is read once or twice.
        source: the clip it was taken from, copied byte for byte; layers are stored as what differs from it (without
            one, from black).
        source_start: the frame of the source that is the scene's first.
        provenance: how it was made.
        overwrite: replace a scene that is there, whole and only at the end.
        progress: told about each layer.

    Raises:
        UsageError: `path` exists or cannot be written, or the source is not of the scene's size or too short.
    """
    if len(layered) == 0:
        raise UsageError("a scene of 0 frames", path, "give at least one frame")
    with atomic_folder(path, overwrite=overwrite) as folder:
        base = _store_source(folder, layered, source, source_start)
        np.save(folder / "clock.npy", np.stack([layered.pts, layered.layers[0].color.durations]).astype(np.int64))
        progress = progress or Silent()
        progress.begin("store", len(layered.layers))
        layers = []
        for number, layer in enumerate(layered.layers):
            layers.append(_store_layer(folder, f"layer{number}", layer, base))
            progress.advance()
        manifest = _manifest(layered, base, source_start, tuple(layers), provenance)
        files = {item.name: StoredFile(item.stat().st_size, content_hash(item)) for item in sorted(folder.iterdir())}
        (folder / NAME).write_bytes(to_json(replace(manifest, files=files)))


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
class _Base:
    """What layers are compared with: its file (None: black) and its frames, of the scene's length."""

    file: str | None
    video: Video


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


def _store_source(folder: Path, layered: LayeredVideo, source: Path | None, start: int) -> _Base:
    first = layered.layers[0].color
    if source is None:
        return _Base(None, _black(layered.height, layered.width, first.bits, len(layered)))
    name = f"source{source.suffix.lower()}"
    shutil.copyfile(regular_file(source), folder / name)
    video = open_video(folder / name)[start : start + len(layered)]
    found = (len(video), video.height, video.width, video.bits > 8)
    if found != (len(layered), layered.height, layered.width, first.bits > 8):
        held = f"{found[0]} frames of {found[2]}x{found[1]}, {video.bits} bits, from frame {start} on"
        raise UsageError(f"the source holds {held}: not those of the scene", source, "give the clip it was made from")
    return _Base(name, video)


def _black(height: int, width: int, bits: int, frames: int) -> Video:
    clock = np.arange(frames, dtype=np.int64)
    bits = 8 if bits == 8 else 16
    return Video(_Black(height, width, bits), clock, np.ones_like(clock), Fraction(1, 25), height, width, bits)


def _store_layer(folder: Path, stem: str, layer: Layer, base: _Base) -> StoredLayer:
    patches = f"{stem}.patches"
    pairs = ((below.image, frame.image) for below, frame in zip(base.video, layer.color, strict=True))
    if write_patches(folder / patches, pairs) == 0:
        (folder / patches).unlink()
        patches = ""
    alpha, bits = _store_alpha(folder / f"{stem}-alpha.mkv", layer)
    depth = None
    if layer.depth is not None:
        file = folder / f"{stem}-depth.mkv"
        codes = layer.depth.codes
        write_maps(file, codes, height=codes.height, width=codes.width, bits=16)
        depth = StoredDepth(file.name, float(layer.depth.scale), float(layer.depth.offset))
    return StoredLayer(layer.name, alpha, bits, patches or None, depth)


def _store_alpha(file: Path, layer: Layer) -> tuple[str | None, int]:
    """Coverage from the layer's own maps or its frames; its range is kept as it is."""
    if layer.alpha is None and not layer.color.has_alpha:
        return None, 8
    if layer.alpha is not None:
        values: Iterator[np.ndarray] = iter(layer.alpha)
        bits = 8 * next(iter(layer.alpha[:1])).dtype.itemsize
    else:
        values = (_coverage(frame) for frame in layer.color)
        bits = 8 if layer.color.bits == 8 else 16
    write_maps(file, values, height=layer.color.height, width=layer.color.width, bits=bits)
    return file.name, bits


def _coverage(frame: Frame) -> np.ndarray:
    if frame.alpha is not None:
        return frame.alpha
    return np.full(frame.image.shape[:2], np.iinfo(frame.image.dtype).max, frame.image.dtype)


def _manifest(
    layered: LayeredVideo,
    base: _Base,
    start: int,
    layers: tuple[StoredLayer, ...],
    provenance: Recipe | None,
) -> Manifest:
    first = layered.layers[0].color
    return Manifest(
        len(layered),
        layered.height,
        layered.width,
        first.bits,
        (layered.time_base.numerator, layered.time_base.denominator),
        first.color,
        "clock.npy",
        base.file,
        start,
        layers,
        provenance=provenance,
    )


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
