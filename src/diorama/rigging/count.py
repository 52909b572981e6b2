"""A draft with as many parts as the user wants."""

import numpy as np
from jaxtyping import Float64

from diorama.errors import UsageError
from diorama.rigging._edits import Merge, Split
from diorama.rigging.draft import Draft
from diorama.rigging.edit import edited


def with_count(draft: Draft, count: int) -> Draft:
    """Parts merged or split until there are `count`: the smallest joins what it hangs on, the longest is halved.

    Raises:
        UsageError: a count below 1, or parts that cannot be split any further.
    """
    if count < 1:
        raise UsageError(f"{count} parts", "--parts", "give 1 or more")
    while len(draft) > count:
        draft = _merged(draft)
    while len(draft) < count:
        draft = _halved(draft)
    return draft


def _merged(draft: Draft) -> Draft:
    areas = np.bincount(draft.places, draft.surface.areas, len(draft))
    small = int(areas.argmin())
    parent = int(draft.tree.parents[small])
    if parent < 0:  # the root: its largest child takes it in
        children = np.flatnonzero(draft.tree.parents == small)
        parent = int(children[areas[children].argmax()])
    return edited(draft, (Merge((draft.names[small], draft.names[parent]), draft.names[parent]),))


def _halved(draft: Draft) -> Draft:
    points = draft.surface.points
    longest, place, way = -1.0, np.zeros(3), np.zeros(3)
    part = -1
    for number in range(len(draft)):
        own = points[draft.places == number]
        if len(own) < 8:
            continue
        middle = own.mean(axis=0)
        axis = np.linalg.svd(own - middle, full_matrices=False)[2][0]
        reach = float(np.ptp((own - middle) @ axis))
        if reach > longest:
            longest, place, way, part = reach, middle, axis, number
    if part < 0:
        raise UsageError("parts of too few vertices to split", "--parts", "give fewer")
    name = draft.names[part]
    new = next(f"{name}_{n}" for n in range(2, 1000) if f"{name}_{n}" not in draft.names)
    return edited(draft, (Split(name, _point(place), (name, new), _point(way)),))


def _point(values: Float64[np.ndarray, "3"]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
