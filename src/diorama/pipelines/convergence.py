"""What lies on the screen plane of a shot."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

# Percent of the picture width that the nearest two percent may come out of the screen: about half of the one-degree
# rule at a usual viewing distance, since convergence is chosen from a shot's first frames only.
MOST_IN_FRONT = 1.0
MARGIN = 0.02


def choose_convergence(maps: Sequence[Float32[np.ndarray, "dh dw"]], divergence: float) -> float:
    """Convergence for a shot from its first inverse-depth maps.

    The screen plane goes through the middle of what the picture is about (the median of its centre), moved nearer
    where the foreground would otherwise leave the comfortable range, and where objects cut by the left and right
    border would float in front of the frame that cuts them.

    Args:
        maps: inverse depth in [0, 1], larger is nearer; at least one.
        divergence: total parallax in percent of the width.

    Returns:
        the inverse depth that gets zero parallax, in [0, 1].
    """
    centres, nearest, borders = [], [], []
    for inverse_depth in maps:
        height, width = inverse_depth.shape
        above, aside = height // 5, width // 5
        centres.append(np.median(inverse_depth[above : height - above, aside : width - aside]))
        nearest.append(np.percentile(inverse_depth[::2, ::2], 98))
        strip = max(1, width // 50)
        edges = np.concatenate([inverse_depth[:, :strip], inverse_depth[:, -strip:]], axis=1)
        borders.append(np.percentile(edges, 75))
    wanted = max(float(np.mean(centres)), float(np.mean(borders)) - MARGIN)
    if divergence > 0:
        wanted = max(wanted, float(np.max(nearest)) - MOST_IN_FRONT / divergence)
    return round(min(max(wanted, 0.0), 1.0), 4)
