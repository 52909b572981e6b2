"""The embedded generator of parts: SP4D at the size of a laptop, in pixels.

As the published network (sp4d.md 1.3, 1.4) it has a branch for colours and one for part maps, both told of the input
view, and after each of their steps what both know of a place is added to both. What is ours: there is no codec (codes
of part maps would blur the small differences of colour that tell parts apart), patches of 4 x 4 pixels are its
positions; on the coarsest level every position attends to those of all views of its frame, and to itself in all
frames; the input view is the first of the views, so that attention finds it there; and it says the clean pictures.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from diffusers.models.embeddings import get_timestep_embedding
from jaxtyping import Float, Shaped
from torch import nn
from torch.nn import functional

from diorama.errors import ModelError, UsageError

PATCH = 4
CHANNELS = 3 * PATCH**2
CONTRAST = 2.0
"""Codes of a picture are how far it is from white, times this: white is 0, black -2."""
GROUPS, HEAD = 16, 32
HARMONICS = 4
"""Of the azimuth."""
THUMBNAIL = 8
"""Pixels a side of the input view's own thumbnail, which every step is told."""

Hidden: TypeAlias = list[torch.Tensor]
"""Features of colours and parts, "n c h w" each; or of colours alone."""


@dataclass(frozen=True)
class PartsNetConfig:
    """Sizes.

    Attributes:
        widths: channels at a quarter, an eighth and a sixteenth of the pictures' resolution; multiples of 16, the last
            one of 32.
        depth: blocks with attention.
        fused: whether the branches talk to each other.
    """

    widths: tuple[int, int, int] = (32, 96, 160)
    depth: int = 4
    fused: bool = True

    def __post_init__(self) -> None:
        wrong = [w for w in self.widths if w % GROUPS or not 0 < w <= 2048] or self.widths[2] % HEAD
        if len(self.widths) != 3 or wrong or not 1 <= self.depth <= 64:
            raise UsageError(f"sizes {self.widths}, {self.depth} blocks", "PartsNetConfig", "take multiples of 32")


@dataclass(frozen=True, eq=False)
class PartsGiven:
    """What the network is told of b objects.

    Attributes:
        image: codes of the input view's frames; zeros where it is not told (for guidance).
        azimuth: of the views against the input view, radians; the first is 0.
        hint: a first guess of colours, then parts, that the answer begins with (`parts_relief`); zeros for none.
    """

    image: Float[torch.Tensor, "b t c h w"]
    azimuth: Float[torch.Tensor, "b v"]
    hint: Float[torch.Tensor, "b c2 t v h w"]

    def dropped(self) -> "PartsGiven":
        """The same without the picture."""
        return PartsGiven(torch.zeros_like(self.image), self.azimuth, torch.zeros_like(self.hint))


def to_codes(pictures: Float[torch.Tensor, "*n 3 h w"]) -> Float[torch.Tensor, "*n c hh ww"]:
    """Pictures in [0, 1], sides multiples of 16, to codes; without loss."""
    if pictures.shape[-1] % (4 * PATCH) or pictures.shape[-2] % (4 * PATCH):
        raise UsageError(f"pictures of {tuple(pictures.shape[-2:])}", "to_codes", "sides must be multiples of 16")
    return functional.pixel_unshuffle((pictures - 1) * CONTRAST, PATCH)


def to_pictures(codes: Float[torch.Tensor, "*n c hh ww"]) -> Float[torch.Tensor, "*n 3 h w"]:
    """Codes to pictures in [0, 1]."""
    return (functional.pixel_shuffle(codes, PATCH) / CONTRAST + 1).clamp(0, 1)


