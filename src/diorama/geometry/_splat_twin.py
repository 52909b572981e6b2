"""The rasteriser in plain torch, for reading, for tests and for comparison: `compose` pixel by pixel, and in tiles.

Everything here is differentiated by torch; in 64 bits if the tensors are.
"""

import torch
from jaxtyping import Float, Int64

from diorama.core.camera import Cameras
from diorama.geometry._splat_kernels import DARK, FAINT, OPAQUE
from diorama.geometry._splat_project import BESIDE, DILATION
from diorama.geometry.splat import NEAR, SoftTensors

Tensor = torch.Tensor
Screen = tuple[Float[Tensor, "n 2"], Float[Tensor, "n 2 2"], Float[Tensor, " n"]]
Pixels = tuple[Float[Tensor, "p 3"], Float[Tensor, " p"], Float[Tensor, " p"]]


def splat_reference(gaussians: SoftTensors, camera: Cameras, background: Float[Tensor, "3"]) -> tuple[Tensor, ...]:
    """Colour "h w 3", alpha "h w", and the sum of weight times depth "h w": every Gaussian at every pixel of a view."""
    places, covs, z = on_screen(gaussians, camera)
    order = torch.argsort(z, stable=True)
    order = order[z[order] > NEAR]
    pixels = centres(camera.width, camera.height, like=z)
    color, alpha, depth = compose(gaussians, (places, covs, z), order, pixels, background)
    height, width = camera.height, camera.width
    return color.view(height, width, 3), alpha.view(height, width), depth.view(height, width)


def splat_tiles(
    gaussians: SoftTensors, camera: Cameras, background: Float[Tensor, "3"], tile: int = 64
) -> tuple[Tensor, ...]:
    """`splat_reference` in square tiles, each with the Gaussians whose 3 sigma box meets it (hbb1/torch-splatting)."""
    places, covs, z = on_screen(gaussians, camera)
    order = torch.argsort(z.detach(), stable=True)
    order = order[z[order] > NEAR]
    radius = 3 * torch.sqrt(torch.linalg.eigvalsh(covs.detach())[:, 1])
    x, y = places.detach().unbind(dim=1)
    rows = []
    for top in range(0, camera.height, tile):
        high = min(tile, camera.height - top)
        row = []
        for left in range(0, camera.width, tile):
            wide = min(tile, camera.width - left)
            meets = (x + radius > left) & (x - radius < left + wide) & (y + radius > top) & (y - radius < top + high)
            pixels = centres(wide, high, like=z) + torch.tensor([left, top], dtype=z.dtype)
            found = compose(gaussians, (places, covs, z), order[meets[order]], pixels, background)
            row.append([part.view(high, wide, -1) for part in found])
        rows.append([torch.cat(parts, dim=1) for parts in zip(*row, strict=True)])
    color, alpha, depth = (torch.cat(parts, dim=0) for parts in zip(*rows, strict=True))
    return color, alpha[..., 0], depth[..., 0]


def on_screen(gaussians: SoftTensors, camera: Cameras) -> Screen:
    """Centres (pixels), covariances (square pixels, widened) and depth (metres) of Gaussians in one view."""
    viewmat = torch.from_numpy(camera.viewmats[0]).to(gaussians.means)
    K = torch.from_numpy(camera.Ks[0]).to(gaussians.means)
    local = gaussians.means @ viewmat[:3, :3].T + viewmat[:3, 3]
    x, y, z = local.unbind(dim=1)
    safe = torch.where(z > NEAR, z, torch.ones_like(z))
    beside_x, beside_y = BESIDE * 0.5 * camera.width / K[0, 0], BESIDE * 0.5 * camera.height / K[1, 1]
    u = torch.clamp(x / safe, -K[0, 2] / K[0, 0] - beside_x, (camera.width - K[0, 2]) / K[0, 0] + beside_x)
    v = torch.clamp(y / safe, -K[1, 2] / K[1, 1] - beside_y, (camera.height - K[1, 2]) / K[1, 1] + beside_y)
    nothing = torch.zeros_like(z)
    across = torch.stack([K[0, 0] / safe, nothing, -K[0, 0] * u / safe], dim=1)
    down = torch.stack([nothing, K[1, 1] / safe, -K[1, 1] * v / safe], dim=1)
    flat = torch.stack([across, down], dim=1) @ viewmat[:3, :3]
    axes = flat @ (matrices(gaussians.quats) * gaussians.scales[:, None])
    covs = axes @ axes.transpose(1, 2) + DILATION * torch.eye(2, dtype=z.dtype)
    places = torch.stack([K[0, 0] * x / safe + K[0, 2], K[1, 1] * y / safe + K[1, 2]], dim=1)
    return places, covs, z


def compose(
    gaussians: SoftTensors,
    screen: Screen,
    order: Int64[Tensor, " m"],
    pixels: Float[Tensor, "p 2"],
    background: Float[Tensor, "3"],
) -> Pixels:
    """Colour, alpha and sum of weight times depth at pixels of the Gaussians in this order."""
    places, covs, z = (part[order] for part in screen)
    away = pixels[:, None] - places
    inverse = torch.linalg.inv(covs)
    form = (away[:, :, None] @ inverse @ away[..., None])[..., 0, 0]
    alpha = gaussians.opacities[order].clamp(max=float(OPAQUE)) * torch.exp(-0.5 * form)
    alpha = torch.where(alpha >= float(FAINT), alpha, torch.zeros_like(alpha))
    after = torch.cumprod(1 - alpha, dim=1)
    before = torch.cat([torch.ones_like(after[:, :1]), after[:, :-1]], dim=1)
    weights = torch.where(after >= float(DARK), before * alpha, torch.zeros_like(alpha))
    covered = weights.sum(dim=1)
    color = weights @ gaussians.colors[order] + (1 - covered)[:, None] * background
    return color, covered, weights @ z


def centres(width: int, height: int, *, like: Tensor) -> Float[Tensor, "p 2"]:
    """Of the pixels of a picture, row by row."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2).to(like) + 0.5


def matrices(quats: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 3"]:
    """Rotation matrices of quaternions of any length."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=1).unbind(dim=1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
