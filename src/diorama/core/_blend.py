"""The kernel of `over`: integer pictures mixed by coverage."""

from typing import no_type_check

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
@no_type_check
def blend_rows(color, alpha, below, half, bits, out):
    """Weighted sum of "h w 3" divided by M = 2^bits - 1, as ``(t + (t >> bits)) >> bits`` with t `half` a step up.

    32 bits hold it: the sum is at most M * M.
    """
    most = np.uint32(2) * half - np.uint32(1)
    for y in range(color.shape[0]):
        for x in range(color.shape[1]):
            share = np.uint32(alpha[y, x])
            rest = most - share
            for c in range(3):
                total = np.uint32(color[y, x, c]) * share + np.uint32(below[y, x, c]) * rest + half
                out[y, x, c] = (total + (total >> bits)) >> bits
