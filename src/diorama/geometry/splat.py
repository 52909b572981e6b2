"""3D Gaussian splatting (Kerbl et al. 2023): soft ellipsoids to pixels, with gradients.

Each Gaussian falls on the screen as an ellipse (EWA, Zwicker et al. 2001; 0.3 square pixels wider, against gaps) and
pixels compose them nearest first, by the depth of their centres. As published: what covers a pixel by less than 1/255
is skipped, an opacity counts at most 0.99, and a pixel is finished before its transmittance falls below 1e-4.

On the processor kernels draw tiles of 16 x 16 pixels (`_splat_kernels`), on CUDA the package gsplat does; the readable
twin is `_splat_twin`. Results on the processor do not depend on the number of threads.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Float32

from diorama.core.camera import Cameras
from diorama.core.extras import need
from diorama.core.gaussians import Gaussians
from diorama.errors import UsageError
from diorama.geometry._splat_kernels import OPAQUE
from diorama.geometry._splat_project import DILATION
from diorama.geometry._splat_torch import Splat, View, draw

NEAR = 0.01
"""Metres before the camera where drawing begins."""
SEEN = 1e-3
"""Alpha below which a pixel has no depth."""

Tensor = torch.Tensor


@dataclass(frozen=True, eq=False)
class Splatted:
    """A picture of Gaussians.

    Attributes:
        color: RGB, over the background.
        alpha: coverage, 0 to 1.
        depth: metres along z, the mean of what covers the pixel; inf where next to nothing does.
    """

    color: Float32[np.ndarray, "h w 3"]
    alpha: Float32[np.ndarray, "h w"]
    depth: Float32[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class SoftTensors:
    """`Gaussians` as tensors of one device, to be fitted; quaternions may have any length above 0."""

    means: Float[Tensor, "n 3"]
    quats: Float[Tensor, "n 4"]
    scales: Float[Tensor, "n 3"]
    opacities: Float[Tensor, " n"]
    colors: Float[Tensor, "n 3"]

    @classmethod
    def of(cls, gaussians: Gaussians, device: torch.device | str = "cpu") -> "SoftTensors":
        """Copies of the arrays."""
        return cls(*(torch.from_numpy(getattr(gaussians, f.name).copy()).to(device) for f in fields(cls)))


@dataclass(frozen=True, eq=False)
class SplattedTensors:
    """Pictures of Gaussians; differentiable in them.

    Attributes:
        color: RGB, over the background.
        alpha: coverage, 0 to 1.
        depth: the sum of weight times metres along z; divided by alpha, the depth.
        radii: the longer half axis of each Gaussian's ellipse, pixels; 0 where it is not in the picture.
        pull: filled by the backward pass: gradients of the loss by each Gaussian's place on the screen, 1/pixel. Where
            they stay large, detail is missing (Kerbl et al. 2023, section 5.2).
    """

    color: Float[Tensor, "v h w 3"]
    alpha: Float[Tensor, "v h w"]
    depth: Float[Tensor, "v h w"]
    radii: Float[Tensor, "v n"]
    pull: Float[Tensor, "v n 2"]


def splat(
    gaussians: Gaussians, camera: Cameras, *, background: tuple[float | int, float | int, float | int] = (0, 0, 0)
) -> Splatted:
    """Draw Gaussians as one camera sees them.

    Args:
        gaussians: in the world, metres.
        camera: one view.
        background: RGB behind everything, 0 to 1.

    Raises:
        UsageError: no or several views, or intrinsics with skew.
    """
    if len(camera) != 1:
        raise UsageError(f"{len(camera)} views", "camera", "draw one at a time: cameras[i : i + 1]")
    (view,) = _views(camera, background)
    looks = np.concatenate([gaussians.opacities[:, None], gaussians.colors], axis=1)
    arrays = tuple(np.ascontiguousarray(a) for a in (gaussians.means, gaussians.quats, gaussians.scales, looks))
    found = draw(arrays, view)  # type: ignore[arg-type]
    depth = np.full_like(found.depth, np.inf)
    np.divide(found.depth, found.alpha, out=depth, where=found.alpha > SEEN)
    return Splatted(found.color, found.alpha, depth)


def splat_torch(
    gaussians: SoftTensors,
    cameras: Cameras,
    *,
    background: tuple[float | int, float | int, float | int] = (0, 0, 0),
) -> SplattedTensors:
    """`splat` for tensors and any number of views; on CUDA by the package gsplat.

    Raises:
        UsageError: no views, or intrinsics with skew.
        ModelError: tensors on CUDA without gsplat.
    """
    if not len(cameras):
        raise UsageError("0 views", "cameras", "give at least one")
    views = _views(cameras, background)
    g = gaussians
    if g.means.is_cuda:
        return _on_cuda(g, cameras, background)
    looks = torch.cat([g.opacities[:, None], g.colors], dim=1)
    parts = tuple(part.float() for part in (g.means, g.quats, g.scales, looks))
    pull = torch.zeros(len(views), len(g.means), 2)
    seen = [Splat.apply(*parts, view, row) for view, row in zip(views, pull, strict=True)]
    color, alpha, depth, radii = (torch.stack(pictures) for pictures in zip(*seen, strict=True))
    return SplattedTensors(color, alpha, depth, radii, pull)


def _views(cameras: Cameras, background: tuple[float | int, float | int, float | int]) -> list[View]:
    if np.abs(cameras.Ks[:, 0, 1]).max(initial=0) > 1e-9:
        raise UsageError("intrinsics with skew", "cameras.Ks", "resample the pictures to square axes")
    behind = np.array(background, np.float32)
    found = []
    for viewmat, K in zip(cameras.viewmats, cameras.Ks, strict=True):
        lens = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2], cameras.width, cameras.height], np.float64)
        found.append(View(np.ascontiguousarray(viewmat[:3], np.float64), lens, behind, NEAR))
    return found


def _on_cuda(
    g: SoftTensors, cameras: Cameras, background: tuple[float | int, float | int, float | int]
) -> SplattedTensors:
    behind = torch.tensor(background, dtype=g.means.dtype, device=g.means.device)
    drawn, alpha, meta = need("gsplat").rasterization(
        g.means,
        torch.nn.functional.normalize(g.quats, dim=-1),
        g.scales,
        g.opacities.clamp(max=float(OPAQUE)),
        g.colors,
        torch.from_numpy(cameras.viewmats).to(g.means),
        torch.from_numpy(cameras.Ks).to(g.means),
        cameras.width,
        cameras.height,
        near_plane=NEAR,
        eps2d=DILATION,
        packed=False,
        render_mode="RGB+D",
    )
    pull = torch.zeros_like(meta["means2d"])
    if meta["means2d"].requires_grad:

        def keep(gradient: Float[Tensor, "v n 2"]) -> None:  # what a hook returns replaces the gradient
            pull.add_(gradient)

        meta["means2d"].register_hook(keep)
    radii = meta["radii"].to(g.means)
    radii = radii.amax(dim=-1) if radii.ndim == 3 else radii
    color = drawn[..., :3] + (1 - alpha) * behind
    return SplattedTensors(color, alpha[..., 0], drawn[..., 3], radii, pull)
