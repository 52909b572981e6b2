"""Videos from MIMO's networks and their relatives (arXiv 2409.16160; specs/mimo.md, scd.md).

A character's picture is read once; pose pictures steer each frame; the bare scene lies beside the noise. So it is in
the release. The paper's own networks take vertex codes for poses and what is before the person too, those of
Moore-AnimateAnyone no scene, and SCD reads the picture with the denoiser itself, in the pose that the picture shows.
Sizes follow from the shapes of the tensors, so a small model of the same layout runs through the same code.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel, UNetMotionModel
from jaxtyping import Float, Int64, UInt8

from diorama.core.progress import Progress
from diorama.diffusion import motion_unet
from diorama.diffusion.clip_image import image_tokens, patch_tokens
from diorama.diffusion.codec import Codec
from diorama.diffusion.coding import decode_video, encode_stream
from diorama.diffusion.conditioning import Conditioning
from diorama.diffusion.denoise import Denoiser, from_eps, from_v, from_x0
from diorama.diffusion.guidance import guided_together
from diorama.diffusion.levels import Schedule, Spacing, levels
from diorama.diffusion.noise import Noise
from diorama.diffusion.pose_encoder import encode_poses
from diorama.diffusion.reference_cache import ReferenceCache
from diorama.diffusion.sample import Solver, descend, sample
from diorama.diffusion.windows import WindowConfig, shifted
from diorama.errors import UsageError

Frames = UInt8[torch.Tensor, "t h w 3"]
PREDICTIONS = {"v_prediction": from_v, "epsilon": from_eps, "sample": from_x0}
RELEASE = WindowConfig(length=24, overlap=4, mode="release")


@dataclass(frozen=True, eq=False)
class MimoNetworks:
    """What the release holds, ready to run.

    Attributes:
        denoiser: the video network; 8 input channels (MIMO: noise and scene), 12 (as in its paper: and what is before
            the person) or 4 (Moore-AnimateAnyone, SCD: noise alone).
        reference: the network that reads the character's picture.
        pose_encoder: pose pictures, or maps of vertex codes, to a residual.
        codec: pixels to latents.
        image_encoder: CLIP's, for the context token.
        schedule: the levels the denoiser was trained on.
        spacing, offset: which of them a sampler visits.
        prediction: what the denoiser says, a name of `PREDICTIONS`.
        patches: whether all tokens of the picture are read, or the one of the whole (`image_tokens`).
    """

    denoiser: UNetMotionModel
    reference: UNet2DConditionModel
    pose_encoder: torch.nn.Module
    codec: Codec
    image_encoder: torch.nn.Module
    schedule: Schedule
    spacing: Spacing = "trailing"
    offset: int = 1
    prediction: str = "v_prediction"
    patches: bool = False

    def bound(self, cond: Conditioning) -> Denoiser:
        """The denoiser under conditions."""
        return PREDICTIONS[self.prediction](motion_unet.bind(self.denoiser, cond), self.schedule)

    @property
    def layers(self) -> int:
        """How many videos lie beside the noise: none, the scene, or it and what is before the person."""
        return int(self.denoiser.conv_in.in_channels // self.codec.channels - 1)

    @property
    def takes_scene(self) -> bool:
        """Whether latents of the scene lie beside the noise."""
        return self.layers > 0


@dataclass(frozen=True)
class MimoInputs:
    """Pictures of one size, sides multiples of the codec's factor.

    Attributes:
        reference: r pictures of the character, alone on white; one as in the release, or several views.
        poses: motion maps on black, one a frame; or maps of numbers, such as vertex codes.
        scene: the bare scene, one picture a frame, or one for all; None where the networks take none.
        mask: 1 where the reference shows the character; None: everything is looked at.
        occluder: what is before the person, on black; as `scene`.
        reference_poses: the poses that the references show (SCD).
        preview: frames to begin from where not all steps are walked.
    """

    reference: UInt8[torch.Tensor, "r rh rw 3"]
    poses: UInt8[torch.Tensor, "t h w 3"] | Float[torch.Tensor, "t h w k"]
    scene: UInt8[torch.Tensor, "s sh sw 3"] | None = None
    mask: Float[torch.Tensor, "m mh mw"] | None = None
    occluder: UInt8[torch.Tensor, "o oh ow 3"] | None = None
    reference_poses: UInt8[torch.Tensor, "q qh qw 3"] | None = None
    preview: UInt8[torch.Tensor, "p ph pw 3"] | None = None

    def __post_init__(self) -> None:
        size = self.poses.shape[1:3]
        for name in ("reference", "scene", "mask", "occluder", "reference_poses", "preview"):
            value = getattr(self, name)
            if value is not None and value.shape[1:3] != size:
                given = f"{name} of {tuple(value.shape[1:3])}, poses of {tuple(size)}"
                raise UsageError(given, name, "bring all pictures to one size")
        if not len(self.poses) or not len(self.reference):
            given = f"{len(self.reference)} references, {len(self.poses)} poses"
            raise UsageError(given, "MimoInputs", "give one of each, or more")
        for name, layer in (("scene", self.scene), ("occluder", self.occluder)):
            if layer is not None and len(layer) not in (1, len(self.poses)):
                given = f"{len(layer)} pictures of the {name} for {len(self.poses)} poses"
                raise UsageError(given, name, "give one a frame, or one for all")
        for name, each in (("mask", self.mask), ("reference_poses", self.reference_poses)):
            if each is not None and len(each) != len(self.reference):
                raise UsageError(f"{len(each)} for {len(self.reference)} references", name, "give one for each")
        if self.preview is not None and len(self.preview) != len(self.poses):
            raise UsageError(f"{len(self.preview)} for {len(self.poses)} poses", "preview", "give one a frame")


@dataclass(frozen=True)
class MimoSettings:
    """How a video is made; the defaults are the release's.

    Attributes:
        num_inference_steps: calls of the network a frame.
        guidance_scale: 1 is none, and halves the time.
        rescale, interval: of guidance, see `denoise.guided`.
        solver: of the sampler.
        windows: how a long video is cut; ``WindowConfig(24, 4)`` is open, weighted and shifted.
        cuts: first frames of later shots, for open windows.
        strength: of the reference, see `ReferenceCache.scaled`.
        poses_at_once: frames in a call of the pose encoder.
        share: of the steps that are walked: 1 from noise, less from `MimoInputs.preview`.
    """

    num_inference_steps: int = 25
    guidance_scale: float | int = 3.5
    rescale: float | int = 0.0
    interval: tuple[float | int, float | int] = (0.0, math.inf)
    solver: Solver = "ddim"
    windows: WindowConfig = RELEASE
    cuts: tuple[int, ...] = ()
    strength: float | int = 1.0
    poses_at_once: int = 8
    share: float | int = 1.0


@dataclass(frozen=True, eq=False)
class MimoResult:
    """Latents, and the frames "t 3 h w" in [0, 1] they stand for."""

    latents: Float[torch.Tensor, "1 c t h w"]
    frames: Float[torch.Tensor, "t 3 hh ww"]


def generate(
    networks: MimoNetworks,
    inputs: MimoInputs,
    settings: MimoSettings = MimoSettings(),
    *,
    start: Float[torch.Tensor, "1 c t h w"] | None = None,
    generator: torch.Generator | None = None,
    progress: Progress | None = None,
) -> MimoResult:
    """A video of the character in the poses, in the scene.

    Args:
        start: noise to begin with; drawn from `generator` where not given.
        generator: of the noise.
        progress: told of each step.

    Raises:
        UsageError: pictures or settings that do not fit the networks, neither `start` nor `generator`.
        OutOfMemoryError: also with smaller windows.
    """
    with torch.inference_mode():
        latents = sampled(networks, inputs, settings, start=start, generator=generator, progress=progress)
        frames = decode_video(networks.codec, latents[0])
    return MimoResult(latents.clone(), frames.clone())  # ordinary tensors again


@torch.inference_mode()
def sampled(
    networks: MimoNetworks,
    inputs: MimoInputs,
    settings: MimoSettings = MimoSettings(),
    *,
    start: Float[torch.Tensor, "1 c t h w"] | None = None,
    generator: torch.Generator | None = None,
    progress: Progress | None = None,
) -> Float[torch.Tensor, "1 c t h w"]:
    """The latents of `generate`, for those who decode frames as they need them."""
    windows = settings.windows.fits(networks.denoiser.config.motion_max_seq_length)
    x = _start(networks, inputs, start, generator)
    cond, free = condition(networks, inputs, settings)

    def bind(spans: Int64[torch.Tensor, "k s"]) -> Denoiser:
        return guided_together(
            networks.bound,
            cond.cut(spans),
            free.cut(spans),
            settings.guidance_scale,
            rescale=settings.rescale,
            interval=settings.interval,
        )

    path = levels(networks.schedule, settings.num_inference_steps, networks.spacing, offset=networks.offset)
    each = shifted(bind, x.shape[2], windows, steps=len(path) - 1, cuts=settings.cuts)
    left_out = _left_out(inputs, settings)
    if left_out:
        assert inputs.preview is not None
        at = path[left_out]
        x = at.alpha * _encoded(networks, inputs.preview)[None] + at.sigma * x
    draw = None if generator is None else Noise([generator])
    plan = descend(path[left_out:], each[left_out:])
    return sample(plan, x, solver=settings.solver, draw=draw, progress=progress)


def _left_out(inputs: MimoInputs, settings: MimoSettings) -> int:
    """How many of the first steps are not walked; one is, whatever the share."""
    if not 0 <= settings.share <= 1:
        raise UsageError(f"a share of {settings.share}", "share", "give 0 to 1")
    steps = settings.num_inference_steps
    left_out = steps - max(1, round(settings.share * steps))
    if left_out > 0 and inputs.preview is None:
        raise UsageError(f"{settings.share} of the steps, from nothing", "preview", "give one, or a share of 1")
    return max(left_out, 0)


def _start(
    networks: MimoNetworks, inputs: MimoInputs, start: torch.Tensor | None, generator: torch.Generator | None
) -> torch.Tensor:
    count, height, width, _ = inputs.poses.shape
    factor = networks.codec.factor
    if height % factor or width % factor:
        raise UsageError(f"pictures of {width} x {height}", "poses", f"give sides that are multiples of {factor}")
    weight = networks.denoiser.conv_in.weight
    shape = (1, networks.codec.channels, count, height // factor, width // factor)
    if start is None:
        if generator is None:
            raise UsageError("no noise to start from", "generate", "give a generator, or start")
        start = Noise([generator])(torch.empty(shape))
    if start.shape != shape:
        raise UsageError(f"noise of {tuple(start.shape)}", "start", f"these pictures need {shape}")
    return start.to(weight)


def condition(
    networks: MimoNetworks, inputs: MimoInputs, settings: MimoSettings = MimoSettings()
) -> tuple[Conditioning, Conditioning]:
    """What the denoiser is told, and what it is told without the character (for guidance): zero token, no reference.

    Pose and scene stay in both (mimo.md 1.9).

    Raises:
        UsageError: pictures that do not fit the networks.
    """
    weight = networks.denoiser.conv_in.weight
    beside = _beside(networks, inputs)
    poses = _residual(networks, inputs.poses, settings)
    read = patch_tokens if networks.patches else image_tokens
    tokens = read(networks.image_encoder, inputs.reference).to(weight)
    context = tokens.flatten(0, 1)[None]
    cache = _read(networks, inputs, tokens, settings)
    free = Conditioning(beside, torch.zeros_like(context), None, poses)
    return Conditioning(beside, context, cache, poses), free


def _beside(networks: MimoNetworks, inputs: MimoInputs) -> Float[torch.Tensor, "1 c t h w"] | None:
    """Latents of the layers that the denoiser is given beside the noise."""
    for place, (name, layer) in enumerate((("scene", inputs.scene), ("occluder", inputs.occluder))):
        wanted = networks.layers > place
        if wanted != (layer is not None):
            given = f"no {name}" if layer is None else f"pictures of the {name}"
            told = f"{given} for a denoiser of {networks.denoiser.conv_in.in_channels} channels"
            raise UsageError(told, name, "give one" if wanted else "leave it out")
    layers = [layer for layer in (inputs.scene, inputs.occluder) if layer is not None]
    if not layers:
        return None
    count = len(inputs.poses)
    return torch.cat([_encoded(networks, layer)[None].expand(-1, -1, count, -1, -1) for layer in layers], dim=1)


def _residual(networks: MimoNetworks, poses: torch.Tensor, settings: MimoSettings) -> Float[torch.Tensor, "1 r t h w"]:
    """What the pose encoder says of all frames."""
    weight, at_once = networks.denoiser.conv_in.weight, settings.poses_at_once
    first = networks.pose_encoder.get_parameter("conv_in.weight")
    if poses.shape[3] != first.shape[1]:
        given = f"poses of {poses.shape[3]} channels"
        raise UsageError(given, "poses", f"this pose encoder takes {first.shape[1]}")
    parts = (_floats(part, weight) for part in poses.split(at_once))
    if poses.is_floating_point():  # of any number of channels
        each = [networks.pose_encoder(part.to(first)).transpose(0, 1) for part in parts]
    else:
        each = [encode_poses(networks.pose_encoder, part, at_once=at_once) for part in parts]
    return torch.cat(each, dim=1)[None].to(weight)


def _read(
    networks: MimoNetworks, inputs: MimoInputs, tokens: Float[torch.Tensor, "r n d"], settings: MimoSettings
) -> ReferenceCache:
    """Keys and values of all pictures of the character, side by side."""
    strength = settings.strength
    latents = _encoded(networks, inputs.reference).transpose(0, 1)
    shown: list[torch.Tensor | None] = [None] * len(latents)
    if inputs.reference_poses is not None:
        shown = list(_residual(networks, inputs.reference_poses, settings).split(1, dim=2))
    caches: list[ReferenceCache] = []
    for number, (picture, token) in enumerate(zip(latents.split(1), tokens.split(1), strict=True)):
        told = Conditioning(context=token, residual=shown[number])
        one = motion_unet.read_reference(networks.reference, picture, told, reader=networks.denoiser)
        if inputs.mask is not None:
            size = (latents.shape[2], latents.shape[3])
            small = torch.nn.functional.adaptive_avg_pool2d(inputs.mask[number][None, None], size)
            one = one.masked(small[0].to(latents.device))
        caches.append(one)
    cache = caches[0]
    for another in caches[1:]:
        cache = cache.joined(another)
    return cache if strength == 1 else cache.scaled(strength)


def _encoded(networks: MimoNetworks, pictures: Frames) -> Float[torch.Tensor, "c t hh ww"]:
    """Latents of pictures, a few at a time."""
    weight = networks.denoiser.conv_in.weight
    parts: Sequence[torch.Tensor] = pictures.split(16)
    return torch.cat(list(encode_stream(networks.codec, (_floats(part, weight) for part in parts))), dim=1)


def _floats(pictures: torch.Tensor, like: torch.Tensor) -> Float[torch.Tensor, "t c h w"]:
    """Channels first; bytes become 0 to 1, other numbers stay."""
    moved = pictures.permute(0, 3, 1, 2).to(like)
    return moved if pictures.is_floating_point() else moved / 255
