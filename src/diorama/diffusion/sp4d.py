"""Colours and part maps of an object from all around by SP4D as released: `--model sp4d.safetensors` (sp4d.md 1.8).

Euler's method in 50 steps from sigma 700, guidance rising over the 48 pictures of a window. Unlike the published
script, windows of longer clips are tied: they share a frame, all of whose views are carried on, so that parts keep
their colours.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from diorama.core.progress import Progress, Silent
from diorama.diffusion.clip_image import image_tokens
from diorama.diffusion.codec import Codec
from diorama.diffusion.denoise import Denoiser, from_v_edm, guided, inpainted
from diorama.diffusion.dual_condition import DualCondition, bound
from diorama.diffusion.dual_unet import DualUNet
from diorama.diffusion.levels import karras
from diorama.diffusion.noise import Noise, generators
from diorama.diffusion.parts_generate import WINDOW, MadeViews, PartsSampleConfig
from diorama.diffusion.pictures import to_frames, to_pictures
from diorama.diffusion.sample import descend, sample
from diorama.diffusion.sp4d_load import Released, load_released
from diorama.diffusion.view_cameras import camera_vector, guidance_scales, novel_cameras
from diorama.errors import UsageError

STEPS, GUIDANCE, VIEWS = 50, (1.0, 3.0), 12
SIGMA_MIN, SIGMA_MAX = 0.002, 700.0


def generate_released(
    model: Path,
    frames: UInt8[np.ndarray, "t h w 3"],
    *,
    steps: int | None = None,
    guidance: tuple[float, float] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> MadeViews:
    """Pictures of an object from 12 sides by the released network, on a GPU (half precision) where there is one.

    The input view is not among the views: the network makes no part map of it, and a made-up one would count as
    evidence when the parts are lifted to a mesh.

    Args:
        model: a file or a folder, as `load_released` takes it.
        frames: the input view: one object on white, in the middle; 512 pixels a side (576 as trained).
        steps: of the sampler, 50 unless said; two network calls each.
        guidance: of the first and the last picture of a window, 1 and 3 unless said.
        seed: of the noise.
        progress: told of each step.

    Returns:
        As many frames as were given, from k * 360 / 13 degrees.

    Raises:
        UsageError: pictures or options that cannot be taken.
        ModelError: weights that are missing, damaged or of another network.
        OutOfMemoryError: the networks do not fit.
    """
    how = PartsSampleConfig(STEPS if steps is None else steps, guidance or GUIDANCE, VIEWS, seed)
    on_gpu = torch.cuda.is_available()
    device, dtype = ("cuda", torch.float16) if on_gpu else ("cpu", torch.float32)
    return released_views(load_released(model, device=device, dtype=dtype), frames, config=how, progress=progress)


@torch.no_grad()
def released_views(
    networks: Released,
    frames: UInt8[np.ndarray, "t h w 3"],
    *,
    config: PartsSampleConfig = PartsSampleConfig(STEPS, GUIDANCE, VIEWS),
    progress: Progress | None = None,
) -> MadeViews:
    """As `generate_released`, with networks that are loaded; the number of views is that of `config`.

    Raises:
        UsageError: pictures of a size that the network cannot take.
    """
    _check_frames(networks, frames)
    told = condition(networks, frames, config.views)
    made = clip_latents(networks.network, told, config=config, progress=progress)
    images, colored = decoded(networks.codec, made, progress=progress)
    azimuths = novel_cameras(config.views).azimuth.numpy().astype(np.float32)
    return MadeViews(images, colored, azimuths)


def _check_frames(networks: Released, frames: UInt8[np.ndarray, "t h w 3"]) -> None:
    unit = networks.codec.factor * networks.network.shape.stride
    count, height, width, _ = frames.shape
    if not count or height != width or not height or height % unit:
        given = f"{count} frames of {width}x{height}"
        raise UsageError(given, "generate_released", f"give square pictures, a multiple of {unit} pixels a side")


@torch.no_grad()
def condition(networks: Released, frames: UInt8[np.ndarray, "t h w 3"], views: int = VIEWS) -> DualCondition:
    """What the network is told of the input view and of the cameras, in the network's dtype.

    The latents of the input view are not scaled (sp4d.md 1.6). No views are known beforehand, as in all published runs.
    Pictures for CLIP are resized as in training here; the release's filter aligns corners instead.
    """
    shape, codec, at = networks.network.shape, networks.codec, networks.codec.device
    kind = networks.network.dtype
    pictures = torch.from_numpy(np.ascontiguousarray(frames))
    latents = torch.cat([codec.encode(each[None].to(at)) for each in to_frames(frames)]) / codec.scale + codec.shift
    tokens = torch.cat([image_tokens(networks.image, each[None].to(at))[:, 0] for each in pictures])
    cameras = novel_cameras(views)
    vector = camera_vector(cameras.polar, cameras.azimuth, size=shape.vector_dim)
    unknown = torch.zeros(1, views, *latents.shape[1:], device=at, dtype=kind)
    return DualCondition(latents[None].to(kind), tokens[None].to(kind), vector[None].to(at, kind), unknown)


def clip_latents(
    network: DualUNet, told: DualCondition, *, config: PartsSampleConfig, progress: Progress | None = None
) -> Float[torch.Tensor, "1 c t v h w"]:
    """Latents of colours and parts of a clip, window by window; the first frame of each is the last of the one before.

    The last frame is repeated where frames are too few for a window.

    Args:
        network: the denoiser.
        told: of all frames.
        config: how; the noise of each window is its own.
        progress: told of each step.
    """
    count, done = told.image.shape[1], list[torch.Tensor]()
    for number, start in enumerate(range(0, max(count - 1, 1), WINDOW - 1)):
        at = torch.arange(start, start + WINDOW).clamp(max=count - 1).to(told.image.device)
        window = DualCondition(told.image[:, at], told.context[:, at], told.cameras, told.cond_view)
        draw = Noise(generators(1, "sp4d", config.seed, number))
        carried = done[-1][:, :, -1] if done else None
        made = window_latents(network, window, draw, config=config, carried=carried, progress=progress)
        done.append(made if carried is None else made[:, :, 1:])
    return torch.cat(done, dim=2)[:, :, :count]


@torch.no_grad()
def window_latents(
    network: DualUNet,
    told: DualCondition,
    draw: Noise,
    *,
    config: PartsSampleConfig,
    carried: Float[torch.Tensor, "1 c v h w"] | None = None,
    progress: Progress | None = None,
) -> Float[torch.Tensor, "1 c t v h w"]:
    """Latents of colours, then parts, of one window; float32.

    Args:
        network: the denoiser.
        told: of the frames of the window.
        draw: source of noise.
        config: how.
        carried: all views of the first frame, from the window before: they are noised anew at every level, and come
            back as they are.
        progress: told of each step.
    """
    frames, views = told.image.shape[1], told.cameras.shape[1]
    size = (1, 2 * network.shape.latent_channels, frames * views, *told.image.shape[3:])
    known = torch.zeros(size, device=told.image.device)
    first, last = config.guidance
    scales = guidance_scales(frames, views, first=first, last=last)
    denoise = guided(_told(network, told), _told(network, told.dropped()), scales)
    noise = draw(known)
    if carried is not None:
        known[:, :, :views] = carried
        mask = torch.zeros(1, 1, frames * views, 1, 1, device=known.device)
        mask[:, :, :views] = 1
        denoise = inpainted(denoise, known, mask, draw)
    path = karras(config.steps, sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX)
    return sample(descend(path, denoise), noise, draw=draw, progress=progress).unflatten(2, (frames, views))


def _told(network: DualUNet, told: DualCondition) -> Denoiser:
    predict: Callable[[torch.Tensor, float], torch.Tensor] = bound(network, told)
    return from_v_edm(lambda x, time: predict(x.to(network.dtype), time).to(x.dtype))


@torch.no_grad()
def decoded(
    codec: Codec, latents: Float[torch.Tensor, "1 c t v h w"], *, progress: Progress | None = None
) -> tuple[UInt8[np.ndarray, "v t hh ww 3"], UInt8[np.ndarray, "v t hh ww 3"]]:
    """Colours and part maps: each half of the channels by the same decoder, picture by picture."""
    _, _, frames, views, height, width = latents.shape
    size = (2, views, frames, height * codec.factor, width * codec.factor, 3)
    made, told = np.empty(size, np.uint8), progress or Silent()
    told.begin("decoding", frames * views)
    for view in range(views):
        for frame in range(frames):
            halves = latents[0, :, frame, view].chunk(2)
            for out, half in zip(made, halves, strict=True):
                out[view, frame] = to_pictures(codec.decode(half[None].to(codec.device)))[0]
            told.advance()
    return made[0], made[1]
