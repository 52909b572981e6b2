"""Light as a smooth function of the normal: spherical harmonics of order 2, nine numbers a channel.

Distant light on a matt surface is within about 1 % of its first nine harmonics whatever the surroundings (Ramamoorthi
and Hanrahan, "An Efficient Representation for Irradiance Environment Maps", SIGGRAPH 2001). Colours are those that are
stored, not linear: light multiplies them, as everywhere in this package.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Int32

from diorama.errors import UsageError

ROUNDS = 8
RIDGE = 0.001
"""Share of the samples' weight that holds harmonics other than the mean at 0 where no normal tells of them."""


@dataclass(frozen=True, eq=False)
class Lighting:
    """What a surface's colour is multiplied by, for each direction it faces.

    Attributes:
        factors: on `harmonics` of the unit normal, a channel each; in the axes of the normals it was fitted to.

    Raises:
        UsageError: not finite.
    """

    factors: Float32[np.ndarray, "9 3"]

    def __post_init__(self) -> None:
        if not np.isfinite(self.factors).all():
            raise UsageError("light that is not finite", "Lighting.factors", "fit it again with sound colours")

    def at(self, normals: Float32[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 3"]:
        """The factor for each unit normal, 0 or more."""
        return np.maximum(harmonics(normals) @ self.factors, 0).astype(np.float32)

    def scaled(self, gain: Float[np.ndarray, "3"]) -> "Lighting":
        """The same light, each channel times a gain."""
        return replace(self, factors=(self.factors * gain).astype(np.float32))

    def turned(self, rotation: Float[np.ndarray, "3 3"]) -> "Lighting":
        """The same light in other axes; `rotation` leads from the old axes to the new ones."""
        normals = sphere(200)
        here = harmonics((normals @ rotation).astype(np.float32)) @ self.factors  # rows times R are R transposed
        return Lighting(np.linalg.lstsq(harmonics(normals), here, rcond=None)[0].astype(np.float32))


EVEN = Lighting(np.eye(9, 1, dtype=np.float32) * np.ones(3, np.float32))
"""The same light from everywhere: colours as they are."""


def harmonics(normals: Float32[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 9"]:
    """The nine harmonics of unit normals, without their constants: 1, x, y, z, xy, yz, zx, 3zz - 1, xx - yy."""
    x, y, z = normals.T
    return np.stack([np.ones_like(x), x, y, z, x * y, y * z, z * x, 3 * z * z - 1, x * x - y * y], axis=1)


def sphere(count: int) -> Float32[np.ndarray, "n 3"]:
    """Unit vectors spread evenly over all directions (a Fibonacci lattice)."""
    k = np.arange(count) + 0.5
    up, around = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    flat = np.sqrt(1 - up**2)
    return np.stack([flat * np.cos(around), up, flat * np.sin(around)], axis=1).astype(np.float32)


def fit_light(
    normals: Float32[np.ndarray, "n 3"],
    colors: Float32[np.ndarray, "n 3"],
    albedo: Float32[np.ndarray, "n 3"],
    weight: Float32[np.ndarray, " n"] | None = None,
) -> Lighting:
    """The light under which surfaces of known albedo show these colours.

    Least squares, reweighted so that shadows, shine and wrong albedo (the samples that fit worst) count little (Huber's
    weights at 1.5 deviations).

    Raises:
        UsageError: fewer than 9 samples of any weight, or values that are not finite.
    """
    share = np.ones(len(normals), np.float32) if weight is None else weight
    for name, values in (("normals", normals), ("colors", colors), ("albedo", albedo), ("weight", share)):
        if not np.isfinite(values).all():
            raise UsageError("a value is not finite", name, "leave such samples out")
    told = (share > 0) & (albedo.max(axis=1) > 0)
    if told.sum() < 9:
        raise UsageError(
            f"{int(told.sum())} samples of light, expected 9 or more", "fit_light", "show more of the body"
        )
    basis = harmonics(normals[told]).astype(np.float64)
    factors = [_robust(basis, colors[told, c], albedo[told, c], share[told]) for c in range(3)]
    return Lighting(np.stack(factors, axis=1).astype(np.float32))


def shading_of(
    normals: Float32[np.ndarray, "n 3"],
    colors: Float32[np.ndarray, "n 3"],
    parts: Int32[np.ndarray, " n"],
    weight: Float32[np.ndarray, " n"],
) -> Lighting:
    """The light on a body of unknown colours, grey and of mean 1: what of the brightness goes with the normal.

    Each part (a limb, the trunk) is taken to be of one brightness but for what fits badly; brightness of parts and
    light are found in turns. Where a frontal light and a bright front cannot be told apart, light is held small.
    """
    bright = colors.mean(axis=1).astype(np.float64)
    told = np.flatnonzero((weight > 0) & (bright > 0))
    if len(told) < 200:
        return EVEN
    told = told[:: max(1, len(told) // 20000)]
    basis, bright, share = harmonics(normals[told]).astype(np.float64), bright[told], weight[told]
    numbers, part = np.unique(parts[told], return_inverse=True)
    light = np.eye(9)[0]
    for _ in range(ROUNDS):
        shade = np.clip(basis @ light, 0.3, 3)
        level = np.array([np.median((bright / shade)[part == k]) for k in range(len(numbers))])
        light = _robust(basis, bright, np.maximum(level, 1)[part], share)
        light /= max(float(np.average(basis @ light, weights=share)), 1e-3)
    return Lighting((light[:, None] * np.ones(3)).astype(np.float32))


def _robust(
    basis: Float[np.ndarray, "n 9"],
    colors: Float[np.ndarray, " n"],
    albedo: Float[np.ndarray, " n"],
    share: Float[np.ndarray, " n"],
    *,
    ridge: float = RIDGE,
) -> Float[np.ndarray, "9"]:
    """Factors by which `albedo` becomes `colors`."""
    rows, kept = basis * albedo[:, None], share.astype(np.float64)
    scale = float((kept * albedo.astype(np.float64) ** 2).sum())
    hold = np.diag([0.0] + [ridge * scale] * 8) + 1e-9 * max(scale, 1e-9) * np.eye(9)
    found = np.zeros(9)
    for _ in range(ROUNDS):
        found = np.linalg.solve(rows.T @ (rows * kept[:, None]) + hold, rows.T @ (colors * kept))
        off = np.abs(rows @ found - colors)
        wide = 1.5 * 1.4826 * float(np.median(off)) + 1e-6
        kept = share * np.minimum(1, wide / np.maximum(off, 1e-12))
    return found
