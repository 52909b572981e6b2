"""An object from all around, as a value and as a folder of plain pictures that any other program can write.

``parts.json`` says from where the pictures are taken; ``rgb``, ``parts``, ``labels`` and ``mask`` hold, as far as they
are there, ``viewNN/frameNNNN.png``: colours on white, part colours on white, part numbers (grey, 255 beside the object)
and silhouettes (white on black). Beside them, ``depth`` may hold grey pictures of 16 bits: metres along the camera's
axis, 1 to 65535 from the first to the second number of ``depth_range`` in ``parts.json``, 0 where nothing is known; a
surface is made by them unless ``depth_guessed`` is true.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int16, Shaped, UInt8

from diorama.core.camera import Cameras
from diorama.errors import DamagedMediaError, LimitError, UsageError
from diorama.geometry.orbit import FIELD_OF_VIEW, around
from diorama.media.atomic import atomic_folder
from diorama.media.fields import Field, parse
from diorama.media.images import load_image, save_image
from diorama.theatre.look import contact_sheet

NAME = "parts.json"
KINDS = ("rgb", "parts", "labels", "mask")
COLORED = ("rgb", "parts")
BYTES = {"rgb": 3, "parts": 3, "labels": 3, "mask": 2}
"""Of a pixel while it is read."""
DEPTH, DEPTH_RANGE, DEPTH_GUESSED = "depth", "depth_range", "depth_guessed"
DEPTHS = 65535
"""Steps of a stored depth, the first is 1."""
NEAREST, FARTHEST = 1e-6, 1e7
"""Metres that a depth may have."""
MOST_VIEWS, MOST_PICTURES, MOST_SIDE = 360, 40_000, 2048
NOTE_BYTES = 1_000_000
MOST_BYTES = 12_000_000_000
"""Of all pixels in memory."""
NONE = 255
"""Beside the object, in pictures of part numbers."""
RADIUS = 0.72
"""Metres around the middle that the cameras hold, where nothing else is known: the object is about one metre."""


@dataclass(frozen=True, eq=False)
class PartViews:
    """Pictures of an object from around; what is not known is None.

    Attributes:
        azimuths: degrees against the first view, each once, 0 looks at the object's front.
        elevation: of all views, degrees.
        radius: of the ball that the cameras hold, metres.
        fps: frames a second.
        images: colours on white.
        colored: parts in their colours, on white.
        labels: number of the part, -1 beside the object.
        inside: silhouettes.
        depth: metres from the camera along its axis (z), 0 where it is not known.
        guessed: whether the depth is a guess, which surfaces are not made by.

    Raises:
        UsageError: no picture at all, sizes that do not fit each other, a direction twice, depth that is none.
    """

    azimuths: Float32[np.ndarray, " v"]
    elevation: float
    radius: float
    fps: float
    images: UInt8[np.ndarray, "v t h w 3"] | None = None
    colored: UInt8[np.ndarray, "v t h w 3"] | None = None
    labels: Int16[np.ndarray, "v t h w"] | None = None
    inside: Bool[np.ndarray, "v t h w"] | None = None
    depth: Float32[np.ndarray, "v t h w"] | None = None
    guessed: bool = False

    def __post_init__(self) -> None:
        shapes = {
            array.shape[:4] for array in (self.images, self.colored, self.labels, self.inside) if array is not None
        }
        if len(shapes) != 1:
            raise UsageError(f"pictures of the shapes {sorted(shapes)}", "PartViews", "give pictures of one shape")
        shape = next(iter(shapes))
        if shape[0] != len(self.azimuths) or min(shape) < 1 or shape[2] != shape[3]:
            given = f"{shape[0]} views x {shape[1]} frames of {shape[3]}x{shape[2]}, {len(self.azimuths)} azimuths"
            raise UsageError(given, "PartViews", "give square pictures and an azimuth for each view")
        apart = (
            np.abs((self.azimuths[:, None] - self.azimuths[None] + 180) % 360 - 180) + np.eye(len(self.azimuths)) * 9
        )
        if apart.min(initial=9) < 0.1:
            twice = float(self.azimuths[np.argwhere(apart < 0.1)[0, 0]])
            raise UsageError(f"two views from {twice:g} degrees", "PartViews", "leave one out")
        if self.labels is not None and not -1 <= int(self.labels.min()) <= int(self.labels.max()) < NONE:
            given = f"numbers of parts from {self.labels.min()} to {self.labels.max()}"
            raise UsageError(given, "PartViews", f"number parts from 0 to {NONE - 1}, -1 beside the object")
        if not (0 < self.radius < 1e6 and 0 < self.fps <= 1000 and -89 <= self.elevation <= 89):
            given = f"radius {self.radius}, {self.fps} frames a second, elevation {self.elevation}"
            raise UsageError(given, "PartViews", "give a radius in metres, a rate up to 1000, 89 degrees at most")
        if self.depth is not None:
            _check_depth(self.depth, shape)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Views, frames, pixels a side."""
        arrays = (self.images, self.colored, self.labels, self.inside)
        views, frames, size, _ = next(array.shape[:4] for array in arrays if array is not None)
        return views, frames, size

    @property
    def cameras(self) -> Cameras:
        """Of the views, in pixels of the pictures."""
        return around(self.azimuths, self.elevation, self.radius, self.shape[2])


