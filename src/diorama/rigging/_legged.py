"""An animal on four or six legs in a tree of parts: its legs by side and order; head and tail where they are sure."""

import numpy as np

from diorama.rigging._limbs import UP, Limb, Parts, Place

STANDS, STEEP = 0.06, 0.15
"""How near to the floor a leg comes at least, and how far above its end it begins; of the height."""
MIRRORED = 0.03
"""How far what is on one side may be from the mirror image of the other; of the longest side."""
CENTRAL = 0.06
"""How far from the middle plane head and tail may be; of the longest side."""
CLEAR = 0.05
"""How much higher than all at the other end a head is; of the height."""
EAR = 0.25
"""How large the surface of a head is at least, of its neck's; that of ears is smaller."""
ENDS = {2: ("front", "hind"), 3: ("front", "middle", "hind")}


def legged_names(parts: Parts) -> dict[int, str]:
    """Names of the parts that an animal's legs, body, head and tail are; none, where there is surely no such animal."""
    limbs = _pendants(parts)
    legs = {hub_limb[1].chain: hub_limb for hub_limb in limbs if _stands(parts, hub_limb[1])}
    across = _mirror(parts, [limb for _, limb in legs.values()]) if len(legs) in (4, 6) else None
    if across is None:
        return {}
    middle = np.mean([limb.start for _, limb in legs.values()], axis=0)
    forward, head = _forward(parts, [limb for _, limb in legs.values()], across, middle)
    across = np.cross(UP, forward)  # to the left
    names = {} if head is None else {head: "head"}
    bears: dict[str, set[int]] = {}
    for side, sign in (("left", 1), ("right", -1)):
        own = [(hub, leg) for hub, leg in legs.values() if sign * float((leg.start - middle) @ across) > 0]
        own.sort(key=lambda hub_leg: -float((hub_leg[1].start + hub_leg[1].tip) @ forward))
        for end, (hub, leg) in zip(ENDS[len(legs) // 2], own, strict=True):
            names |= _numbered(f"leg.{end}.{side}.", leg.chain)
            bears.setdefault(end, set()).add(hub)
    hubs = {end: next(iter(found)) for end, found in bears.items() if len(found) == 1}
    if len(hubs) == len(bears):
        one = len(set(hubs.values())) == 1
        names |= {hub: "body" if one else f"body.{end}" for end, hub in reversed(hubs.items()) if hub not in names}
    if head is not None:
        names |= _tail(parts, [limb for _, limb in limbs], names, across, forward, middle)
    return names


def _numbered(start: str, chain: tuple[int, ...]) -> dict[int, str]:
    if len(chain) == 1:
        return {chain[0]: start.rstrip(".")}
    return {part: f"{start}{number}" for number, part in enumerate(chain, 1)}


def _pendants(parts: Parts) -> list[tuple[int, Limb]]:
    """Chains without branches that end freely, each with the part that it hangs on."""
    found = []
    for leaf in range(parts.count):
        if len(parts.near[leaf]) != 1:
            continue
        part, above = leaf, parts.near[leaf][0]
        while len(parts.near[above]) == 2:
            part, above = above, next(other for other in parts.near[above] if other != part)
        if len(parts.near[above]) >= 3:
            found.append((above, parts.limb(part, above)))
    return found


def _stands(parts: Parts, limb: Limb) -> bool:
    rise = float(limb.start[1]) - limb.low
    if len(limb.chain) < 2:
        return False  # a wheel, or a foot of a chair
    return limb.low < parts.floor + STANDS * parts.height and rise > max(STEEP * parts.height, 0.3 * limb.length)


def _mirror(parts: Parts, legs: list[Limb]) -> Place | None:
    """The horizontal direction across an animal, to either side; None where it is not alike on both sides."""
    size = parts.draft.surface.size
    starts, tips = (np.stack([getattr(leg, end) for leg in legs]) for end in ("start", "tip"))
    middle = starts.mean(axis=0)
    best, least = None, MIRRORED * size
    for one in range(len(legs)):
        for other in range(one):
            way = (starts[one] - starts[other]) * (1 - UP)
            if np.linalg.norm(way) < 0.02 * size:
                continue
            way /= np.linalg.norm(way)
            off = [_unlike(points, way, middle) for points in (starts, tips, parts.centers)]
            sides = np.sign((starts - middle) @ way).sum()
            if sides == 0 and max(off) < least:
                best, least = way, max(off)
    return best


def _unlike(points: np.ndarray, way: Place, middle: Place) -> float:
    """How far, on average, points are from their mirror images."""
    images = points - 2 * ((points - middle) @ way)[:, None] * way
    return float(np.linalg.norm(points[:, None] - images[None], axis=-1).min(axis=1).mean())


def _forward(parts: Parts, legs: list[Limb], across: Place, middle: Place) -> tuple[Place, int | None]:
    """Where it looks, and its head: at the end that clearly rises highest; else it looks along +Z, and has no head.

    Only an animal on four legs is known to hold its head up.
    """
    along = np.cross(across, UP)
    along = along if along[2] >= 0 else -along
    off, ahead = (parts.centers - middle) @ across, (parts.centers - middle) @ along
    legged = {part for leg in legs for part in leg.chain}
    central = [p for p in range(parts.count) if abs(off[p]) < CENTRAL * parts.draft.surface.size and p not in legged]
    reach = max(abs(float((leg.start - middle) @ along)) for leg in legs)
    ends = [p for p in central if abs(ahead[p]) > reach]
    if not ends or len(legs) != 4:
        return along, None
    head = max(ends, key=lambda p: parts.high[p])
    behind = [float(parts.high[p]) for p in central if ahead[p] * ahead[head] < 0]
    if parts.high[head] < max([float(leg.start[1]) for leg in legs] + behind) + CLEAR * parts.height:
        return along, None
    around = [p for p in ends if ahead[p] * ahead[head] > 0]  # with ears and neck
    large = max(float(parts.areas[p]) for p in around)
    head = max((p for p in around if parts.areas[p] > EAR * large), key=lambda p: abs(ahead[p]))
    return (along if ahead[head] > 0 else -along), head


def _tail(
    parts: Parts, limbs: list[Limb], taken: dict[int, str], across: Place, forward: Place, middle: Place
) -> dict[int, str]:
    """The chain in the middle that ends farthest behind."""
    size, least = parts.draft.surface.size, min(float((points @ forward).min()) for points in parts.points)
    for limb in limbs:
        free = not any(part in taken for part in limb.chain)
        if (
            free
            and abs(float((limb.tip - middle) @ across)) < CENTRAL * size
            and limb.tip @ forward < least + 0.02 * size
        ):
            return _numbered("tail", limb.chain)
    return {}
