"""Families that live: two legs, four legs, hands, fish and snakes, insects, plants."""

import numpy as np

from diorama.theatre.menagerie.bones import Bone, Hinge, Plan, Point, X, Y, Z, along, vary

Bones = tuple[Bone, ...]
SIDES = (("left", 1.0), ("right", -1.0))


def biped(rng: np.random.Generator) -> Bones:
    """Somebody on two legs: 14 to 18 bones, sometimes with a tail or horns."""
    plan = Plan()
    leg, trunk, arm = vary(rng, 0.46), vary(rng, 0.32), vary(rng, 0.36)
    fat, skull = vary(rng, 1.0, 0.3), vary(rng, 0.085, 0.35)
    wide, top = max(vary(rng, 0.085), 0.072 * fat), leg + trunk
    plan.add("hips", "", (0, leg, 0), (0, leg + 0.22 * trunk, 0), (0.08 * fat, 0.075 * fat), Hinge(Y, -12, 12))
    lean = Hinge(X, -12, 25, 0.25, 2), Hinge(Z, -12, 12, 0.1)
    plan.add("belly", "hips", (0, leg + 0.22 * trunk, 0), (0, leg + 0.6 * trunk, 0), (0.075 * fat, 0.08 * fat), *lean)
    plan.add(
        "chest",
        "belly",
        (0, leg + 0.6 * trunk, 0),
        (0, top - 0.03, 0),
        (0.085 * fat, 0.08 * fat),
        Hinge(Y, -25, 25, 0.5),
    )
    plan.add("neck", "chest", (0, top - 0.02, 0), (0, top + 0.06, 0), (0.04, 0.034), Hinge(X, -20, 20, 0.3))
    top += 0.05
    plan.add(
        "head",
        "neck",
        (0, top + 0.5 * skull, 0),
        (0, top + 0.9 * skull, 0.25 * skull),
        (0.75 * skull, skull),
        Hinge(Y, -50, 50, 0.2),
        Hinge(X, -25, 25, 0.4),
    )
    for side, sign in SIDES:
        off = 0.0 if sign > 0 else 0.5
        shoulder: Point = (sign * (0.07 * fat + 0.05), top - 0.08, 0)
        elbow = along(shoulder, (sign * 0.72 * arm / 2, -0.5 * arm / 2, 0))
        wrist = along(elbow, (sign * 0.72 * arm / 2, -0.5 * arm / 2, 0.03))
        swing = Hinge(Y, -45, 45, off + 0.5), Hinge(Z, -50 if sign > 0 else -70, 70 if sign > 0 else 50, off + 0.1, 0)
        plan.add(f"{side}_arm", "chest", shoulder, elbow, (0.038 * fat, 0.03 * fat), *swing)
        bend = Hinge(Y, -95 if sign > 0 else 0, 0 if sign > 0 else 95, off + 0.6)
        plan.add(f"{side}_forearm", f"{side}_arm", elbow, wrist, (0.03 * fat, 0.025 * fat), bend)
        plan.add(
            f"{side}_hand",
            f"{side}_forearm",
            wrist,
            along(wrist, (sign * 0.06, -0.04, 0.01)),
            (0.03, 0.034),
            Hinge(Z, -35, 35, off),
        )
        hip: Point = (sign * wide, leg, 0)
        knee, ankle = (sign * (wide + 0.03), 0.5 * leg, 0.01), (sign * (wide + 0.045), 0.05, 0.0)
        plan.add(f"{side}_thigh", "hips", hip, knee, (0.06 * fat, 0.042 * fat), Hinge(X, -55, 35, off))
        plan.add(f"{side}_shin", f"{side}_thigh", knee, ankle, (0.042 * fat, 0.03 * fat), Hinge(X, 0, 80, off + 0.3))
        plan.add(
            f"{side}_foot",
            f"{side}_shin",
            ankle,
            (sign * (wide + 0.055), 0.03, vary(rng, 0.12)),
            (0.034, 0.03),
            Hinge(X, -25, 35, off + 0.6),
        )
    if rng.random() < 0.35:
        _tail(plan, rng, "hips", (0, leg + 0.04, -0.06 * fat), (0, -0.03, -0.14), 3, 0.035)
    if rng.random() < 0.3:
        for side, sign in SIDES:
            start: Point = (sign * 0.5 * skull, top + 1.6 * skull, 0.02)
            plan.add(
                f"{side}_horn", "head", start, along(start, (sign * 0.05, 0.12, 0)), (0.022, 0.01), Hinge(X, -1, 1)
            )
    return tuple(plan.bones)


