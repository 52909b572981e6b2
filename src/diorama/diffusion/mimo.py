"""MIMO's networks from the release's own files, and videos from them (arXiv 2409.16160; specs/mimo.md).

A character's picture is read once; pose pictures steer each frame; the bare scene lies beside the noise. Sizes follow
from the shapes of the tensors, so a small model of the same layout runs through the same code.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel, UNetMotionModel
from jaxtyping import Float, Int64, UInt8

from diorama.core.progress import Progress
from diorama.diffusion import motion_unet
from diorama.diffusion.clip_image import image_tokens
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
        denoiser: the video network; 8 input channels (MIMO: noise and scene) or 4 (Moore-AnimateAnyone: noise alone).
        reference: the network that reads the character's picture.
        pose_encoder: pose pictures to a residual.
        codec: pixels to latents.
        image_encoder: CLIP's, for the context token.
        schedule: the levels the denoiser was trained on.
        spacing, offset: which of them a sampler visits.
        prediction: what the denoiser says, a name of `PREDICTIONS`.
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

    def bound(self, cond: Conditioning) -> Denoiser:
        """The denoiser under conditions."""
        return PREDICTIONS[self.prediction](motion_unet.bind(self.denoiser, cond), self.schedule)

    @property
    def takes_scene(self) -> bool:
        """Whether latents of the scene lie beside the noise."""
        return bool(self.denoiser.conv_in.in_channels > self.codec.channels)


@dataclass(frozen=True)
class MimoInputs:
    """Pictures of one size, sides multiples of the codec's factor.

    Attributes:
        reference: r pictures of the character, alone on white; one as in the release, or several views.
        poses: motion maps on black, one a frame.
        scene: the bare scene, one picture a frame, or one for all; None where the networks take none.
        mask: 1 where the reference shows the character; None: everything is looked at.
    """

    reference: UInt8[torch.Tensor, "r rh rw 3"]
    poses: UInt8[torch.Tensor, "t h w 3"]
    scene: UInt8[torch.Tensor, "s sh sw 3"] | None = None
    mask: Float[torch.Tensor, "m mh mw"] | None = None

    def __post_init__(self) -> None:
        size = self.poses.shape[1:3]
        for name, value in (("reference", self.reference), ("scene", self.scene), ("mask", self.mask)):
            if value is not None and value.shape[1:3] != size:
                given = f"{name} of {tuple(value.shape[1:3])}, poses of {tuple(size)}"
                raise UsageError(given, name, "bring all pictures to one size")
        if not len(self.poses) or not len(self.reference):
            given = f"{len(self.reference)} references, {len(self.poses)} poses"
            raise UsageError(given, "MimoInputs", "give one of each, or more")
        if self.scene is not None and len(self.scene) not in (1, len(self.poses)):
            given = f"{len(self.scene)} pictures of the scene for {len(self.poses)} poses"
            raise UsageError(given, "scene", "give one a frame, or one for all")
        if self.mask is not None and len(self.mask) != len(self.reference):
            given = f"{len(self.mask)} masks for {len(self.reference)} references"
            raise UsageError(given, "mask", "give one for each")


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
        latents = _latents(networks, inputs, settings, start=start, generator=generator, progress=progress)
        frames = decode_video(networks.codec, latents[0])
    return MimoResult(latents.clone(), frames.clone())  # ordinary tensors again


def _latents(
    networks: MimoNetworks,
    inputs: MimoInputs,
    settings: MimoSettings,
    *,
    start: torch.Tensor | None,
    generator: torch.Generator | None,
    progress: Progress | None,
) -> Float[torch.Tensor, "1 c t h w"]:
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
    draw = None if generator is None else Noise([generator])
    return sample(descend(path, each), x, solver=settings.solver, draw=draw, progress=progress)


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
    if networks.takes_scene != (inputs.scene is not None):
        given = "no scene" if inputs.scene is None else "a scene"
        wanted = "give one" if networks.takes_scene else "leave it out"
        raise UsageError(f"{given} for a denoiser of {networks.denoiser.conv_in.in_channels} channels", "scene", wanted)
    weight = networks.denoiser.conv_in.weight
    poses = torch.cat(
        [
            encode_poses(networks.pose_encoder, _floats(part, weight), at_once=settings.poses_at_once)
            for part in inputs.poses.split(settings.poses_at_once)
        ],
        dim=1,
    )[None].to(weight)
    scene = None
    if inputs.scene is not None:
        scene = _encoded(networks, inputs.scene)[None].expand(-1, -1, len(inputs.poses), -1, -1)
    tokens = image_tokens(networks.image_encoder, inputs.reference).to(weight)
    context = tokens.flatten(0, 1)[None]
    cache = _read(networks, inputs, tokens, settings.strength)
    free = Conditioning(scene, torch.zeros_like(context), None, poses)
    return Conditioning(scene, context, cache, poses), free


def _read(
    networks: MimoNetworks, inputs: MimoInputs, tokens: Float[torch.Tensor, "r 1 d"], strength: float | int
) -> ReferenceCache:
    """Keys and values of all pictures of the character, side by side."""
    latents = _encoded(networks, inputs.reference).transpose(0, 1)
    caches: list[ReferenceCache] = []
    for number, (picture, token) in enumerate(zip(latents.split(1), tokens.split(1), strict=True)):
        told = Conditioning(context=token)
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


def _floats(pictures: Frames, like: torch.Tensor) -> Float[torch.Tensor, "t 3 h w"]:
    return pictures.permute(0, 3, 1, 2).to(like) / 255
