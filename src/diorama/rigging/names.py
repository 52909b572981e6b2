"""Names for the parts of a draft: bones of a person as others call them, legs and tail of an animal; else none."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from diorama.figures.names import MIXAMO, SMPL, Names
from diorama.rigging._edits import Reroot
from diorama.rigging._humanoid import Roles, find_body, roles_in
from diorama.rigging._legged import legged_names
from diorama.rigging._limbs import Parts
from diorama.rigging.draft import Draft
from diorama.rigging.edit import edited

Style = Literal["mixamo", "smpl"]
MOST_PARTS = 64
"""Parts beyond which nothing is looked for."""
STYLES: dict[Style, Names] = {"mixamo": MIXAMO, "smpl": SMPL}


def humanoid_roles(draft: Draft) -> Roles | None:
    """Which parts are which bones of a person, by the roles of `diorama.figures.names`; None where nobody surely is.

    A person stands upright (y is up), on two legs, with two arms that do not reach the floor, and little else on the
    trunk; a tail, horns or a bag are let through. Where the head does not move against the trunk it has no part.
    Left is the person's own: feet point forwards, and where they tell nothing, the person looks along +Z.
    """
    if len(draft) > MOST_PARTS:
        return None
    parts = Parts(draft)
    body = find_body(parts)
    return None if body is None else roles_in(parts, body)


def humanoid_names(draft: Draft, *, style: Style = "mixamo") -> tuple[str, ...] | None:
    """The names of the parts of a person, in the order of their numbers; None where nobody surely is.

    Parts that hold several bones are called by the first of them ("LeftForeArm" for forearm and hand in one). Of a
    spine of more parts than the convention has names, some keep theirs, as all parts that it has no name for.

    Args:
        draft: of any figure.
        style: the convention, Mixamo's ("LeftForeArm") or SMPL's ("left_elbow").
    """
    roles = humanoid_roles(draft)
    if roles is None:
        return None
    table = STYLES[style]
    names: dict[int, str] = {}
    for role, found in roles.items():
        known = table[role]
        spread = np.rint(np.linspace(0, len(found) - 1, min(len(known), len(found)))).astype(int)
        names |= {found[i]: name for i, name in zip(spread, known, strict=False)}
    return _with_others(draft, names)


def descriptive_names(draft: Draft) -> tuple[str, ...]:
    """Names that say what parts are, where that is sure; all others keep theirs.

    Of an animal on four or six legs that stands: ``leg.front.left.1`` (from the body outwards), ``body`` or
    ``body.front`` and ``body.hind``, and ``head``, ``tail1``, ... where one end is clearly the head's; where neither
    is, it is taken to look along +Z.
    """
    return _with_others(draft, legged_names(Parts(draft)) if len(draft) <= MOST_PARTS else {})


def named(draft: Draft, *, style: Style = "mixamo") -> Draft:
    """A draft with the best names there are: a person's, rooted at the hips, or descriptive ones."""
    names = humanoid_names(draft, style=style)
    if names is None:
        return draft.changed(names=descriptive_names(draft))
    return edited(draft.changed(names=names), [Reroot(STYLES[style]["hips"][0])])


def _with_others(draft: Draft, names: Mapping[int, str]) -> tuple[str, ...]:
    """Found names, and the old ones of all other parts, or their numbers where the old are taken."""
    taken = set(names.values())
    found = []
    for part, old in enumerate(draft.names):
        name, number = names.get(part, old), part + 1
        while part not in names and name in taken:
            name, number = f"part{number}", number + len(draft)
        taken.add(name)
        found.append(name)
    return tuple(found)
