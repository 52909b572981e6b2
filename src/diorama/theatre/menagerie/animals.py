"""Families with legs and hands."""

import numpy as np

from diorama.theatre.menagerie.bones import SIDES, Bone, Hinge, Plan, Point, X, Y, Z, along, vary


def biped(rng: np.random.Generator) -> tuple[Bone, ...]:
    """Somebody on two legs: 17 to 22 bones, sometimes with a tail or horns."""
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
    foot = vary(rng, 0.12)
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
            (sign * (wide + 0.055), 0.03, foot),
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


def quadruped(rng: np.random.Generator) -> tuple[Bone, ...]:
    """Somebody on four legs: 20 to 22 bones."""
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
    ear = vary(rng, 0.08, 0.5)
    for side, sign in SIDES:
        start = along(neck, (sign * 0.045, 0.045, 0))
        plan.add(
            f"{side}_ear",
            "head",
            start,
            along(start, (sign * 0.04, ear, -0.01)),
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


def hand(rng: np.random.Generator) -> tuple[Bone, ...]:
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
