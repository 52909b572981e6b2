"""Families without legs or with many of them: fish and snakes, insects, plants."""

import numpy as np

from diorama.theatre.menagerie.bones import SIDES, Bone, Hinge, Plan, Point, X, Y, Z, along, vary


def fish_or_snake(rng: np.random.Generator) -> tuple[Bone, ...]:
    """A body of many links through which a wave runs; fish have fins."""
    plan = Plan()
    fish = bool(rng.random() < 0.55)
    count = int(rng.integers(5, 8)) if fish else int(rng.integers(8, 13))
    long, thick = 1.0, vary(rng, 0.11 if fish else 0.045, 0.35)
    step = long / count
    parent = ""
    for i in range(count):
        z = long / 2 - i * step
        radii = tuple(thick * _fish_profile((i + j) / count, fish=fish) for j in (0, 1))
        swing = Hinge(Y, -38, 38, -0.9 * i / count if fish else -1.6 * i / count)
        lift = () if i else (Hinge(X, -15, 15, 0.2),)
        parent = plan.add(
            "head" if i == 0 else f"link{i}",
            parent,
            (0, 0.2, z),
            (0, 0.2, z - step),
            (radii[0], radii[1]),
            swing,
            *lift,
        )
    if not fish:
        return tuple(plan.bones)
    end = -long / 2
    plan.add(
        "tail_fin",
        parent,
        (0, 0.2, end + 0.02),
        (0, 0.2, end - vary(rng, 0.2)),
        (0.022, vary(rng, 0.2)),
        Hinge(Y, -45, 45, -1.0),
        shape="ellipsoid",
    )
    middle = f"link{count // 3}"
    z = long / 2 - (count // 3) * step
    top = 0.2 + 0.7 * thick
    plan.add(
        "back_fin",
        middle,
        (0, top, z),
        (0, top + vary(rng, 0.2), z - 0.1),
        (0.022, 0.13),
        Hinge(Z, -18, 18, 0.2),
        shape="ellipsoid",
    )
    fin = vary(rng, 0.24)
    for side, sign in SIDES:
        start: Point = (sign * 0.8 * thick, 0.17, long / 2 - 1.3 * step)
        flap = Hinge(Z, -45, 45, 0.25 if sign > 0 else 0.75), Hinge(Y, -25, 25, 0.1)
        plan.add(
            f"{side}_fin",
            "link1",
            start,
            along(start, (sign * fin, -0.04, -0.1)),
            (0.022, 0.08),
            *flap,
            shape="ellipsoid",
            across=Y,
        )
    return tuple(plan.bones)


def _fish_profile(share: float, *, fish: bool) -> float:
    """Thickness along the body, of the greatest."""
    if fish:
        return 0.35 + 0.65 * float(np.sin(np.pi * (0.18 + 0.75 * share)))
    return 1.0 if share < 0.75 else max(1.0 - 3 * (share - 0.75), 0.3)


def insect(rng: np.random.Generator) -> tuple[Bone, ...]:
    """Three pieces, six legs of three, feelers, and sometimes wings."""
    plan = Plan()
    up, fat = vary(rng, 0.22), vary(rng, 1.0, 0.25)
    plan.add("thorax", "", (0, up, -0.08), (0, up, 0.1), (0.085 * fat, 0.08 * fat), Hinge(X, -6, 6))
    long = vary(rng, 0.36, 0.3)
    plan.add(
        "abdomen",
        "thorax",
        (0, up, -0.13),
        (0, up - 0.02, -0.13 - long),
        (0.08 * fat, 0.06 * fat),
        Hinge(X, -25, 20, 0.1),
        Hinge(Y, -15, 15, 0.3),
    )
    plan.add(
        "head",
        "thorax",
        (0, up + 0.01, 0.16),
        (0, up, 0.24),
        (0.065, 0.055),
        Hinge(X, -20, 20, 0.2),
        Hinge(Y, -30, 30, 0.6),
    )
    rise = vary(rng, 0.12)
    for side, sign in SIDES:
        start: Point = (sign * 0.03, up + 0.05, 0.27)
        plan.add(
            f"{side}_feeler",
            "head",
            start,
            along(start, (sign * 0.08, 0.1, 0.16)),
            (0.016, 0.012),
            Hinge(Y, -25, 25, 0.2),
            Hinge(X, -25, 25, 0.5),
        )
        for i, z in enumerate((0.09, 0.0, -0.09)):
            off = 0.0 if (i % 2 == 0) == (sign > 0) else 0.5  # a tripod at a time
            hip: Point = (sign * 0.07, up - 0.02, z)
            knee = along(hip, (sign * 0.16, rise, 0.1 * (1 - i)))
            ankle = along(knee, (sign * 0.1, -0.6 * (up + 0.1), 0.06 * (1 - i)))
            tip = (ankle[0] + sign * 0.06, 0.015, ankle[2] + 0.03 * (1 - i))
            lift = Hinge(Z, -25, 25, off + 0.25)
            plan.add(f"{side}_leg{i + 1}", "thorax", hip, knee, (0.026, 0.022), Hinge(Y, -30, 30, off), lift)
            bend = Hinge(Z, -35, 35, off + 0.4)
            plan.add(f"{side}_shin{i + 1}", f"{side}_leg{i + 1}", knee, ankle, (0.022, 0.018), bend)
            plan.add(f"{side}_foot{i + 1}", f"{side}_shin{i + 1}", ankle, tip, (0.018, 0.016), Hinge(Z, -25, 25, off))
    if rng.random() < 0.5:
        wing = vary(rng, 0.4)
        for side, sign in SIDES:
            start = (sign * 0.05, up + 0.07, 0.0)
            flap = Hinge(Z, -25 if sign > 0 else -40, 40 if sign > 0 else 25, 0.0 if sign > 0 else 0.5, 2)
            plan.add(
                f"{side}_wing",
                "thorax",
                start,
                along(start, (sign * 0.7 * wing, 0.75 * wing, -0.2)),  # raised, or they grow together with the legs
                (0.13, 0.016),
                flap,
                shape="ellipsoid",
                across=Z,
            )
    return tuple(plan.bones)


def plant(rng: np.random.Generator) -> tuple[Bone, ...]:
    """A stem that branches twice, with leaves; it sways."""
    plan = Plan()
    count, high = int(rng.integers(3, 5)), 1.0
    wide = vary(rng, 0.12)
    parent = plan.add("pot", "", (0, 0, 0), (0, 0.2, 0), (wide, 1.2 * wide))
    start: Point = (0.0, 0.25, 0.0)
    nodes: list[tuple[str, Point]] = []
    for i in range(count):
        end = along(start, (float(rng.normal(0, 0.03)), high / count, float(rng.normal(0, 0.03))))
        thick = 0.036 * (1 - 0.5 * i / count)
        sway = Hinge(X, -14, 14, 0.1 * i), Hinge(Z, -14, 14, 0.3 + 0.1 * i)
        parent = plan.add(f"stem{i + 1}", parent, start, end, (thick, 0.85 * thick), *sway)
        start = end
        nodes.append((parent, end))
    turn = float(rng.uniform(0, 2 * np.pi))
    for i in range(int(rng.integers(4, 8))):
        stem, node = nodes[i % len(nodes)]
        turn += 2.4  # the golden angle
        way = np.array([np.cos(turn), float(rng.uniform(0.2, 0.7)), np.sin(turn)])
        way /= np.linalg.norm(way)
        reach, side = vary(rng, 0.2), tuple(np.cross(way, [0.0, 1.0, 0.0]).tolist())
        tip = along(node, tuple((way * reach).tolist()))
        axis = tuple((np.array(side) / np.linalg.norm(side)).tolist())
        plan.add(f"branch{i + 1}", stem, node, tip, (0.024, 0.018), Hinge(axis, -28, 28, 0.15 * i))
        way[1] += float(rng.uniform(-0.5, 0.2))
        leaf = along(tip, tuple((way * vary(rng, 0.3)).tolist()))
        droop = Hinge(axis, -45, 45, 0.15 * i + 0.15)
        plan.add(
            f"leaf{i + 1}",
            f"branch{i + 1}",
            tip,
            leaf,
            (vary(rng, 0.1), 0.026),
            droop,
            shape="ellipsoid",
            across=axis,
        )
    return tuple(plan.bones)