def _check_depth(depth: Float32[np.ndarray, "v t h w"], shape: tuple[int, ...]) -> None:
    if depth.shape != shape:
        raise UsageError(f"depth {depth.shape} of pictures {shape}", "PartViews", "give a depth for each pixel")
    known = depth != 0
    if not ((depth[known] >= NEAREST) & (depth[known] <= FARTHEST)).all():
        given = f"depth from {depth.min():g} to {depth.max():g} metres"
        raise UsageError(given, "PartViews", f"give {NEAREST:g} to {FARTHEST:g}, or 0 where it is not known")


def write_views(
    folder: Path, views: PartViews, *, overwrite: bool = False, note: dict[str, object] | None = None
) -> None:
    """Write the folder whole, with an overview ``sheet.png``.

    Args:
        folder: to make.
        views: what to write.
        overwrite: replace an existing folder.
        note: anything to remember beside it, under "made".

    Raises:
        UsageError: the folder exists, or is not writable.
    """
    count, frames, size = views.shape
    told: dict[str, object] = {"diorama": "parts", "version": 1, "fps": views.fps, "frames": frames, "size": size}
    told |= {"field_of_view": FIELD_OF_VIEW, "radius": views.radius, "elevation": views.elevation}
    told |= {"azimuths": [round(float(a), 4) for a in views.azimuths]} | ({"made": note} if note else {})
    if views.depth is not None:
        told |= {DEPTH_RANGE: list(_depth_range(views.depth))} | ({DEPTH_GUESSED: True} if views.guessed else {})
    with atomic_folder(folder, overwrite=overwrite) as partial:
        for kind, pictures in _pictures(views).items():
            for view in range(count):
                place = partial / kind / f"view{view:02d}"
                place.mkdir(parents=True)
                for frame in range(frames):
                    save_image(place / f"frame{frame:04d}.png", pictures[view, frame])
        save_image(partial / "sheet.png", overview(views))
        (partial / NAME).write_text(json.dumps(told, indent=1) + "\n")


def _depth_range(depth: Float32[np.ndarray, "v t h w"]) -> tuple[float, float]:
    """The least and the largest depth, a little apart where they are the same."""
    known = depth[depth > 0].astype(np.float64)
    near, far = (float(known.min()), float(known.max())) if len(known) else (1.0, 1.0)
    return (near, far) if far > near else (near, near * 1.001)


