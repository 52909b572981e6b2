"""A sample of a set as a row of pictures, for people to look at before anything is trained on it."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from diorama.errors import DamagedMediaError, UsageError
from diorama.figures.part_colors import part_colors
from diorama.theatre.look import contact_sheet, depth_picture, flow_picture, number_picture
from diorama.theatre.shards import Sample, read_shard

Picture = UInt8[np.ndarray, "h w 3"]
COLUMNS = 10
SIDE = 160
"""Pixels of a picture on the sheet."""


def sheet_of(folder: Path, most: int = 16) -> Picture:
    """Samples of a folder of shards, spread evenly over them, a row each.

    Raises:
        UsageError: no folder, or one without shards.
        DamagedMediaError: a shard that is cut short, or a sample that is not of a known recipe.
    """
    if folder.is_file():
        raise UsageError("a file", str(folder), "give the folder that the shards are in")
    paths = sorted(folder.glob("*.tar")) if folder.is_dir() else []
    if not paths:
        raise UsageError("no shards (.tar) there", str(folder), "make some: diorama data theatre -n 8 -o DIR")
    chosen = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, most).round().astype(int))]
    shares = np.diff(np.linspace(0, most, len(chosen) + 1).round().astype(int))
    rows = [picture for path, share in zip(chosen, shares, strict=True) for picture in _rows(path, int(share))]
    return contact_sheet(rows, COLUMNS)


def _rows(path: Path, most: int) -> list[Picture]:
    pictures: list[Picture] = []
    for count, (key, sample) in enumerate(read_shard(path)):
        if count == most:
            break
        try:
            row = [_fit(picture) for picture in pictures_of(sample)]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise DamagedMediaError(f"sample {key} is none of ours: {error}", path, "make the set again") from error
        pictures += row + [np.full((SIDE, SIDE, 3), 24, np.uint8)] * (COLUMNS - len(row))
    return pictures


def pictures_of(sample: Sample) -> list[Picture]:
    """Up to `COLUMNS` pictures of a sample of any recipe."""
    return _object_pictures(sample) if sample.note["recipe"] in ("parts", "rigs") else _clip_pictures(sample)


def _clip_pictures(sample: Sample) -> list[Picture]:
    a = sample.arrays
    times = np.linspace(0, a["image"].shape[1] - 1, 4).astype(int)
    middle = int(times[1])
    found = [a["image"][0, t] for t in times[:3]]
    if len(a["image"]) > 1:
        found.append(a["image"][1, middle])
    found += [
        a["background"][0, middle],
        number_picture(a["owner"][0, middle].astype(np.int32)),
        number_picture(a["parts"][0, middle].astype(np.int32)),
        a["codes"][0, middle, 0],
        depth_picture(a["depth"][0, middle].astype(np.float32)),
        flow_picture(a["flow"][0, middle].astype(np.float32)),
        a["canonical_front"][0],
    ]
    return found[:COLUMNS]


def _object_pictures(sample: Sample) -> list[Picture]:
    """Views and frames spread evenly; every other picture its parts, in the colours of the view that is shown first."""
    a = sample.arrays
    spread = [np.linspace(0, n - 1, COLUMNS // 2).round().astype(int) for n in a["image"].shape[:2]]
    colors = colors_of(sample, 0)
    found: list[Picture] = []
    for v, t in zip(*spread, strict=True):
        parts = a["parts"][v, t].astype(int)
        shown: Picture = np.where(parts[..., None] >= 0, colors[parts], 255).astype(np.uint8)
        found += [a["image"][v, t], shown]
    return found


def colors_of(sample: Sample, view: int) -> UInt8[np.ndarray, "k 3"]:
    """The colours of an object's parts when `view` is the input view (SP4D section 3.1)."""
    low, high = sample.arrays["box"].astype(np.float32)
    centers: Float32[np.ndarray, "k 3"] = sample.arrays["part_centers"].astype(np.float32)
    return part_colors(centers, low, high, float(sample.arrays["azimuths"][view]))


def _fit(picture: Picture) -> UInt8[np.ndarray, "side side 3"]:
    """The picture on a square of `SIDE` pixels, nearest samples."""
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    rows = (np.arange(max(int(height * scale), 1)) / scale).astype(int).clip(0, height - 1)
    columns = (np.arange(max(int(width * scale), 1)) / scale).astype(int).clip(0, width - 1)
    small = picture[rows][:, columns]
    page = np.full((SIDE, SIDE, 3), 24, np.uint8)
    page[: len(rows), : len(columns)] = small
    return page
