"""Cameras: where views are taken from, in OpenCV axes (x right, y down, z forward), and stereo rigs.

Pixel coordinates run from 0 to the width; the centre of the first pixel is at 0.5. Scaling a picture therefore scales
the intrinsics, and nothing else.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from diorama.errors import UsageError

FOCAL_WIDTHS = 800 / 576
"""Focal length in picture widths of the published S2VG cameras: 39.6 degrees across."""
_ROTATION_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Cameras:
    """Pinhole cameras that share a picture size.

    Attributes:
        viewmats: world to camera; rotation and translation in metres.
        Ks: intrinsics in pixels.
        height, width: pixels.

    Raises:
        UsageError: not finite, no right-handed rotation, singular intrinsics, no pixels.
    """

    viewmats: Float[np.ndarray, "v 4 4"]
    Ks: Float[np.ndarray, "v 3 3"]
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.viewmats.shape[1:] != (4, 4) or self.Ks.shape != (len(self.viewmats), 3, 3):
            shapes = f"viewmats {self.viewmats.shape}, Ks {self.Ks.shape}"
            raise UsageError(f"{shapes}, expected (v, 4, 4) and (v, 3, 3)", "Cameras")
        if self.height < 1 or self.width < 1:
            raise UsageError(f"a picture of {self.width}x{self.height}", "Cameras")
        if _plainly_sound(self.viewmats, self.Ks):
            return
        for view, (viewmat, K) in enumerate(zip(self.viewmats, self.Ks, strict=True)):
            _check_viewmat(viewmat, f"viewmats[{view}]")
            _check_intrinsics(K, f"Ks[{view}]")

    def __len__(self) -> int:
        return len(self.viewmats)

    def __getitem__(self, views: slice) -> "Cameras":
        return replace(self, viewmats=self.viewmats[views], Ks=self.Ks[views])

    @property
    def centers(self) -> Float[np.ndarray, "v 3"]:
        """Where the cameras stand in the world, metres."""
        rotations, shifts = self.viewmats[:, :3, :3], self.viewmats[:, :3, 3]
        return -np.einsum("vji,vj->vi", rotations, shifts)

    def project(self, points: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "v n 2"], Float[np.ndarray, "v n"]]:
        """World points (metres) to pixels and depth along z (metres) in every view; z <= 0 is behind the camera."""
        local = np.einsum("vij,nj->vni", self.viewmats[:, :3, :3], points) + self.viewmats[:, None, :3, 3]
        homogeneous = np.einsum("vij,vnj->vni", self.Ks, local)
        with np.errstate(divide="ignore", invalid="ignore"):
            return homogeneous[..., :2] / homogeneous[..., 2:], local[..., 2]

    def unproject(
        self, pixels: Float[np.ndarray, "v n 2"], depth: Float[np.ndarray, "v n"]
    ) -> Float[np.ndarray, "v n 3"]:
        """Pixels of each view at `depth` metres along z to world points; undoes `project`."""
        homogeneous = np.concatenate([pixels, np.ones((*pixels.shape[:2], 1))], axis=-1)
        local = np.einsum("vij,vnj->vni", np.linalg.inv(self.Ks), homogeneous) * depth[..., None]
        rotations, shifts = self.viewmats[:, :3, :3], self.viewmats[:, :3, 3]
        return np.einsum("vji,vnj->vni", rotations, local - shifts[:, None])

    def scaled(self, height: int, width: int) -> "Cameras":
        """The same cameras for pictures resized to another size."""
        factors = np.array([[width / self.width], [height / self.height], [1.0]])
        return replace(self, Ks=self.Ks * factors, height=height, width=width)


def line(num_views: int, baseline: float, *, height: int, width: int, focal: float | None = None) -> Cameras:
    """Parallel cameras from 0 to `baseline` metres to the right, evenly; the first is the reference."""
    return _parallel(np.linspace(0, baseline, num_views)[:, None] * [1.0, 0.0, 0.0], height, width, focal)


def middle(num_views: int, baseline: float, *, height: int, width: int, focal: float | None = None) -> Cameras:
    """Parallel cameras from ``-baseline/2`` to ``baseline/2``; view ``num_views // 2`` is the reference, at 0."""
    xs = np.linspace(-baseline / 2, baseline / 2, num_views)
    if num_views:
        xs[num_views // 2] = 0
    return _parallel(xs[:, None] * [1.0, 0.0, 0.0], height, width, focal)


def circle(
    diameter: float, y_scale: float, num_views: int, *, height: int, width: int, focal: float | None = None
) -> Cameras:
    """Parallel cameras on an ellipse around the reference: `diameter` metres across, `y_scale` times that high.

    The first is to the right; they go on downwards (y points down).
    """
    angles = np.linspace(0, 2 * np.pi, num_views, endpoint=False)
    centers = np.stack([np.cos(angles), y_scale * np.sin(angles), np.zeros(num_views)], axis=1)
    return _parallel(centers * diameter / 2, height, width, focal)


@dataclass(frozen=True)
class StereoRig:
    """Two parallel cameras whose pictures are shifted so that one depth falls on the screen.

    Attributes:
        focal: pixels.
        baseline: metres between the eyes.
        convergence: inverse depth on the screen, 1/m; 0 puts the horizon there.
    """

    focal: float
    baseline: float
    convergence: float = 0.0

    @classmethod
    def from_divergence(
        cls,
        divergence: float,
        convergence: float,
        *,
        width: int,
        nearest: float = 1.0,
        farthest: float = 0.0,
        focal: float | None = None,
    ) -> "StereoRig":
        """The rig that gives the wanted screen parallax.

        Args:
            divergence: parallax between the nearest and the farthest point, percent of the picture width.
            convergence: what falls on the screen: 0 the farthest point (all in front), 1 the nearest (all behind).
            width: pixels.
            nearest, farthest: inverse depth of these points, 1/m.
            focal: pixels; `FOCAL_WIDTHS` times the width by default.

        Raises:
            UsageError: not finite, negative divergence, convergence outside 0..1, or nearest not above farthest.
        """
        if not (math.isfinite(divergence) and divergence >= 0):
            raise UsageError(f"divergence {divergence}, expected 0 or more percent", "--divergence")
        if not 0 <= convergence <= 1:
            raise UsageError(f"convergence {convergence}, expected 0 to 1", "--convergence")
        if not (math.isfinite(nearest) and 0 <= farthest < nearest):
            raise UsageError(
                f"inverse depth from {farthest} to {nearest}, expected 0 <= farthest < nearest", "StereoRig"
            )
        focal = width * FOCAL_WIDTHS if focal is None else focal
        baseline = divergence / 100 * width / (focal * (nearest - farthest))
        return cls(focal, baseline, farthest + convergence * (nearest - farthest))

    def divergence(self, width: int, *, nearest: float = 1.0, farthest: float = 0.0) -> float:
        """The inverse of `from_divergence`: percent of the width."""
        return 100 * self.focal * self.baseline * (nearest - farthest) / width

    def disparity(self, inverse_depth: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Screen parallax in pixels, left minus right, of inverse depth in 1/m; positive in front of the screen."""
        return self.focal * self.baseline * (inverse_depth - self.convergence)

    def cameras(self, height: int, width: int) -> Cameras:
        """The left and the right eye, half a baseline either side of the origin."""
        eyes = _parallel(np.array([[-0.5, 0, 0], [0.5, 0, 0]]) * self.baseline, height, width, self.focal)
        shift = self.focal * self.baseline * self.convergence / 2
        Ks = eyes.Ks.copy()
        Ks[:, 0, 2] += [-shift, shift]
        return replace(eyes, Ks=Ks)


def _parallel(centers: Float[np.ndarray, "v 3"], height: int, width: int, focal: float | None) -> Cameras:
    if len(centers) == 0:
        raise UsageError("0 views, expected at least 1", "Cameras")
    focal = width * FOCAL_WIDTHS if focal is None else focal
    viewmats = np.tile(np.eye(4), (len(centers), 1, 1))
    viewmats[:, :3, 3] = -centers
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    return Cameras(viewmats, np.tile(K, (len(centers), 1, 1)), height, width)


def _plainly_sound(viewmats: Float[np.ndarray, "v 4 4"], Ks: Float[np.ndarray, "v 3 3"]) -> bool:
    """Whether all cameras pass a test at once that is a little stricter than those that name what is wrong."""
    turns = viewmats[:, :3, :3]
    off = np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max(initial=0)
    rows = np.abs(viewmats[:, 3] - [0, 0, 0, 1]).max(initial=0)
    last = np.abs(Ks[:, 2] - [0, 0, 1]).max(initial=0)
    flat = np.abs(Ks[:, 0, 0] * Ks[:, 1, 1] - Ks[:, 0, 1] * Ks[:, 1, 0]).min(initial=np.inf)
    finite = np.isfinite(viewmats).all() and np.isfinite(Ks).all()
    sound = finite and off < _ROTATION_TOLERANCE and rows < _ROTATION_TOLERANCE and last < 1e-6 and flat >= 1e-9
    return bool(sound and (np.linalg.det(turns) > 0).all())


def _check_viewmat(viewmat: Float[np.ndarray, "4 4"], where: str) -> None:
    if not np.isfinite(viewmat).all():
        raise UsageError("not finite", where)
    rotation = viewmat[:3, :3]
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=_ROTATION_TOLERANCE):
        raise UsageError("the upper left 3x3 is no rotation", where, "give orthonormal axes, without scale or shear")
    if np.linalg.det(rotation) < 0:
        raise UsageError("left-handed axes", where, "OpenCV axes: x right, y down, z forward")
    if not np.allclose(viewmat[3], [0, 0, 0, 1], atol=_ROTATION_TOLERANCE):
        raise UsageError("the last row is not 0 0 0 1", where, "give world to camera, row by row")


def _check_intrinsics(K: Float[np.ndarray, "3 3"], where: str) -> None:
    if not np.isfinite(K).all():
        raise UsageError("not finite", where)
    if not np.allclose(K[2], [0, 0, 1], atol=1e-6):
        raise UsageError("the last row is not 0 0 1", where, "give pixels, not normalised or transposed")
    if abs(K[0, 0] * K[1, 1] - K[0, 1] * K[1, 0]) < 1e-9:
        raise UsageError("singular intrinsics", where, "focal lengths must not be 0")
