"""Pictures of what was measured: a contact sheet of the widest holes, and films of all rows side by side."""

import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from diorama.bench._stereo_truth import Frames, StereoCase
from diorama.geometry.warp import TEAR, eye_warp
from diorama.media.encoding import Encoding
from diorama.media.images import load_image, save_image
from diorama.media.write import FrameWriter, StreamSpec

PIECE = (112, 160)
"""Height and width of what is shown of a picture, pixels."""
TIMES = 2
HOLE = (255, 0, 255)
HEAD, GAP = 22, 4
Picture = UInt8[np.ndarray, "_h _w 3"]


def shown_frame(case: StereoCase) -> int:
    """The frame with most to find: of what no frame shows where that is known."""
    found = case.holes if case.never is None else case.never
    return int(found.sum(axis=(1, 2)).argmax())


def save_frame(path: Path, frames: Frames, case: StereoCase) -> None:
    """Keep the frame of a row that the sheet shows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(path, frames[shown_frame(case)])


def sheet(cases: Sequence[StereoCase], columns: Mapping[str, str], folder: Path) -> Picture:
    """One line a clip: the warp with its holes, what rows made of it, and the truth.

    Args:
        columns: titles by the names of rows; those whose frames are not in the folder stay grey.
        folder: with ``<label of the clip>-<row>.png`` of `save_frame`.
    """
    titles = ["holes", *columns.values(), "truth"]
    lines = [_header(titles)]
    for case in cases:
        place = _place(case)
        frames = [_holes(case), *(_kept(folder / f"{case.label}-{row}.png", case) for row in columns), _truth(case)]
        lines.append(_line([_large(frame[place]) for frame in frames]))
    return np.concatenate(lines)


def save_film(path: Path, case: StereoCase, right: Frames) -> None:
    """Both eyes side by side, as browsers play them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wide = np.concatenate([case.left, right], axis=2)
    fps = Fraction(case.fps).limit_denominator(1001)
    spec = StreamSpec(wide.shape[2], wide.shape[1], 1 / fps, fps)
    with TemporaryDirectory(prefix=".", dir=path.parent) as folder:
        partial = Path(folder) / path.name
        with FrameWriter(partial, spec, Encoding("libx264").resolved(path.suffix, 8)) as writer:
            for number, image in enumerate(wide):
                writer.write(image, number)
        os.replace(partial, path)


def _place(case: StereoCase) -> tuple[slice, slice]:
    """The piece of the picture with most holes, not at its side where there are others."""
    t = shown_frame(case)
    inner = case.holes[t] & ~case.sides[t]
    wanted = (inner if inner.any() else case.holes[t]).astype(np.float32)
    sizes = [min(side, whole) for side, whole in zip(PIECE, wanted.shape, strict=True)]
    sums = cv2.boxFilter(wanted, -1, (sizes[1], sizes[0]), normalize=False, anchor=(0, 0))
    inside = sums[: wanted.shape[0] - sizes[0] + 1, : wanted.shape[1] - sizes[1] + 1]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return slice(int(top), int(top) + sizes[0]), slice(int(left), int(left) + sizes[1])


def _holes(case: StereoCase) -> Picture:
    t = shown_frame(case)
    picture, known = eye_warp(case.left[t], case.disparity[t], eye="right", tear=TEAR)
    return _painted(picture, ~known)


def _painted(picture: Picture, mask: Bool[np.ndarray, "h w"]) -> Picture:
    return np.where(mask[..., None], np.array(HOLE, np.uint8), picture)


def _truth(case: StereoCase) -> Picture:
    return case.right[shown_frame(case)]


def _kept(path: Path, case: StereoCase) -> Picture:
    grey = np.full_like(case.right[0], 128)
    if not path.is_file():
        return grey
    found = load_image(path)[..., :3]
    return found if found.shape == grey.shape else grey


def _large(piece: Picture) -> Picture:
    height, width = piece.shape[:2]
    grey = np.full((TIMES * PIECE[0], TIMES * PIECE[1], 3), 128, np.uint8)
    grey[: TIMES * height, : TIMES * width] = piece.repeat(TIMES, axis=0).repeat(TIMES, axis=1)
    return grey


def _line(pieces: Sequence[Picture]) -> Picture:
    gap = np.full((len(pieces[0]), GAP, 3), 255, np.uint8)
    row = np.concatenate([part for piece in pieces for part in (piece, gap)][:-1], axis=1)
    return np.concatenate([row, np.full((GAP, row.shape[1], 3), 255, np.uint8)])


def _header(titles: Sequence[str]) -> Picture:
    pieces = []
    for title in titles:
        piece = np.full((HEAD, TIMES * PIECE[1], 3), 255, np.uint8)
        where = (4, HEAD - 7)
        pieces.append(cv2.putText(piece, title, where, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA))
    return _line([np.asarray(piece, np.uint8) for piece in pieces])
