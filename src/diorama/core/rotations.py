"""Rotations as unit quaternions (w, x, y, z) and 3x3 matrices, over any leading axes, in numpy."""

import numpy as np
from jaxtyping import Float

from diorama.errors import UsageError

Quats = Float[np.ndarray, "*n 4"]
Matrices = Float[np.ndarray, "*n 3 3"]
Vectors = Float[np.ndarray, "*n 3"]

_TINY = 1e-12


def normalize(quats: Quats) -> Quats:
    """Unit quaternions, w >= 0; the identity where the length is 0."""
    length = np.linalg.norm(quats, axis=-1, keepdims=True)
    unit = np.where(length > _TINY, quats / np.maximum(length, _TINY), np.array([1, 0, 0, 0], quats.dtype))
    return np.where(unit[..., :1] < 0, -unit, unit).astype(quats.dtype)


def multiply(a: Float[np.ndarray, "*#n 4"], b: Float[np.ndarray, "*#n 4"]) -> Float[np.ndarray, "*#n 4"]:
    """The rotation that does `b` first, then `a`; leading axes broadcast."""
    aw, ax, ay, az = np.moveaxis(a, -1, 0)
    bw, bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def inverse(quats: Quats) -> Quats:
    """The opposite rotations."""
    return quats * np.array([1, -1, -1, -1], quats.dtype)


def to_matrix(quats: Quats) -> Matrices:
    """Rotation matrices of unit quaternions."""
    w, x, y, z = np.moveaxis(quats, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def from_matrix(matrices: Matrices) -> Quats:
    """Unit quaternions of rotation matrices, w >= 0.

    Each quaternion is read from the row of ``4 q q^T`` with the largest diagonal, which is never near 0.
    """
    m = matrices
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    outer = np.stack(
        [
            np.stack([1 + xx + yy + zz, wx, wy, wz], axis=-1),
            np.stack([wx, 1 + xx - yy - zz, xy, xz], axis=-1),
            np.stack([wy, xy, 1 - xx + yy - zz, yz], axis=-1),
            np.stack([wz, xz, yz, 1 - xx - yy + zz], axis=-1),
        ],
        axis=-2,
    )
    best = np.diagonal(outer, axis1=-2, axis2=-1).argmax(axis=-1)
    return normalize(np.take_along_axis(outer, best[..., None, None], axis=-2)[..., 0, :])


def from_axis_angle(vectors: Vectors) -> Quats:
    """Quaternions of rotation vectors: along the axis, as long as the angle in radians (as SMPL stores poses)."""
    angle = np.linalg.norm(vectors, axis=-1, keepdims=True)
    share = np.sinc(angle / (2 * np.pi)) / 2  # sin(angle / 2) / angle, finite at 0
    return normalize(np.concatenate([np.cos(angle / 2), vectors * share], axis=-1).astype(vectors.dtype))


def to_axis_angle(quats: Quats) -> Vectors:
    """Rotation vectors of unit quaternions, angles up to pi."""
    unit = normalize(quats)
    sine = np.linalg.norm(unit[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, unit[..., :1])
    scale = np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 2.0)
    return (unit[..., 1:] * scale).astype(quats.dtype)


def from_euler(order: str, degrees: Vectors) -> Quats:
    """Rotations about the axes of `order` ("ZXY": Z outermost, as BVH lists its channels), `degrees` in that order.

    Raises:
        UsageError: `order` is no three axes.
    """
    if len(order) != 3 or set(order) - set("XYZ"):
        raise UsageError(f"rotation order {order!r}, expected three of X, Y and Z", "order")
    half = np.radians(degrees) / 2
    total: Quats | None = None
    for i, axis in enumerate(order):
        turn = np.zeros((*degrees.shape[:-1], 4), degrees.dtype)
        turn[..., 0], turn[..., 1 + "XYZ".index(axis)] = np.cos(half[..., i]), np.sin(half[..., i])
        total = turn if total is None else multiply(total, turn)
    assert total is not None
    return normalize(total)


def to_euler(order: str, quats: Quats) -> Vectors:
    """Degrees about three different axes of `order` that `from_euler` turns into the same rotations.

    Exact also near the poles of the middle axis, where the first and the last angle trade off against each other.

    Raises:
        UsageError: `order` does not name each axis once.
    """
    if sorted(order) != ["X", "Y", "Z"]:
        raise UsageError(f"rotation order {order!r}, expected X, Y and Z once each", "order")
    i, j, k = ("XYZ".index(axis) for axis in order)
    sign = 1 if (j - i) % 3 == 1 else -1
    m = to_matrix(quats.astype(np.float64))
    first = np.arctan2(-sign * m[..., j, k], m[..., k, k])
    undo = np.zeros((*first.shape, 3))
    undo[..., i] = -first
    rest = to_matrix(from_axis_angle(undo)) @ m  # the turns about j and k alone
    middle = np.arctan2(sign * rest[..., i, k], rest[..., k, k])
    last = np.arctan2(sign * rest[..., j, i], rest[..., j, j])
    return np.degrees(np.stack([first, middle, last], axis=-1)).astype(quats.dtype)


def slerp(a: Quats, b: Quats, share: Float[np.ndarray, "*n"] | float | int) -> Quats:
    """Rotations `share` of the way from `a` to `b` along the shorter arc."""
    dot = (a * b).sum(axis=-1, keepdims=True)
    b, dot = np.where(dot < 0, -b, b), np.abs(dot)
    angle = np.arccos(np.clip(dot, -1, 1))
    part = np.asarray(share, a.dtype)[..., None]
    sine = np.sin(angle)
    near = sine < 1e-5
    safe = np.where(near, 1, sine)
    left = np.where(near, 1 - part, np.sin((1 - part) * angle) / safe)
    right = np.where(near, part, np.sin(part * angle) / safe)
    return normalize((left * a + right * b).astype(a.dtype))


def steady(quats: Float[np.ndarray, "t *n 4"]) -> Float[np.ndarray, "t *n 4"]:
    """The same rotations over time, with signs that do not flip from frame to frame."""
    flips = np.where((quats[1:] * quats[:-1]).sum(axis=-1) < 0, -1, 1)
    signs = np.concatenate([np.ones_like(quats[:1, ..., 0], int), np.cumprod(flips, axis=0)])
    return quats * signs[..., None].astype(quats.dtype)


def between(a: Vectors, b: Vectors) -> Quats:
    """The least rotations that turn directions `a` into `b`; opposite ones turn about some axis across."""
    a = a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), _TINY)
    b = b / np.maximum(np.linalg.norm(b, axis=-1, keepdims=True), _TINY)
    real = 1 + (a * b).sum(axis=-1, keepdims=True)
    across = np.cross(a, b)
    other = np.cross(a, np.where(np.abs(a[..., :1]) < 0.9, np.array([1.0, 0, 0]), np.array([0, 1.0, 0])))
    flipped = np.concatenate([np.zeros_like(real), other], axis=-1)
    return normalize(np.where(real < 1e-6, flipped, np.concatenate([real, across], axis=-1)).astype(a.dtype))
