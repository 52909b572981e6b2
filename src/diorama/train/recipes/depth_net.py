"""The network of depth-s for training: inverse depth of one picture. `diorama.perception.depth_small` runs its weights.

An encoder and decoder of plain convolutions with a little attention at 1/16 of the size, which sees the whole picture.
Coordinates are given with the colours and with the tokens, as how low something stands tells how near it is.
"""

from typing import cast

import torch
from jaxtyping import Float
from torch import nn
from torch.nn import functional

MEAN, SPREAD = 0.45, 0.25
WIDTHS = (48, 96, 128)
"""Channels at 1/4, 1/8 and 1/16 of the size."""
BACK = (32, 64)
"""Channels of the decoder at 1/4 and 1/8."""
LAYERS, HEADS, GROUPS = 2, 4, 8
PLACES = 8
"""Numbers that tell a token where it is."""

Map = Float[torch.Tensor, "b c h w"]


class Conv(nn.Sequential):
    """A convolution, its norm over the picture, and what of it is above 0."""

    def __init__(self, into: int, out: int, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.GroupNorm(GROUPS, out), nn.ReLU())


class Block(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.first = nn.GroupNorm(GROUPS, width), nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Map) -> Map:
        """The same size."""
        return cast(Map, x + self.second(functional.relu(self.first(self.norm(x)))))


class Layer(nn.Module):
    """Attention of each token to all, and a small perceptron (Vaswani et al., 2017; norms first)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm2, self.wide, self.narrow = (
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.Linear(2 * width, width),
        )

    def forward(self, x: Float[torch.Tensor, "b n d"]) -> Float[torch.Tensor, "b n d"]:
        """The same size."""
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(b, n, 3, HEADS, d // HEADS).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(seen.transpose(1, 2).reshape(b, n, d))
        return cast(torch.Tensor, x + self.narrow(functional.relu(self.wide(self.norm2(x)))))


class DepthNet(nn.Module):
    """RGB in [0, 1], sides a multiple of 16, to the root of inverse depth at half the size (about 0 to 1)."""

    def __init__(self) -> None:
        super().__init__()
        w1, w2, w3 = WIDTHS
        b1, b2 = BACK
        self.stem, self.block1 = Conv(3 * 16 + 2, w1), Block(w1)
        self.down2, self.block2 = Conv(w1, w2, 2), Block(w2)
        self.down3, self.place = Conv(w2, w3, 2), nn.Linear(PLACES, w3)
        self.layers = nn.ModuleList(Layer(w3) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(w3)
        self.up2, self.skip2, self.fuse2 = nn.Linear(w3, b2), nn.Conv2d(w2, b2, 1), Block(b2)
        self.up1, self.skip1, self.fuse1 = nn.Conv2d(b2, b1, 1), nn.Conv2d(w1, b1, 1), Block(b1)
        self.head = nn.Conv2d(b1, 4, 3, padding=1)
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if name.endswith((".second", ".out", ".narrow")):  # each addition starts as none
                nn.init.zeros_(cast(torch.Tensor, module.weight))
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.constant_(cast(torch.Tensor, self.head.bias), 0.5)

    def forward(self, image: Float[torch.Tensor, "b 3 h w"]) -> Float[torch.Tensor, "b hh hw"]:
        """The root of inverse depth."""
        pixels = functional.pixel_unshuffle((image - MEAN) / SPREAD, 4)
        height, width = pixels.shape[2:]
        x1 = self.block1(self.stem(torch.cat([pixels, plane(height, width, pixels)], 1)))
        x2 = self.block2(self.down2(x1))
        x3 = self.down3(x2)
        b, _, h, w = x3.shape
        tokens = x3.flatten(2).transpose(1, 2) + self.place(places(h, w, x3))
        for layer in self.layers:
            tokens = layer(tokens)
        y = self.up2(self.norm(tokens)).transpose(1, 2).reshape(b, -1, h, w)
        y = self.fuse2(twice(y) + self.skip2(x2))
        y = self.fuse1(twice(self.up1(y)) + self.skip1(x1))
        return functional.pixel_shuffle(self.head(functional.relu(y)), 2)[:, 0]


def twice(x: Map) -> Float[torch.Tensor, "b c hh ww"]:
    """Each pixel four times."""
    return functional.interpolate(x, scale_factor=2, mode="nearest")


def plane(height: int, width: int, like: Map) -> Float[torch.Tensor, "b 2 h w"]:
    """x and y from -1 to 1 as two channels."""
    y = torch.linspace(-1, 1, height, dtype=like.dtype, device=like.device)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width, dtype=like.dtype, device=like.device)[None].expand(height, width)
    return torch.stack([x, y])[None].expand(len(like), 2, height, width)


def places(height: int, width: int, like: Map) -> Float[torch.Tensor, "n p"]:
    """For each token: x, y, their squares and product, |x|, and y and x in units of the longer side."""
    x, y = plane(height, width, like)[0].flatten(1)
    long = max(height, width)
    return torch.stack([x, y, x * x, y * y, x * y, x.abs(), y * height / long, x * width / long], 1)