class PartsNet(nn.Module):
    """Two branches and their exchange.

    Args:
        config: sizes.
    """

    def __init__(self, config: PartsNetConfig = PartsNetConfig()) -> None:
        super().__init__()
        self.sizes = config
        wide = config.widths[2]
        waves = 2 * HARMONICS + 1
        self.told = nn.Sequential(nn.Linear(64 + waves, wide), nn.SiLU(), nn.Linear(wide, wide))
        self.seen = nn.Linear(3 * THUMBNAIL**2, wide)
        self.rgb, self.part = Branch(config, 3 * CHANNELS), Branch(config, 3 * CHANNELS)
        self.fusions = nn.ModuleList(_Fusion(width) for width in self.rgb.widths) if config.fused else None
        self.films = nn.ModuleList(nn.Linear(wide, 2 * width) for width in self.rgb.widths)
        for film in self.films:
            _silence(film)

    def forward(
        self, x: Float[torch.Tensor, "b c t v h w"], ratio: Float[torch.Tensor, " b"], given: PartsGiven
    ) -> tuple[Float[torch.Tensor, "b c t v h w"], list[Float[torch.Tensor, "n d y x"]]]:
        """The clean codes of colours and parts, and what the last branch says on its coarsest level.

        Args:
            x: noisy codes (alpha x0 + sigma noise): of colours then parts, or of colours alone, which then hear nothing
                of the parts (the first stage of training).
            ratio: ln(sigma / alpha) / 4 of each object.
            given: what is known.
        """
        b, _, t, v, *_ = x.shape
        azimuth = torch.stack([f(given.azimuth * k) for k in range(1, HARMONICS + 1) for f in (torch.sin, torch.cos)])
        first = (given.azimuth == 0).float()[..., None]
        level = get_timestep_embedding(1000 * ratio, 64, flip_sin_to_cos=True, downscale_freq_shift=0)
        told = torch.cat([level[:, None].expand(b, v, -1), azimuth.permute(1, 2, 0), first], dim=-1)
        small = functional.adaptive_avg_pool2d(_means(given.image), THUMBNAIL).flatten(1).unflatten(0, (b, t))
        told = (self.told(told)[:, None] + self.seen(small)[:, :, None]).flatten(0, 2)
        image = given.image[:, :, None].expand(-1, -1, v, -1, -1, -1).flatten(0, 2)
        both = [_pictures(x), _pictures(given.hint[:, : x.shape[1]])]
        halves = zip(*(each.split(CHANNELS, dim=1) for each in both), strict=True)
        said, heard = self._walk([torch.cat([half, image, hint], dim=1) for half, hint in halves], told, (b, t, v))
        changed = torch.cat(said, dim=1).unflatten(0, (b, t, v)).permute(0, 3, 1, 2, 4, 5)
        return given.hint[:, : x.shape[1]] + changed, heard

    def _walk(
        self, hidden: Hidden, told: Float[torch.Tensor, "n d"], counts: tuple[int, int, int]
    ) -> tuple[Hidden, list[torch.Tensor]]:
        branches = (self.rgb, self.part)[: len(hidden)]
        skips: list[Hidden] = []
        heard: list[torch.Tensor] = []
        for number, kind in enumerate(self.rgb.kinds):
            film = self.films[number](functional.silu(told))
            also: Sequence[tuple[object, ...]] = [()] * len(branches)
            if kind == "up":
                also = [(skip,) for skip in skips.pop()]
            more = (counts,) if kind == "attend" else ()
            hidden = [b.steps[number](h, *a, film, *more) for b, h, a in zip(branches, hidden, also, strict=True)]
            if self.fusions is not None and len(hidden) == 2:
                hidden = self.fusions[number](*hidden)
            if kind == "down":
                skips.append(hidden)
            heard = [hidden[-1]] if kind == "attend" else heard
        return [branch.leave(h) for branch, h in zip(branches, hidden, strict=True)], heard

    @property
    def has_parts(self) -> bool:
        """Whether the branch of parts was ever trained; it says nothing before."""
        return bool(self.part.out.weight.any())

    def begin_parts(self) -> None:
        """Begin the second stage: the part branch as a copy of the trained one of colours, the exchange silent."""
        self.part.load_state_dict(self.rgb.state_dict())
        for fusion in self.fusions or ():
            assert isinstance(fusion, _Fusion)
            _silence(fusion.leave)