def quadruped(rng: np.random.Generator) -> Bones:
    """Somebody on four legs: 16 to 22 bones."""
    plan = Plan()
    leg, long, fat = vary(rng, 0.4, 0.35), vary(rng, 0.55), vary(rng, 1.0, 0.3)
    up, back, front = leg + 0.05, -0.5 * long, 0.5 * long
    plan.add("rump", "", (0, up, back), (0, up + 0.01, 0.1 * back), (0.1 * fat, 0.1 * fat), Hinge(Y, -8, 8))
    bend = Hinge(Y, -18, 18, 0.2), Hinge(X, -14, 14, 0.4, 2)
    plan.add("chest", "rump", (0, up + 0.01, 0.1 * back), (0, up + 0.02, front), (0.1 * fat, 0.115 * fat), *bend)
    rise = vary(rng, 0.2, 0.7)
    neck: Point = (0, up + 0.05 + rise, front + 0.16)
    plan.add(
        "neck",
        "chest",
        (0, up + 0.06, front + 0.02),
        neck,
        (0.075 * fat, 0.05 * fat),
        Hinge(X, -30, 35, 0.1, 2),
        Hinge(Y, -30, 30, 0.3),
    )
    skull = vary(rng, 0.15)
    plan.add(
        "head",
        "neck",
        neck,
        along(neck, (0, -0.35 * skull, skull)),
        (0.062, 0.038),
        Hinge(X, -30, 30, 0.6),
        Hinge(Y, -30, 30, 0.1),
    )
    for side, sign in SIDES:
        start = along(neck, (sign * 0.045, 0.045, 0))
        plan.add(
            f"{side}_ear",
            "head",
            start,
            along(start, (sign * 0.04, vary(rng, 0.08, 0.5), -0.01)),
            (0.02, 0.012),
            Hinge(X, -20, 20, 0.2),
        )
    _tail(
        plan,
        rng,
        "rump",
        (0, up + 0.05, back - 0.07 * fat),
        (0, vary(rng, 0.02, 2.0), -0.13),
        int(rng.integers(2, 5)),
        0.03,
    )
    trot = rng.random() < 0.5
    for end, z, parent in (("fore", front - 0.04, "chest"), ("hind", back + 0.04, "rump")):
        for side, sign in SIDES:
            walk = {"fore": 0.25, "hind": 0.0}[end] + (0.0 if sign > 0 else 0.5)
            off = (0.5 if (sign > 0) == (end == "fore") else 0.0) if trot else walk
            _leg(
                plan,
                f"{end}_{side}",
                parent,
                (sign * (0.08 * fat + 0.01), up - 0.02, z),
                leg,
                off,
                fat,
                hind=end == "hind",
            )
    return tuple(plan.bones)


def _leg(plan: Plan, name: str, parent: str, hip: Point, long: float, off: float, fat: float, *, hind: bool) -> None:
    bow = 0.05 if hind else -0.04
    side = 0.02 if hip[0] > 0 else -0.02
    knee = along(hip, (side, -0.42 * long, -bow))
    ankle = along(hip, (side, -0.8 * long, bow))
    paw = (ankle[0], 0.03, ankle[2] + 0.05)
    plan.add(f"{name}_upper", parent, hip, knee, (0.05 * fat, 0.034 * fat), Hinge(X, -45, 45, off))
    bend = (0, 70) if hind else (-70, 0)
    plan.add(f"{name}_lower", f"{name}_upper", knee, ankle, (0.034 * fat, 0.024 * fat), Hinge(X, *bend, off + 0.3))
    back = (-60, 10) if hind else (-10, 60)
    plan.add(f"{name}_paw", f"{name}_lower", ankle, paw, (0.026, 0.03), Hinge(X, *back, off + 0.5))


def _tail(
    plan: Plan, rng: np.random.Generator, parent: str, start: Point, step: Point, count: int, thick: float
) -> None:
    for i in range(count):
        end = along(start, step)
        radii = thick * (1 - 0.6 * i / count), thick * (1 - 0.6 * (i + 1) / count)
        hinges = Hinge(Y, -40, 40, -0.15 * i), Hinge(X, -30, 30, 0.2 - 0.15 * i)
        parent = plan.add(f"tail{i + 1}", parent, start, end, radii, *hinges)
        start, step = end, along(step, (0, float(rng.uniform(-0.02, 0.04)), 0))