def _pictures(views: PartViews) -> dict[str, Shaped[np.ndarray, "v t h w 3"]]:
    found: dict[str, np.ndarray] = {}
    if views.images is not None:
        found["rgb"] = views.images
    if views.colored is not None:
        found["parts"] = views.colored
    if views.labels is not None:
        grey = np.where(views.labels < 0, NONE, views.labels).astype(np.uint8)
        found["labels"] = np.repeat(grey[..., None], 3, axis=-1)
    if views.inside is not None:
        found["mask"] = np.repeat((views.inside * np.uint8(255)).astype(np.uint8)[..., None], 3, axis=-1)
    if views.depth is not None:
        near, far = _depth_range(views.depth)
        steps = np.rint(1 + (views.depth.astype(np.float64) - near) * ((DEPTHS - 1) / (far - near)))
        grey = np.where(views.depth > 0, steps, 0).astype(np.uint16)
        found[DEPTH] = np.repeat(grey[..., None], 3, axis=-1)
    return found


def overview(views: PartViews) -> UInt8[np.ndarray, "H W 3"]:
    """The first frame of all views, a row for each kind of picture."""
    first = {name: kind[:, 0] for name, kind in _pictures(views).items()}
    if DEPTH in first:
        first[DEPTH] = (~first[DEPTH] >> 8).astype(np.uint8)  # near is dark, on white
    cells = [picture for kind in first.values() for picture in kind]
    return contact_sheet([np.ascontiguousarray(cell) for cell in cells], views.shape[0], gap=2, paper=255)


def is_views(folder: Path) -> bool:
    """Whether a folder says that it holds such pictures."""
    return (folder / NAME).is_file()


def read_views(folder: Path) -> PartViews:
    """Read such a folder; every size is checked before memory is taken.

    Raises:
        DamagedMediaError: ``parts.json`` is no such file, or pictures are missing or of another size.
        UsageError: a direction twice, or no pictures at all.
        LimitError: more than memory should hold.
    """
    path = folder / NAME
    with path.open("rb") as file:
        top = parse(file.read(NOTE_BYTES + 1), str(path), most=NOTE_BYTES, fault=DamagedMediaError)
    keys = ("diorama", "version", "frames", "size", "azimuths")
    fields = top.table(keys, ("fps", "field_of_view", "radius", "elevation", "made", DEPTH_RANGE, DEPTH_GUESSED))
    if fields["diorama"].text() != "parts" or fields["version"].integer() != 1:
        top.refuse("not a description of part views, version 1", "see the README for the format")
    frames = fields["frames"].integer(1, MOST_PICTURES)
    size = fields["size"].integer(8, MOST_SIDE)
    azimuths = np.array([_within(each, -3600, 3600) for each in fields["azimuths"].items(MOST_VIEWS)], np.float32)
    kinds = [kind for kind in KINDS if (folder / kind).is_dir()]
    if not kinds:
        raise UsageError(f"no folder {', '.join(KINDS)}", folder, "put the pictures there, as viewNN/frameNNNN.png")
    deep = (folder / DEPTH).is_dir()
    span = _span(fields, top) if deep else (0.0, 0.0)
    pixels = len(azimuths) * frames * size * size
    held = sum(BYTES[kind] for kind in kinds) + 4 * deep
    if len(azimuths) * frames * (len(kinds) + deep) > MOST_PICTURES or held * pixels > MOST_BYTES:
        raise LimitError(
            f"{len(azimuths)} views x {frames} frames of {size} pixels", folder, "give fewer or smaller ones"
        )
    shape = len(azimuths), frames, size
    opened = {kind: _read(folder / kind, shape) for kind in kinds if kind in COLORED}
    grey = {kind: _read_grey(folder / kind, shape) for kind in kinds if kind not in COLORED}
    labels = grey["labels"].astype(np.int16) if "labels" in grey else None
    return PartViews(
        azimuths,
        _number(fields, "elevation", 0.0, -89, 89),
        _number(fields, "radius", RADIUS, 1e-3, 1e5),
        _number(fields, "fps", 25.0, 0.1, 1000),
        opened.get("rgb"),
        opened.get("parts"),
        None if labels is None else np.where(labels == NONE, -1, labels).astype(np.int16),
        grey["mask"] > 127 if "mask" in grey else None,
        _read_depth(folder / DEPTH, shape, span) if deep else None,
        DEPTH_GUESSED in fields and fields[DEPTH_GUESSED].flag(),
    )


