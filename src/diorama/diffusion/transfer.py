"""The look of a reference picture put onto the body of each frame, by their vertex codes: a network's first guess.

Codes say where on the body each cell of a picture lies, so what a picture shows of a place can be looked up for every
frame without a network (`diorama.figures.appearance`). What is left to learn is what that lacks: clothes that leave the
body, hair, light, shadow. It works on latents, by the colours of cells, sixteen in a latent position: nearly linear in
the latents, and the latents are taken from them as the most probable ones.
"""

import torch
from jaxtyping import Float
from torch import nn
from torch.nn import functional

from diorama.figures.appearance import appearance_at, appearance_volume

CELLS = 4
"""Along a side of one latent position."""
DOUBT = 0.05
"""Deviation of a cell's colour that latents need not explain."""
SIDES = (32, 64, 64)
COVERED, RIM = 0.95, 0.02
"""Share of a cell that must show the body for its colour to count, and what it counts beside a cell that does not:
latents spread what is behind a body over its rim."""


class Transfer(nn.Module):
    """Appearance transfer between latents; learns nothing by gradients, see `fit`.

    Args:
        channels: of the latents, at most 48.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        start, _ = torch.linalg.qr(torch.randn(3 * CELLS**2, channels, device="cpu"))
        self.register_buffer("to_cells", start.contiguous())
        self.register_buffer("to_latents", start.T.contiguous())
        self.register_buffer("grey", torch.zeros(3 * CELLS**2))
        self.to_cells: Float[torch.Tensor, "k c"]
        self.to_latents: Float[torch.Tensor, "c k"]
        self.register_buffer("centre", torch.zeros(channels))
        self.grey: Float[torch.Tensor, " k"]
        self.centre: Float[torch.Tensor, " c"]

    @torch.no_grad()
    def fit(self, frames: Float[torch.Tensor, "n 3 hh ww"], latents: Float[torch.Tensor, "n c h w"]) -> None:
        """Take the linear maps from frames in [0, 1] and their latents, by least squares."""
        size = (CELLS * latents.shape[2], CELLS * latents.shape[3])
        shrunk = functional.interpolate(frames.double(), size=size, mode="area")
        cells = functional.pixel_unshuffle(shrunk, CELLS).permute(0, 2, 3, 1).flatten(0, 2)
        z = latents.double().permute(0, 2, 3, 1).flatten(0, 2)
        middle, centre = cells.mean(dim=0), z.mean(dim=0)
        to_cells = torch.linalg.lstsq(z - centre, cells - middle).solution.T
        # latents vary by about 1 and cells' colours by `DOUBT` besides: the mean of z given the cells
        gram = to_cells.T @ to_cells + DOUBT**2 * torch.eye(len(to_cells.T), dtype=to_cells.dtype)
        to_latents = torch.linalg.solve(gram, to_cells.T)
        self.to_cells.copy_(to_cells)
        self.to_latents.copy_(to_latents)
        self.grey.copy_(middle - to_cells @ centre)
        self.centre.copy_(centre - to_latents @ middle)

    @torch.no_grad()
    def forward(
        self,
        before: Float[torch.Tensor, "b c t h w"],
        hidden: Float[torch.Tensor, "b 1 t h w"],
        codes: Float[torch.Tensor, "b 4 t hh ww"],
        reference: Float[torch.Tensor, "b c s rh rw"],
        reference_codes: Float[torch.Tensor, "b 4 s rhh rww"],
    ) -> tuple[Float[torch.Tensor, "b c t h w"], Float[torch.Tensor, "b 1 t h w"]]:
        """Latents with the body in the reference's colours, and how much of each position it covers.

        Args:
            before: latents of what the body stands before and behind.
            hidden: how much of a position things before the body cover.
            codes: of the body in each frame, with coverage, `CELLS` a position.
            reference, reference_codes: pictures of the person, see `Given`.
        """
        with torch.autocast(before.device.type, enabled=False):
            told = reference_codes.float()
            shown = (told[:, 3:] > COVERED).float()
            shown = shown * (1 + RIM - functional.max_pool3d(1 - shown, (1, 3, 3), stride=1, padding=(0, 1, 1)))
            volume = appearance_volume(self._cells(reference.float()), told[:, :3], shown, sides=SIDES)
            color = appearance_at(volume, codes[:, :3].float())
            share = _spread(1 - hidden.float()) * codes[:, 3:].float()
            behind = self._cells(before.float())
            plain = self._latents(behind)
            made = self._latents(behind + share * (color - behind))
            cover = functional.avg_pool3d(share, (1, CELLS, CELLS))
            # what cells cannot say of the scene stays where it is seen
            made = made + (before - plain) * (1 - cover)
        return torch.where(cover > 0, made, before).to(before.dtype), cover.to(before.dtype)

    def _cells(self, latents: Float[torch.Tensor, "b c t h w"]) -> Float[torch.Tensor, "b 3 t hh ww"]:
        values = torch.einsum("kc,bcthw->btkhw", self.to_cells, latents) + self.grey[:, None, None]
        return functional.pixel_shuffle(values, CELLS).transpose(1, 2)

    def _latents(self, cells: Float[torch.Tensor, "b 3 t hh ww"]) -> Float[torch.Tensor, "b c t h w"]:
        values = functional.pixel_unshuffle(cells.transpose(1, 2), CELLS)
        return torch.einsum("ck,btkhw->bcthw", self.to_latents, values) + self.centre[:, None, None, None]


def _spread(plane: Float[torch.Tensor, "b 1 t h w"]) -> Float[torch.Tensor, "b 1 t hh ww"]:
    return plane.repeat_interleave(CELLS, dim=3).repeat_interleave(CELLS, dim=4)
