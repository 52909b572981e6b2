"""The networks that published metrics look through: AlexNet and VGG16 under LPIPS, I3D under FVD.

Written here because torchvision is no dependency. Names of parameters are those of the published files: torchvision's
for AlexNet and VGG16 (``features.0.weight``), pytorch-i3d's for I3D (``Mixed_3b.b1a.conv3d.weight``).
"""

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import nn
from torch.nn import functional

Net = Literal["alex", "vgg"]

WIDTHS: dict[Net, tuple[int, ...]] = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
"""Channels of the five maps."""

_TAPS: dict[Net, tuple[int, ...]] = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
"""Layers (ReLU) after which a map is taken, as in the lpips package."""


class Trunk(nn.Module):
    """The convolutions of AlexNet or VGG16, up to the last map that LPIPS takes.

    Args:
        net: "alex" (Krizhevsky 2014, one tower) or "vgg" (VGG16, Simonyan and Zisserman 2015, without batch norm).
    """

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.features = nn.Sequential(*(_alexnet() if net == "alex" else _vgg16()))
        self.taps = _TAPS[net]

    def forward(self, x: Float[torch.Tensor, "b 3 h w"]) -> list[Float[torch.Tensor, "b _c _h _w"]]:
        """Five maps, each after its ReLU."""
        maps = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.taps:
                maps.append(x)
        return maps


def _alexnet() -> list[nn.Module]:
    return [
        *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
    ]


def _vgg16() -> list[nn.Module]:
    layers: list[nn.Module] = []
    depths = (2, 2, 3, 3, 3)
    for (before, width), depth in zip(pairwise((3, *WIDTHS["vgg"])), depths, strict=True):
        layers += [nn.MaxPool2d(2, 2)] if layers else []
        for given in (before, *([width] * (depth - 1))):
            layers += [nn.Conv2d(given, width, 3, padding=1), nn.ReLU()]
    return layers


_MIXED: dict[str, tuple[int, tuple[int, int, int, int, int, int]]] = {
    "Mixed_3b": (192, (64, 96, 128, 16, 32, 32)),
    "Mixed_3c": (256, (128, 128, 192, 32, 96, 64)),
    "Mixed_4b": (480, (192, 96, 208, 16, 48, 64)),
    "Mixed_4c": (512, (160, 112, 224, 24, 64, 64)),
    "Mixed_4d": (512, (128, 128, 256, 24, 64, 64)),
    "Mixed_4e": (512, (112, 144, 288, 32, 64, 64)),
    "Mixed_4f": (528, (256, 160, 320, 32, 128, 128)),
    "Mixed_5b": (832, (256, 160, 320, 32, 128, 128)),
    "Mixed_5c": (832, (384, 192, 384, 48, 128, 128)),
}
"""Channels into each inception block, and of its convolutions b0, b1a, b1b, b2a, b2b, b3b (GoogLeNet's table)."""

_ORDER = (
    *("Conv3d_1a_7x7", "pool_spatial", "Conv3d_2b_1x1", "Conv3d_2c_3x3", "pool_spatial", "Mixed_3b", "Mixed_3c"),
    *("pool_wide", "Mixed_4b", "Mixed_4c", "Mixed_4d", "Mixed_4e", "Mixed_4f", "pool_narrow", "Mixed_5b", "Mixed_5c"),
)
_POOLS = {
    "pool_spatial": ((1, 3, 3), (1, 2, 2)),
    "pool_wide": ((3, 3, 3), (2, 2, 2)),
    "pool_narrow": ((2, 2, 2), (2, 2, 2)),
}
Sides = tuple[int, int, int]


class I3D(nn.Module):
    """Inflated Inception-v1 (Carreira and Zisserman 2017): a clip to the 400 logits of Kinetics, as FVD takes them.

    Same padding is computed as in TensorFlow. The last pooling is over space; logits are averaged over time, which is
    what DisCo does and what pytorch-i3d does for 16 frames.
    """

    def __init__(self, classes: int = 400) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = _Unit(3, 64, side=7, stride=2)
        self.Conv3d_2b_1x1 = _Unit(64, 64)
        self.Conv3d_2c_3x3 = _Unit(64, 192, side=3)
        for name, (given, widths) in _MIXED.items():
            self.add_module(name, _Mixed(given, widths))
        self.logits = nn.ModuleDict({"conv3d": nn.Conv3d(1024, classes, 1)})

    def forward(self, x: Float[torch.Tensor, "b 3 t 224 224"]) -> Float[torch.Tensor, "b classes"]:
        """Logits of clips in [-1, 1]."""
        for name in _ORDER:
            x = _pool(x, *_POOLS[name]) if name in _POOLS else getattr(self, name)(x)
        logits: torch.Tensor = self.logits["conv3d"](functional.avg_pool3d(x, (1, 7, 7), stride=1))
        return logits.mean(dim=(2, 3, 4))


class _Unit(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, given: int, width: int, *, side: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(given, width, side, stride=stride, bias=False)
        self.bn = nn.BatchNorm3d(width, eps=1e-3)

    def forward(self, x: Float[torch.Tensor, "b c t h w"]) -> Float[torch.Tensor, "b c2 t2 h2 w2"]:
        kernel, stride = self.conv3d.kernel_size, self.conv3d.stride
        return functional.relu(self.bn(self.conv3d(_same(x, kernel, stride))))


class _Mixed(nn.Module):
    """An inception block: four branches side by side."""

    def __init__(self, given: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        self.b0 = _Unit(given, b0)
        self.b1a, self.b1b = _Unit(given, b1a), _Unit(b1a, b1b, side=3)
        self.b2a, self.b2b = _Unit(given, b2a), _Unit(b2a, b2b, side=3)
        self.b3b = _Unit(given, b3b)

    def forward(self, x: Float[torch.Tensor, "b c t h w"]) -> Float[torch.Tensor, "b c2 t h w"]:
        pooled = _pool(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], dim=1)


def _pool(x: Float[torch.Tensor, "b c t h w"], kernel: Sides, stride: Sides) -> Float[torch.Tensor, "b c t2 h2 w2"]:
    return functional.max_pool3d(_same(x, kernel, stride), kernel, stride)  # zeros around: x is never negative


def _same(
    x: Float[torch.Tensor, "b c t h w"], kernel: tuple[int, ...], stride: tuple[int, ...]
) -> Float[torch.Tensor, "b c t2 h2 w2"]:
    """Zeros around so that a side of n gives ceil(n / stride); an odd one goes behind."""
    pads = [max(k - (n % s or s), 0) for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
    return functional.pad(x, [side for pad in reversed(pads) for side in (pad // 2, pad - pad // 2)])
