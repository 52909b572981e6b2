"""Families of rigid parts: robots, and furniture that opens and turns."""

import numpy as np

from diorama.theatre.menagerie.bones import SIDES, Bone, Hinge, Plan, Point, X, Y, Z, along, vary


def robot(rng: np.random.Generator) -> tuple[Bone, ...]:
    """An arm, a rover, or a walker of boxes."""
    return (_arm, _rover, _walker)[int(rng.integers(3))](rng)


def furniture(rng: np.random.Generator) -> tuple[Bone, ...]:
    """A lamp, cabinet, swivel chair or folding screen."""
    return (_lamp, _cabinet, _chair, _screen)[int(rng.integers(4))](rng)


def _arm(rng: np.random.Generator) -> tuple[Bone, ...]:
    plan = Plan()
    wide = vary(rng, 0.2)
    plan.add("base", "", (0, 0, 0), (0, 0.1, 0), (wide, wide), shape="box")
    plan.add("turret", "base", (0, 0.11, 0), (0, 0.27, 0), (0.12, 0.12), Hinge(Y, -120, 120), shape="box")
    start: Point = (0, 0.27, 0)
    parent = "turret"
    for i, (name, reach) in enumerate((("upper_arm", 0.36), ("forearm", 0.3), ("wrist", 0.12))):
        lean = 0.35 - 0.55 * i
        long = vary(rng, reach)
        end = along(start, (0, long * np.cos(lean), long * np.sin(lean)))
        half = 0.06 - 0.012 * i
        bend = Hinge(X, -60, 60, 0.2 * i)
        twist = (Hinge(Y, -90, 90, 0.3),) if name == "wrist" else ()
        parent = plan.add(name, parent, start, end, (half, half), bend, *twist, shape="box")
        start = end
    for side, sign in SIDES:
        tip = along(start, (sign * 0.05, 0.02, 0.14))
        plan.add(
            f"{side}_jaw",
            parent,
            along(start, (sign * 0.035, 0, 0.01)),
            tip,
            (0.02, 0.03),
            Hinge(Y, -30, 30, 0.5 if sign > 0 else 0.0),
            shape="box",
        )
    return tuple(plan.bones)


def _rover(rng: np.random.Generator) -> tuple[Bone, ...]:
    plan = Plan()
    long, wide, wheel = vary(rng, 0.6), vary(rng, 0.17), vary(rng, 0.11)
    plan.add(
        "chassis", "", (0, wheel + 0.1, -long / 2), (0, wheel + 0.1, long / 2), (wide, 0.06), shape="box", across=X
    )
    axles = np.linspace(-0.42, 0.42, int(rng.integers(2, 4))).tolist()
    for side, sign in SIDES:
        for i, z in enumerate(axles):
            hub: Point = (sign * (wide + 0.03), wheel, z * long)
            plan.add(
                f"{side}_wheel{i + 1}",
                "chassis",
                hub,
                along(hub, (sign * 0.06, 0, 0)),
                (wheel, wheel),
                Hinge(X, -150, 150, 0.1 * i),
                shape="ellipsoid",
                across=Z,
            )
    top = wheel + 0.16
    plan.add(
        "mast",
        "chassis",
        (0, top, 0.1),
        (0, top + vary(rng, 0.3), 0.1),
        (0.03, 0.03),
        Hinge(Y, -90, 90, 0.2),
        shape="box",
    )
    tip = plan.bones[-1].tail
    plan.add("eye", "mast", tip, along(tip, (0, 0, 0.14)), (0.07, 0.05), Hinge(X, -35, 35, 0.5), shape="box", across=X)
    dish: Point = (0, top, -0.2)
    plan.add(
        "dish", "chassis", dish, along(dish, (0, 0.05, -0.02)), (0.15, 0.15), Hinge(X, -45, 45, 0.3), shape="ellipsoid"
    )
    return tuple(plan.bones)


def _walker(rng: np.random.Generator) -> tuple[Bone, ...]:
    plan = Plan()
    leg, wide = vary(rng, 0.42), vary(rng, 0.15)
    plan.add("hips", "", (0, leg, 0), (0, leg + 0.1, 0), (wide, 0.09), shape="box")
    plan.add(
        "body", "hips", (0, leg + 0.11, 0), (0, leg + 0.38, 0), (1.3 * wide, 0.11), Hinge(Y, -60, 60, 0.1), shape="box"
    )
    top = leg + 0.4
    plan.add(
        "head",
        "body",
        (0, top, 0),
        (0, top + 0.16, 0.0),
        (0.09, 0.08),
        Hinge(Y, -80, 80, 0.4),
        Hinge(X, -20, 20, 0.2),
        shape="box",
    )
    for side, sign in SIDES:
        off = 0.0 if sign > 0 else 0.5
        shoulder: Point = (sign * (1.3 * wide + 0.06), top - 0.05, 0)
        elbow, wrist = along(shoulder, (sign * 0.02, -0.2, 0)), along(shoulder, (sign * 0.02, -0.4, 0.02))
        plan.add(f"{side}_arm", "body", shoulder, elbow, (0.05, 0.05), Hinge(X, -70, 50, off + 0.5), shape="box")
        plan.add(
            f"{side}_forearm", f"{side}_arm", elbow, wrist, (0.042, 0.042), Hinge(X, -90, 0, off + 0.6), shape="box"
        )
        hip: Point = (sign * 0.6 * wide, leg, 0)
        knee, ankle = along(hip, (0, -0.5 * leg + 0.01, 0)), along(hip, (0, -leg + 0.06, 0))
        plan.add(f"{side}_thigh", "hips", hip, knee, (0.058, 0.06), Hinge(X, -50, 35, off), shape="box")
        plan.add(f"{side}_shin", f"{side}_thigh", knee, ankle, (0.05, 0.052), Hinge(X, 0, 70, off + 0.3), shape="box")
        plan.add(
            f"{side}_foot",
            f"{side}_shin",
            along(ankle, (0, -0.03, -0.07)),
            along(ankle, (0, -0.03, 0.13)),
            (0.062, 0.03),
            Hinge(X, -20, 20, off + 0.6),
            shape="box",
            across=X,
        )
    return tuple(plan.bones)


