"""The embedded generator: one small video network that animates, repeats a person in new poses, and inpaints.

It is the motion UNet of diffusers at a small width, with all four places of `Conditioning` in use. What is not given is
zeros, and was so in part of the training: without anything it is an unconditional prior of video, which is what
inpainting needs.
"""

import math
from dataclasses import asdict, dataclass, replace

import torch
from diffusers import UNet2DConditionModel, UNetMotionModel
from jaxtyping import Bool, Float
from torch import nn

from diorama.diffusion.conditioning import Conditioning
from diorama.diffusion.denoise import Denoiser
from diorama.diffusion.levels import Level
from diorama.diffusion.motion_unet import adapt, predict, read_reference, spatial_view
from diorama.diffusion.reference import ReferenceCache
from diorama.diffusion.transfer import Transfer
from diorama.errors import UsageError

SPREAD = 0.6
"""Deviation of x0 from the composite of what is given, in latents."""
CODE_SCALE = 4
"""Pixels of a code map along one latent position; half the resolution of the frames."""


@dataclass(frozen=True)
class BackboneConfig:
    """Sizes.

    Attributes:
        latent_channels: of the codec.
        widths: of each resolution, from that of the latents downwards; attention from the second on.
        heads: of spatial and temporal attention.
        context_width: of the image tokens.
        positions: frames that the network can tell apart.
    """

    latent_channels: int = 16
    widths: tuple[int, ...] = (64, 96, 128)
    heads: int = 4
    context_width: int = 32
    positions: int = 32

    @property
    def concat_channels(self) -> int:
        """Scene, occluder, transfer and preview as latents, each with one channel that says where it holds."""
        return 4 * (self.latent_channels + 1)


@dataclass(frozen=True)
class Given:
    """What is known of b videos of t frames at latent size h x w; anything may be absent.

    The three pictures build on each other, so that a codec's patches never mix a layer with nothing: the scene, the
    scene with what stands before the person, and both with the preview of the person between them.

    Attributes:
        scene, scene_known: latents of the bare scene; 1 where it is known (nothing is given elsewhere).
        occluder, occluder_alpha: latents with the occluders in place, and how much of a position they cover.
        preview, preview_alpha: latents with the textured body in the target pose too, and its coverage.
        codes: vertex codes of the body in [0, 1] and coverage, 4 pixels a latent position.
        reference: latents of s pictures of the person, whole whatever piece of a frame is made.
        reference_codes: as `codes`, of the pose in those pictures.
    """

    scene: Float[torch.Tensor, "b c t h w"] | None = None
    scene_known: Float[torch.Tensor, "b 1 t h w"] | None = None
    occluder: Float[torch.Tensor, "b c t h w"] | None = None
    occluder_alpha: Float[torch.Tensor, "b 1 t h w"] | None = None
    preview: Float[torch.Tensor, "b c t h w"] | None = None
    preview_alpha: Float[torch.Tensor, "b 1 t h w"] | None = None
    codes: Float[torch.Tensor, "b 4 t hh ww"] | None = None
    reference: Float[torch.Tensor, "b c s rh rw"] | None = None
    reference_codes: Float[torch.Tensor, "b 4 s rhh rww"] | None = None

    def __post_init__(self) -> None:
        for name, partner in (
            *(("scene", "scene_known"), ("occluder", "occluder_alpha"), ("preview", "preview_alpha")),
            ("reference", "reference_codes"),
        ):
            if (getattr(self, name) is None) != (getattr(self, partner) is None):
                raise UsageError(f"only one of {name} and {partner}", "Given", "give both or neither")


@dataclass(frozen=True)
class Kept:
    """Which videos keep a condition: training's dropout, one draw a video each (bool "b")."""

    scene: Bool[torch.Tensor, " b"]
    occluder: Bool[torch.Tensor, " b"]
    preview: Bool[torch.Tensor, " b"]
    codes: Bool[torch.Tensor, " b"]
    reference: Bool[torch.Tensor, " b"]


