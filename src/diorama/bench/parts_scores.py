"""How alike two ways of telling an object's parts apart are, all views and frames taken together."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Integer

from diorama.core.extras import need
from diorama.errors import UsageError


@dataclass(frozen=True)
class Agreement:
    """Scores of parts found against the true ones, which are matched one to one where they overlap most.

    Attributes:
        miou: mean over the true parts of intersection over union with their match, 0 without one.
        ari: adjusted Rand index over the object's pixels (Hubert and Arabie 1985).
        f1: mean of the parts' Dice coefficients.
        macc: mean share of the parts' pixels that are found.
        count: parts found.
        truth: parts there are.
    """

    miou: float
    ari: float
    f1: float
    macc: float
    count: int
    truth: int


def agreement(found: Integer[np.ndarray, "*n"], truth: Integer[np.ndarray, "*n"], *, least: int = 1) -> Agreement:
    """Compare numbers of parts, -1 beside the object.

    Args:
        found: part of each pixel.
        truth: the same, true.
        least: pixels of a true part below which it does not count.

    Raises:
        UsageError: maps of different shapes, or no object.
    """
    if found.shape != truth.shape or not (truth >= 0).any():
        raise UsageError(f"maps {found.shape} and {truth.shape}", "agreement", "give maps of one shape with an object")
    table = _table(found, truth)
    inner = table[1:, 1:]
    total = table[1:].sum(axis=1)
    sizes = table[:, 1:].sum(axis=0)
    kept = total >= least
    rows, columns = need("scipy.optimize").linear_sum_assignment(-inner)
    overlap, other = np.zeros(len(inner)), np.zeros(len(inner))
    overlap[rows], other[rows] = inner[rows, columns], sizes[columns]
    iou = overlap / np.maximum(total + other - overlap, 1)
    dice = 2 * overlap / np.maximum(total + other, 1)
    recall = overlap / np.maximum(total, 1)
    means = (float(values[kept].mean()) for values in (iou, dice, recall))
    miou, f1, macc = means
    count = int((sizes > 0).sum())
    return Agreement(miou, rand_index(table[1:]), f1, macc, count, int(kept.sum()))


def _table(found: Integer[np.ndarray, "*n"], truth: Integer[np.ndarray, "*n"]) -> Float64[np.ndarray, "k1 j1"]:
    """How many pixels have each pair of numbers, true ones in rows; the first row and column are beside the object."""
    wide = int(found.max()) + 2
    flat = (truth.astype(np.int64) + 1) * wide + found.astype(np.int64) + 1
    return np.bincount(flat.ravel(), minlength=(int(truth.max()) + 2) * wide).reshape(-1, wide).astype(np.float64)


def rand_index(table: Float64[np.ndarray, "k j"]) -> float:
    """Adjusted Rand index of a table of counts; 1 where both sides have but one and the same class."""
    total = table.sum()

    def pairs(counts: Float64[np.ndarray, "*n"]) -> float:
        return float((counts * (counts - 1) / 2).sum())

    both, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = rows * columns / max(pairs(np.array([total])), 1)
    largest = (rows + columns) / 2
    return 1.0 if largest == expected else (both - expected) / (largest - expected)