class Branch(nn.Module):
    """Convolutions down to a sixteenth of the resolution, attention there, and convolutions up again."""

    def __init__(self, config: PartsNetConfig, inputs: int, outputs: int = CHANNELS) -> None:
        super().__init__()
        fine, middle, wide = config.widths
        steps: list[nn.Module] = [_Down(inputs, fine, 1), _Down(fine, middle, 2)]
        steps.append(_Enter(middle, wide))
        steps += [_Attend(wide, over_time=bool(i % 2)) for i in range(config.depth)]
        steps += [_Up(wide, middle), _Up(middle, fine)]
        self.steps = nn.ModuleList(steps)
        self.kinds = ("down", "down", "enter", *["attend"] * config.depth, "up", "up")
        self.widths = (fine, middle, wide, *[wide] * config.depth, middle, fine)
        self.norm, self.out = nn.GroupNorm(GROUPS, fine), nn.Conv2d(fine, outputs, 3, padding=1)
        _silence(self.out)

    def leave(self, hidden: Float[torch.Tensor, "n c h w"]) -> Float[torch.Tensor, "n d h w"]:
        """Features to clean codes."""
        return self.out(functional.silu(self.norm(hidden)))


class _Residual(nn.Module):
    """Two convolutions beside the input, the second one told of level and camera."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.norm_a, self.norm_b = nn.GroupNorm(GROUPS, width), nn.GroupNorm(GROUPS, width)
        _silence(self.b)

    def forward(
        self, x: Float[torch.Tensor, "n c h w"], film: Float[torch.Tensor, "n f"]
    ) -> Float[torch.Tensor, "n c h w"]:
        y = self.norm_b(self.a(functional.silu(self.norm_a(x))))
        return x + self.b(functional.silu(_told(y, film)))


class _Down(nn.Module):
    def __init__(self, width: int, target: int, stride: int) -> None:
        super().__init__()
        kernel = 3 if stride == 1 else stride
        self.enter = nn.Conv2d(width, target, kernel, stride=stride, padding=1 if stride == 1 else 0)
        self.block = _Residual(target)

    def forward(
        self, x: Float[torch.Tensor, "n c h w"], film: Float[torch.Tensor, "n f"]
    ) -> Float[torch.Tensor, "n d y x"]:
        return self.block(self.enter(x), film)


class _Enter(nn.Module):
    """To the coarsest level, where positions are told where they are."""

    def __init__(self, width: int, target: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(width, target, 2, stride=2)

    def forward(
        self, x: Float[torch.Tensor, "n c h w"], film: Float[torch.Tensor, "n f"]
    ) -> Float[torch.Tensor, "n d y x"]:
        y = self.enter(x)
        return _told(y + _places(y), film)


class _Up(nn.Module):
    def __init__(self, width: int, target: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(width, 4 * target, 1)
        self.join = nn.Conv2d(2 * target, target, 1)
        self.block = _Residual(target)

    def forward(
        self,
        x: Float[torch.Tensor, "n c h w"],
        skip: Float[torch.Tensor, "n d y x"],
        film: Float[torch.Tensor, "n f"],
    ) -> Float[torch.Tensor, "n d y x"]:
        y = functional.pixel_shuffle(self.enter(x), 2)
        return self.block(self.join(torch.cat([y, skip], dim=1)), film)


class _Attend(nn.Module):
    """Attention over all positions of all views of a frame, and over a position's frames; then a perceptron."""

    def __init__(self, width: int, *, over_time: bool) -> None:
        super().__init__()
        self.norm, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.space = _Attention(width)
        self.time = _Attention(width) if over_time else None
        self.norm_time = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        _silence(self.mlp[-1])

    def forward(
        self, x: Float[torch.Tensor, "n c h w"], film: Float[torch.Tensor, "n f"], counts: tuple[int, int, int]
    ) -> Float[torch.Tensor, "n c h w"]:
        n, c, h, w = x.shape
        b, t, v = counts
        tokens = x.flatten(2).transpose(1, 2)
        scale, shift = film[:, None].chunk(2, dim=-1)
        told = self.norm(tokens) * (1 + scale) + shift
        tokens = tokens + self.space(told.reshape(b * t, v * h * w, c)).reshape(n, h * w, c)
        if self.time is not None and t > 1:
            frames = self.norm_time(tokens).view(b, t, v * h * w, c).transpose(1, 2).reshape(-1, t, c)
            frames = frames + _waves(t, c, x.device)
            tokens = tokens + self.time(frames).view(b, v * h * w, t, c).transpose(1, 2).reshape(n, h * w, c)
        tokens = tokens + self.mlp(self.norm_mlp(tokens))
        return tokens.transpose(1, 2).unflatten(2, (h, w))


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        _silence(self.out)

    def forward(self, x: Float[torch.Tensor, "m s c"]) -> Float[torch.Tensor, "m s c"]:
        q, k, v = self.qkv(x).unflatten(-1, (3, -1, HEAD)).permute(2, 0, 3, 1, 4)
        return self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _Fusion(nn.Module):
    """BiDiFuse (sp4d.md 1.4): what both branches know of a place is added to both; silent at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter, self.leave = nn.Conv2d(2 * width, width, 1), nn.Conv2d(width, width, 1)
        _silence(self.leave)

    def forward(self, rgb: Float[torch.Tensor, "n c h w"], part: Float[torch.Tensor, "n c h w"]) -> Hidden:
        shared = self.leave(functional.relu(self.enter(torch.cat([rgb, part], dim=1))))
        return [rgb + shared, part + shared]


def _pictures(x: Float[torch.Tensor, "b c t v h w"]) -> Float[torch.Tensor, "n c h w"]:
    return x.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)


def _told(x: Float[torch.Tensor, "n c h w"], film: Float[torch.Tensor, "n f"]) -> Float[torch.Tensor, "n c h w"]:
    scale, shift = film[..., None, None].chunk(2, dim=1)
    return x * (1 + scale) + shift


def _waves(count: int, width: int, device: torch.device) -> Float[torch.Tensor, "n c"]:
    places = torch.arange(count, device=device, dtype=torch.float32)
    return get_timestep_embedding(places, width, flip_sin_to_cos=True, downscale_freq_shift=0)


def _places(like: Float[torch.Tensor, "n c h w"]) -> Float[torch.Tensor, "c h w"]:
    """Rows in half of the channels, columns in the other, counted from the middle."""
    _, c, h, w = like.shape
    half = c // 2
    frequencies = math.pi * 2 ** torch.linspace(-1, 3, half // 2, device=like.device)
    axes = []
    for count in (h, w):
        place = (torch.arange(count, device=like.device) + 0.5) / count - 0.5
        turns = frequencies[:, None] * place
        axes.append(torch.cat([turns.sin(), turns.cos()]))
    rows, columns = axes
    return torch.cat([rows[:, :, None].expand(-1, -1, w), columns[:, None].expand(-1, h, -1)]).to(like.dtype)


def _means(image: Float[torch.Tensor, "b t c h w"]) -> Float[torch.Tensor, "n 3 h w"]:
    """Mean colours of the patches."""
    return image.flatten(0, 1).unflatten(1, (3, -1)).mean(dim=2)


def _silence(layer: nn.Module) -> None:
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def sizes_of(tensors: Mapping[str, Shaped[torch.Tensor, "..."]], prefix: str, where: Path) -> PartsNetConfig:
    """The sizes of a branch whose tensors begin with `prefix`.

    Raises:
        ModelError: there is no such branch.
    """
    try:
        widths = [len(tensors[f"{prefix}steps.{i}.enter.bias"]) for i in range(3)]
        depth = sum(n.startswith(f"{prefix}steps.") and n.endswith(".space.qkv.weight") for n in tensors)
        return PartsNetConfig((widths[0], widths[1], widths[2]), depth, any(n.startswith("fusions.") for n in tensors))
    except (KeyError, TypeError, UsageError) as error:
        raise ModelError(f"no generator of parts: {error}", where, "get the file again") from error