def hand(rng: np.random.Generator) -> Bones:
    """A hand with five fingers of three bones."""
    plan = Plan()
    wide, long, fat = vary(rng, 0.32, 0.1), vary(rng, 0.3, 0.15), vary(rng, 1.0, 0.2)
    plan.add("forearm", "", (0, 0, 0), (0, 0.3, 0), (0.085 * fat, 0.075 * fat))
    turn = Hinge(X, -35, 45, 0.3), Hinge(Z, -20, 20, 0.1)
    plan.add("palm", "forearm", (0, 0.3, 0), (0, 0.3 + long, 0), (wide * 0.56, 0.06 * fat), *turn, shape="ellipsoid")
    spread = float(rng.uniform(0.06, 0.16))
    for i, (finger, size) in enumerate((("index", 0.92), ("middle", 1.0), ("ring", 0.94), ("little", 0.75))):
        x = wide * (0.42 - 0.28 * i)
        start: Point = (x, 0.28 + long * (0.96 - 0.05 * abs(i - 1.2)), 0.0)
        off = 0.08 * i
        for k, share in enumerate((0.46, 0.31, 0.23)):
            reach = vary(rng, 0.28, 0.06) * size * share
            end = along(start, ((0.5 - 0.33 * i) * spread * reach * 3, reach, 0))
            radius = (0.031 - 0.003 * k) * min(fat, 1.1)
            name = f"{finger}{k + 1}"
            parent = "palm" if k == 0 else f"{finger}{k}"
            plan.add(name, parent, start, end, (radius, 0.9 * radius), Hinge(X, -8, 85, off + 0.05 * k))
            start = end
    start = (wide * 0.5, 0.3 + 0.3 * long, 0.02)
    for k, reach in enumerate((0.12, 0.09, 0.07)):
        end = along(start, (0.75 * reach, 0.6 * reach, 0.15 * reach))
        name, parent = f"thumb{k + 1}", "palm" if k == 0 else f"thumb{k}"
        plan.add(
            name,
            parent,
            start,
            end,
            ((0.045 - 0.005 * k) * fat, 0.036 * fat),
            Hinge(Y, -15, 55, 0.4),
            Hinge(Z, -10, 45, 0.4),
        )
        start = end
    return tuple(plan.bones)


def fish_or_snake(rng: np.random.Generator) -> Bones:
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
    for side, sign in SIDES:
        start: Point = (sign * 0.8 * thick, 0.17, long / 2 - 1.3 * step)
        flap = Hinge(Z, -45, 45, 0.25 if sign > 0 else 0.75), Hinge(Y, -25, 25, 0.1)
        plan.add(
            f"{side}_fin",
            "link1",
            start,
            along(start, (sign * vary(rng, 0.24), -0.04, -0.1)),
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


def insect(rng: np.random.Generator) -> Bones:
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
            knee = along(hip, (sign * 0.16, vary(rng, 0.12), 0.1 * (1 - i)))
            ankle = along(knee, (sign * 0.1, -0.6 * (up + 0.1), 0.06 * (1 - i)))
            tip = (ankle[0] + sign * 0.06, 0.015, ankle[2] + 0.03 * (1 - i))
            lift = Hinge(Z, -25, 25, off + 0.25)
            plan.add(f"{side}_leg{i + 1}", "thorax", hip, knee, (0.026, 0.022), Hinge(Y, -30, 30, off), lift)
            bend = Hinge(Z, -35, 35, off + 0.4)
            plan.add(f"{side}_shin{i + 1}", f"{side}_leg{i + 1}", knee, ankle, (0.022, 0.018), bend)
            plan.add(f"{side}_foot{i + 1}", f"{side}_shin{i + 1}", ankle, tip, (0.018, 0.016), Hinge(Z, -25, 25, off))
    if rng.random() < 0.5:
        for side, sign in SIDES:
            start = (sign * 0.05, up + 0.07, 0.0)
            flap = Hinge(Z, -20 if sign > 0 else -65, 65 if sign > 0 else 20, 0.0 if sign > 0 else 0.5, 2)
            plan.add(
                f"{side}_wing",
                "thorax",
                start,
                along(start, (sign * vary(rng, 0.4), 0.05, -0.2)),
                (0.13, 0.016),
                flap,
                shape="ellipsoid",
                across=Z,
            )
    return tuple(plan.bones)


def plant(rng: np.random.Generator) -> Bones:
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