class CodeEncoder(nn.Module):
    """Vertex-code maps to a residual of the first convolution; starts as zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # waves of two frequencies tell neighbouring places on the body apart before pixels are pooled
        self.fold = nn.PixelUnshuffle(CODE_SCALE)
        self.enter = nn.Conv2d(16 * CODE_SCALE**2, width, 1)
        self.middle = nn.Conv2d(width, width, 3, padding=1)
        self.leave = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, codes: Float[torch.Tensor, "b 4 t hh ww"]) -> Float[torch.Tensor, "b r t h w"]:
        """The residual of each frame."""
        flat = codes.transpose(1, 2).flatten(0, 1)
        place, seen = flat[:, :3], flat[:, 3:]
        waves = [f(place * (torch.pi * n)) * seen for n in (2, 6) for f in (torch.sin, torch.cos)]
        x = nn.functional.silu(self.enter(self.fold(torch.cat([place * seen, seen, *waves], dim=1))))
        x = self.leave(nn.functional.silu(self.middle(x)))
        return x.unflatten(0, (len(codes), -1)).transpose(1, 2)


class ImageTokens(nn.Module):
    """Sixteen tokens a picture from its latents: the context where no image encoder is at hand."""

    def __init__(self, latent_channels: int, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(latent_channels, width, 4, stride=4), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), nn.SiLU()
        )
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.norm = nn.LayerNorm(width)

    def forward(self, latents: Float[torch.Tensor, "b c s h w"]) -> Float[torch.Tensor, "b n d"]:
        """The tokens of the s pictures of each video, joined."""
        maps = self.pool(self.net(latents.transpose(1, 2).flatten(0, 1)))
        tokens = self.norm(maps.flatten(2).transpose(1, 2))
        return tokens.unflatten(0, (len(latents), -1)).flatten(1, 2)


def _unet(config: BackboneConfig) -> UNetMotionModel:
    count = len(config.widths)
    plain = ["DownBlockMotion"] + ["CrossAttnDownBlockMotion"] * (count - 1)
    unet = UNetMotionModel(
        in_channels=config.latent_channels + config.concat_channels,
        out_channels=config.latent_channels,
        down_block_types=tuple(plain),
        up_block_types=tuple(name.replace("Down", "Up") for name in reversed(plain)),
        block_out_channels=config.widths,
        layers_per_block=1,
        norm_num_groups=16,
        cross_attention_dim=config.context_width,
        num_attention_heads=config.heads,
        motion_num_attention_heads=config.heads,
        motion_max_seq_length=config.positions,
        # at full resolution the last layer alone looks along time: it is a quarter of the cost elsewhere
        temporal_transformer_layers_per_block=(0, *[1] * (count - 1)),
        reverse_temporal_transformer_layers_per_block=[*[1] * (count - 1), (0, 1)],
        use_motion_mid_block=True,
    )
    for name, module in unet.named_modules():
        if name.endswith("proj_out") and "motion_modules" in name:  # begins as a network of single pictures
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    nn.init.zeros_(unet.conv_out.weight)
    nn.init.zeros_(unet.conv_out.bias)
    for module in unet.modules():  # computed, not learned
        if isinstance(getattr(module, "pe", None), torch.Tensor):
            module.register_buffer("pe", module.pe, persistent=False)
    adapt(unet)
    return unet


class Backbone(nn.Module):
    """The network; `condition` and `forward` are what training and inference share.

    It denoises what is new: the residual between x0 and the composite of the layers that are given (scene, preview,
    occluder; without preview, the reference's look put onto the body of each frame, see `Transfer`). So pixels that are
    known need not be learned, and an untrained network already shows the person.

    Attributes:
        sizes: of the network.
    """

    def __init__(self, config: BackboneConfig = BackboneConfig()) -> None:
        super().__init__()
        self.sizes = config
        self.unet = _unet(config)
        self.codes = CodeEncoder(config.widths[0])
        self.tokens = ImageTokens(config.latent_channels, config.context_width)
        self.transfer = Transfer(config.latent_channels)
        self.nothing = nn.Parameter(torch.zeros(1, 1, config.context_width))
        self.__dict__["view"] = spatial_view(self.unet)  # shares all parameters: not a submodule

    @property
    def config(self) -> dict[str, object]:
        """What a file of weights needs beside it."""
        return asdict(self.sizes)

    def set_motion(self, on: bool) -> None:
        """Whether motion modules are trained; pictures teach them nothing."""
        for name, parameter in self.unet.named_parameters():
            if "motion_modules" in name:
                parameter.requires_grad_(on)

    def enable_gradient_checkpointing(self) -> None:
        """Computes activations again in the backward pass."""
        self.unet.enable_gradient_checkpointing()
        view: UNet2DConditionModel = self.__dict__["view"]
        view.enable_gradient_checkpointing()

    def condition(self, given: Given, like: Float[torch.Tensor, "b c t h w"], kept: Kept | None = None) -> Conditioning:
        """The four places from what is known of videos shaped as `like`.

        Args:
            given: what is known.
            like: latents of the shape to be made.
            kept: what is dropped in training; everything given is used without it. Pictures build on the scene: without
                it none is used.
        """
        known = torch.zeros_like(like[:, :1])
        if given.scene_known is not None:
            known = _masked(given.scene_known, None if kept is None else kept.scene)
        planes = [_masked_plane(given.scene, like, known), known]
        planes += _plane(given.occluder, given.occluder_alpha, like, known, _all_kept(kept, "occluder", "scene"))
        worn = self._worn(given, planes[0], *planes[2:])
        planes += _plane(*worn, like, known, _all_kept(kept, "codes", "reference", "scene"))
        planes += _plane(given.preview, given.preview_alpha, like, known, _all_kept(kept, "preview", "scene"))
        concat = torch.cat(planes, dim=1)
        residual = None
        if given.codes is not None:
            residual = self.codes(_masked(given.codes, None if kept is None else kept.codes))
        context, cache = self.nothing.expand(len(like), -1, -1), None
        if given.reference is not None and given.reference_codes is not None:
            cache, context = self._read(
                given.reference, given.reference_codes, None if kept is None else kept.reference
            )
        return Conditioning(concat, context, cache, residual)

    def _worn(
        self, given: Given, scene: torch.Tensor, occluder: torch.Tensor, alpha: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """The reference's look on the body of each frame, between the scene and the occluders."""
        if given.codes is None or given.reference is None or given.reference_codes is None:
            return None, None
        before = torch.where(alpha >= 0, occluder, scene)
        return self.transfer(before, alpha.clamp(min=0), given.codes, given.reference, given.reference_codes)

    def _read(
        self, pictures: torch.Tensor, codes: torch.Tensor, keep: torch.Tensor | None
    ) -> tuple[ReferenceCache, torch.Tensor]:
        """The reference's keys and values, and its tokens; several pictures are read one by one and joined."""
        tokens = self.tokens(pictures)
        if keep is not None:
            tokens = torch.where(keep[:, None, None], tokens, self.nothing)
        cache = None
        for number in range(pictures.shape[2]):
            one = pictures[:, :, number : number + 1]
            empty = one.new_zeros(len(one), self.sizes.concat_channels, *one.shape[2:])
            cond = Conditioning(empty, self.tokens(one), None, self.codes(codes[:, :, number : number + 1]))
            read = read_reference(self.__dict__["view"], one[:, :, 0], cond, reader=self.unet)
            cache = read if cache is None else cache.joined(read)
        assert cache is not None
        cache = replace(cache, any_size=True)  # trained on pieces of frames with whole pictures of the person
        return (cache if keep is None else cache.kept(keep)), tokens

    def forward(
        self,
        x: Float[torch.Tensor, "b c t h w"],
        alpha: Float[torch.Tensor, " b"],
        sigma: Float[torch.Tensor, " b"],
        cond: Conditioning,
    ) -> Float[torch.Tensor, "b c t h w"]:
        """x0, each video at its own level."""
        assert cond.concat is not None
        base = self.base(cond.concat)
        return base + SPREAD * self.residual(x - over(alpha) * base, alpha, sigma, cond)

    def residual(
        self,
        rest: Float[torch.Tensor, "b c t h w"],
        alpha: Float[torch.Tensor, " b"],
        sigma: Float[torch.Tensor, " b"],
        cond: Conditioning,
    ) -> Float[torch.Tensor, "b c t h w"]:
        """What the network itself says: the clean residual over `SPREAD`, from
        ``rest = alpha * residual + sigma * noise``.

        Its input has about unit variance; its time is the angle of the level, 0 to 1000. It says the residual and not
        the noise: most of a frame is known, and to say nothing there is easier than to say all of the noise.
        """
        enter = torch.rsqrt((alpha * SPREAD) ** 2 + sigma**2)
        return predict(self.unet, rest * over(enter), torch.atan2(sigma, alpha) * (2000 / math.pi), cond)

    def base(self, concat: Float[torch.Tensor, "b d t h w"]) -> Float[torch.Tensor, "b c t h w"]:
        """The most complete of the given pictures, nothing where nothing is known."""
        c = self.sizes.latent_channels
        scene, known, *pictures = concat.split([c, 1] * 4, dim=1)
        found = scene
        for picture, alpha in zip(pictures[::2], pictures[1::2], strict=True):
            found = torch.where(alpha >= 0, picture, found)
        return known * found

    def denoiser(self, cond: Conditioning) -> Denoiser:
        """``(x, level) -> x0`` under conditions."""

        def denoise(x: Float[torch.Tensor, "b c t h w"], level: Level) -> Float[torch.Tensor, "b c t h w"]:
            return self(x, x.new_full((len(x),), level.alpha), x.new_full((len(x),), level.sigma), cond)

        return denoise


def over(value: Float[torch.Tensor, " b"]) -> Float[torch.Tensor, "b 1 1 1 1"]:
    """One value a video, to be broadcast."""
    return value[:, None, None, None, None]


ABSENT = -1.0
"""In place of a coverage: the picture is not given."""


def _masked(value: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
    return value if keep is None else value * keep.to(value.dtype).reshape(-1, *[1] * (value.ndim - 1))


def _all_kept(kept: Kept | None, *names: str) -> Bool[torch.Tensor, " b"] | None:
    """Videos that keep all of these."""
    return None if kept is None else torch.stack([getattr(kept, name) for name in names]).all(dim=0)


def _masked_plane(latents: torch.Tensor | None, like: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """A picture where it is known, zeros elsewhere."""
    if latents is None:
        return torch.zeros_like(like)
    if latents.shape != like.shape or known.shape != like[:, :1].shape:
        shapes = f"a picture {tuple(latents.shape)}, known {tuple(known.shape)} for {tuple(like.shape)}"
        raise UsageError(shapes, "Given", "give the latents' own shape")
    return torch.where(known > 0, latents, 0)


def _plane(
    latents: torch.Tensor | None,
    alpha: torch.Tensor | None,
    like: torch.Tensor,
    known: torch.Tensor,
    keep: torch.Tensor | None,
) -> list[torch.Tensor]:
    """A picture and its coverage; zeros and `ABSENT` in videos where it is not given or not kept."""
    if latents is None or alpha is None:
        return [torch.zeros_like(like), torch.full_like(like[:, :1], ABSENT)]
    picture = _masked_plane(latents, like, known)
    if keep is None:
        return [picture, alpha]
    wide = keep[:, None, None, None, None]
    return [torch.where(wide, picture, 0), torch.where(wide, alpha, ABSENT)]
