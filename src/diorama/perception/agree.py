"""Background borrowed from other frames where two of them agree: what moves through it is not taken for it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32

from diorama.geometry.warp import Eye
from diorama.perception.extend import Pixels
from diorama.perception.fill import borrow
from diorama.perception.neighbours import Neighbour

AGREE = 10 / 255
"""Mean difference of the channels from the median, in parts of full scale, up to which frames show the same."""


def borrow_agreed(
    warped: Pixels,
    known: Bool[np.ndarray, "h w"],
    disparity: Float32[np.ndarray, "h w"],
    *,
    neighbours: Sequence[Neighbour],
    eye: Eye = "right",
    share: float | int = 1.0,
) -> tuple[Pixels, Bool[np.ndarray, "h w"]]:
    """Fill hole pixels for which two frames or more, and half of all that show something there, say the same.

    Arguments and results as of `diorama.perception.fill.borrow`; of the frames that agree, the first is taken.
    """
    rows, columns = np.nonzero(~known)
    filled, done = warped.copy(), known.copy()
    offers, has = [], []
    for neighbour in neighbours:
        found, sure = borrow(warped, known, disparity, neighbours=[neighbour], eye=eye, share=share)
        offers.append(found[rows, columns])
        has.append(sure[rows, columns])
    if len(offers) < 2 or not len(rows):
        return filled, done
    offered, seen = np.stack(offers), np.stack(has)
    middle = _middle(offered, seen)
    apart = np.abs(offered - middle).mean(axis=-1)
    agree = seen & (apart <= AGREE * np.iinfo(warped.dtype).max)
    count = agree.sum(axis=0)
    taken = (count >= 2) & (2 * count >= seen.sum(axis=0))
    first = agree.argmax(axis=0)[taken]
    filled[rows[taken], columns[taken]] = offered[first, np.flatnonzero(taken)]
    done[rows[taken], columns[taken]] = True
    return filled, done


def _middle(offered: np.ndarray, seen: Bool[np.ndarray, "n p"]) -> Float32[np.ndarray, "p 3"]:
    """The median of what is seen, channel by channel; 0 where nothing is."""
    order = np.sort(np.where(seen[..., None], offered.astype(np.float32), np.inf), axis=0)
    last = np.maximum(seen.sum(axis=0) - 1, 0)
    places = np.arange(offered.shape[1])
    low, high = order[last // 2, places], order[(last + 1) // 2, places]
    return np.where(np.asarray(seen.any(axis=0))[:, None], (low + high) / 2, 0).astype(np.float32)