def _span(fields: Mapping[str, Field], top: Field) -> tuple[float, float]:
    """The depths of the darkest and the brightest grey that is one."""
    if DEPTH_RANGE not in fields:
        top.refuse(f"a folder {DEPTH} without {DEPTH_RANGE}", "give [nearest, farthest] in metres")
    field = fields[DEPTH_RANGE]
    ends = [_within(each, NEAREST, FARTHEST) for each in field.items(2)]
    if len(ends) != 2 or not ends[0] < ends[1]:
        field.refuse(f"{ends}", "give [nearest, farthest] in metres, the first below the second")
    return ends[0], ends[1]


def _number(fields: Mapping[str, Field], name: str, otherwise: float, least: float | int, most: float | int) -> float:
    return _within(fields[name], least, most) if name in fields else otherwise


def _within(field: Field, least: float | int, most: float | int) -> float:
    value = field.number()
    if not least <= value <= most:
        field.refuse(f"{value:g} is outside {least:g}..{most:g}")
    return value


def _read(folder: Path, shape: tuple[int, int, int]) -> UInt8[np.ndarray, "v t h w 3"]:
    found = np.empty((*shape, shape[2], 3), np.uint8)
    for at in np.ndindex(shape[:2]):
        found[at] = _on_white(_opened(folder, at, shape)[0])
    return found


def _read_grey(folder: Path, shape: tuple[int, int, int]) -> UInt8[np.ndarray, "v t h w"]:
    found = np.empty((*shape, shape[2]), np.uint8)
    for at in np.ndindex(shape[:2]):
        found[at] = _grey(*_opened(folder, at, shape), np.dtype(np.uint8))
    return found


def _read_depth(folder: Path, shape: tuple[int, int, int], span: tuple[float, float]) -> Float32[np.ndarray, "v t h w"]:
    found = np.empty((*shape, shape[2]), np.float32)
    for at in np.ndindex(shape[:2]):
        grey = _grey(*_opened(folder, at, shape), np.dtype(np.uint16))
        metres = span[0] + (grey.astype(np.float64) - 1) * ((span[1] - span[0]) / (DEPTHS - 1))
        found[at] = np.where(grey > 0, metres, 0)
    return found


def _grey(image: Shaped[np.ndarray, "h w c"], path: Path, kind: np.dtype) -> Shaped[np.ndarray, "h w"]:
    """A picture whose greys are numbers: nothing may be lost, or hide in colours or transparency."""
    grey, clear = image[..., 0], image.shape[2] == 4 and (image[..., 3] != np.iinfo(image.dtype).max).any()
    bits = 8 * kind.itemsize
    if image.dtype != kind or clear or (image[..., :3] != grey[..., None]).any():
        fix = f"write it as a PNG of {bits} bits, without colours or transparency"
        raise DamagedMediaError(f"no opaque grey picture of {bits} bits", path, fix)
    return grey


def _opened(folder: Path, at: tuple[int, ...], shape: tuple[int, int, int]) -> tuple[Shaped[np.ndarray, "h w c"], Path]:
    """The picture of a view and a frame, of the size that was told, and its file."""
    path = folder / f"view{at[0]:02d}" / f"frame{at[1]:04d}.png"
    views, frames, size = shape
    if not path.is_file():
        fix = f"parts.json speaks of {views} views and {frames} frames; add it, or correct them"
        raise DamagedMediaError("a picture is missing", path, fix)
    image = load_image(path)
    if image.shape[:2] != (size, size):
        given = f"a picture of {image.shape[1]}x{image.shape[0]}, expected {size}x{size}"
        raise DamagedMediaError(given, path, "give all of one size")
    return image, path


def _on_white(image: Shaped[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.shape[2] == 3:
        return np.ascontiguousarray(image)
    cover = image[..., 3:].astype(np.float32) / 255
    return np.rint(image[..., :3] * cover + 255 * (1 - cover)).astype(np.uint8)