def _lamp(rng: np.random.Generator) -> tuple[Bone, ...]:
    plan = Plan()
    wide = vary(rng, 0.17)
    plan.add("foot", "", (0, 0, 0), (0, 0.05, 0), (wide, wide), shape="ellipsoid" if rng.random() < 0.5 else "box")
    lower, upper = vary(rng, 0.42), vary(rng, 0.38)
    elbow: Point = (0, 0.05 + 0.94 * lower, -0.34 * lower)
    plan.add(
        "lower_arm", "foot", (0, 0.05, 0), elbow, (0.025, 0.025), Hinge(X, -25, 40), Hinge(Y, -70, 70, 0.3), shape="box"
    )
    tip = along(elbow, (0, 0.6 * upper, 0.8 * upper))
    plan.add("upper_arm", "lower_arm", elbow, tip, (0.022, 0.022), Hinge(X, -40, 55, 0.3), shape="box")
    shade = along(tip, (0, -0.12, 0.12))
    plan.add(
        "shade",
        "upper_arm",
        tip,
        shade,
        (0.11, 0.11),
        Hinge(X, -60, 50, 0.6),
        Hinge(Y, -60, 60, 0.2),
        shape="ellipsoid",
    )
    return tuple(plan.bones)


def _cabinet(rng: np.random.Generator) -> tuple[Bone, ...]:
    plan = Plan()
    wide, high, deep = vary(rng, 0.34), vary(rng, 0.9, 0.15), vary(rng, 0.2)
    front = deep + 0.02
    plan.add("body", "", (0, 0.0, 0), (0, high, 0), (wide, deep), shape="box")
    split = float(rng.uniform(0.5, 0.75)) * high
    for side, sign in SIDES:
        hinge = Hinge(Y, 0 if sign > 0 else -110, 110 if sign > 0 else 0, 0.1 if sign > 0 else 0.4)
        edge: Point = (sign * (wide - 0.01), split / 2, front)
        middle = (sign * 0.01, split / 2, front)
        plan.add(f"{side}_door", "body", edge, middle, (0.5 * split - 0.01, 0.018), hinge, shape="box", across=Y)
    flap = Hinge(X, 0, 95, 0.7)
    plan.add("flap", "body", (0, split + 0.01, front), (0, high - 0.01, front), (wide - 0.01, 0.018), flap, shape="box")
    return tuple(plan.bones)


def _chair(rng: np.random.Generator) -> tuple[Bone, ...]:
    plan = Plan()
    seat, wide = vary(rng, 0.42), vary(rng, 0.24)
    plan.add("stand", "", (0, 0, 0), (0, 0.06, 0), (0.26, 0.26), shape="ellipsoid")
    plan.add("column", "stand", (0, 0.06, 0), (0, seat, 0), (0.04, 0.04), Hinge(Y, -6, 6), shape="box")
    plan.add("seat", "column", (0, seat, 0), (0, seat + 0.07, 0), (wide, wide), Hinge(Y, -150, 150), shape="box")
    plan.add(
        "back",
        "seat",
        (0, seat + 0.08, -wide + 0.03),
        (0, seat + vary(rng, 0.5), -wide),
        (0.85 * wide, 0.03),
        Hinge(X, -35, 15, 0.4),
        shape="box",
    )
    for side, sign in SIDES:
        low: Point = (sign * (wide + 0.02), seat + 0.08, -0.05)
        plan.add(
            f"{side}_rest",
            "seat",
            along(low, (0, 0.13, -0.12)),
            along(low, (0, 0.13, 0.2)),
            (0.03, 0.022),
            Hinge(X, -75, 10, 0.3),
            shape="box",
            across=X,
        )
    return tuple(plan.bones)


def _screen(rng: np.random.Generator) -> tuple[Bone, ...]:
    plan = Plan()
    count, high = int(rng.integers(3, 6)), vary(rng, 0.85, 0.15)
    wide = 0.95 / count
    parent = ""
    for i in range(count):
        left, right = (-0.47 + wide * i, high / 2, 0.0), (-0.47 + wide * (i + 1) - 0.01, high / 2, 0.0)
        sign = 1 if i % 2 else -1
        hinge = Hinge(Y, -100 if sign < 0 else -10, 10 if sign < 0 else 100, 0.1 * i)
        parent = plan.add(
            f"panel{i + 1}", parent, left, right, (high / 2, 0.018), *((hinge,) if i else ()), shape="box", across=Y
        )
    return tuple(plan.bones)
