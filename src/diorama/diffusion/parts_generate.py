"""Colours and part maps of an object from all around, from one view of it: sampling with parts-s."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import nn

from diorama.core.progress import Progress
from diorama.diffusion.checkpoint import read_tensors
from diorama.diffusion.denoise import Denoiser, guided, inpainted, mix, noised
from diorama.diffusion.fit import fit
from diorama.diffusion.levels import Level, karras
from diorama.diffusion.noise import Noise, generators
from diorama.diffusion.parts_net import CHANNELS, PartsGiven, PartsNet, sizes_of, to_codes, to_pictures
from diorama.diffusion.parts_relief import Guess, Relief, guess_for
from diorama.diffusion.sample import descend, sample
from diorama.errors import UsageError

EMBEDDED = Path(__file__).parent / "data" / "parts-s.safetensors"
SIZE, VIEWS, WINDOW = 128, 8, 4
"""Pixels a side, views and frames that the embedded network is made for."""
SIGMA_MIN, SIGMA_MAX = 0.02, 60.0
PAPER = 200
"""Least brightness of every channel of colours and part map, 0 to 255, of what is paper: blurred borders end there."""


@dataclass(frozen=True)
class PartsSampleConfig:
    """How pictures are made.

    Attributes:
        steps: network calls (two each under guidance). More than one sharpens, but goes wrong where the network is
            wrong: the embedded one is best at one.
        guidance: of the first and the last frame, linear in between (sp4d.md 1.8).
        views: around the object, evenly; the first is the input view.
        seed: of the noise.
        start: noise (sigma) under which the first guess is laid to begin with, `SIGMA_MIN` to `SIGMA_MAX`: its outlines
            are believed at 0.2, and haze at 0.4, with the embedded network; nothing of it at 60.
    """

    steps: int = 1
    guidance: tuple[float, float] = (1.0, 1.0)
    views: int = VIEWS
    seed: int = 0
    start: float | int = 0.2

    def __post_init__(self) -> None:
        if self.steps < 1 or self.views < 2 or self.seed < 0 or not all(0 <= g <= 20 for g in self.guidance):
            given = f"{self.steps} steps, {self.views} views, guidance {self.guidance}, seed {self.seed}"
            raise UsageError(given, "PartsSampleConfig", "give 1 step, 2 views or more, guidance 0 to 20")
        if not SIGMA_MIN < self.start <= SIGMA_MAX:
            raise UsageError(f"start {self.start}", "PartsSampleConfig", f"give more than {SIGMA_MIN}, to {SIGMA_MAX}")


@dataclass(frozen=True, eq=False)
class MadeViews:
    """Pictures of an object from all around.

    Attributes:
        images: colours on white.
        colored: parts in their colours on white.
        azimuths: of the views against the input view, radians.
        depth: along the cameras' axes, radii of the ball that they hold, 0 where nothing is or it is not known; None
            where nothing is known of it.
        elevation: of the cameras in the first frame, degrees; None where it is not known.
    """

    images: UInt8[np.ndarray, "v t h w 3"]
    colored: UInt8[np.ndarray, "v t h w 3"]
    azimuths: Float32[np.ndarray, " v"]
    depth: Float32[np.ndarray, "v t h w"] | None = None
    elevation: float | None = None


class PartsGenerator(nn.Module):
    """Both networks: the one that guesses from one view, and the one that makes all of them.

    Args:
        views: makes the views; without it the first guess is what is made.
        relief: guesses.
    """

    def __init__(self, views: PartsNet | None, relief: Relief) -> None:
        super().__init__()
        self.views, self.relief = views, relief


def load_parts(path: Path = EMBEDDED) -> PartsGenerator:
    """The embedded generator, or one that was trained here; sizes are taken from the shapes.

    Raises:
        ModelError: missing, damaged, or of another architecture.
    """
    tensors = {name: tensor.float() for name, tensor in read_tensors(path).items()}
    views = {name.removeprefix("views."): value for name, value in tensors.items() if name.startswith("views.")}
    network = PartsNet(sizes_of(views, "rgb.", path)) if views else None
    made = PartsGenerator(network, Relief(sizes_of(tensors, "relief.branch.", path)))
    fit(made, tensors, source=str(path))
    return made.eval().requires_grad_(False)


@torch.no_grad()
def generate_parts(
    network: PartsGenerator,
    frames: UInt8[np.ndarray, "t h w 3"],
    *,
    config: PartsSampleConfig = PartsSampleConfig(),
    progress: Progress | None = None,
) -> MadeViews:
    """Pictures of an object in up to four frames, from all around.

    Args:
        network: the generator.
        frames: the input view: one object on white, in the middle.
        config: how.
        progress: told of each step.

    Raises:
        UsageError: pictures of another size, or too many of them.
    """
    guess = guess_of(network, frames, config.views)
    codes = views_of(network, frames, config=config, hint=guess.codes, progress=progress)
    return made_views(network, codes, guess)


@torch.no_grad()
def parts_of_views(
    network: PartsGenerator,
    images: UInt8[np.ndarray, "v h w 3"],
    *,
    config: PartsSampleConfig = PartsSampleConfig(),
    progress: Progress | None = None,
) -> UInt8[np.ndarray, "v h w 3"]:
    """The part maps of an object of which all views are known, one moment.

    Args:
        network: the generator.
        images: evenly around, of one object on white, in the middle.
        config: how; its number of views is that of the pictures.
        progress: told of each step.
    """
    how = replace(config, views=len(images))
    colors = codes_of(images).transpose(1, 2)[:, :, None]
    made = views_of(network, images[:1], config=how, colors=colors, progress=progress)
    return as_pictures(made).colored[:, 0]


def codes_of(frames: UInt8[np.ndarray, "t h w 3"]) -> Float[torch.Tensor, "1 t c hh ww"]:
    """Pictures as the network is told of them.

    Raises:
        UsageError: pictures of another size than the network is made for.
    """
    _check_size(frames)
    return to_codes(torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255)[None]


def _check_size(frames: UInt8[np.ndarray, "t h w 3"]) -> None:
    if not len(frames) or frames.shape[1:3] != (SIZE, SIZE):
        raise UsageError(f"frames {frames.shape}", "generate_parts", f"give pictures of {SIZE} pixels a side")


def guess_of(network: PartsGenerator, frames: UInt8[np.ndarray, "t h w 3"], views: int) -> Guess:
    """The first guess of frames, however many, from evenly around.

    Raises:
        UsageError: pictures of another size than the network is made for.
    """
    _check_size(frames)
    return guess_for(network.relief, frames, evenly(views)[0].numpy())


def evenly(views: int) -> Float[torch.Tensor, "1 v"]:
    """Azimuths around, radians."""
    return torch.arange(views, dtype=torch.float32)[None] * (2 * math.pi / views)


@torch.no_grad()
def views_of(
    network: PartsGenerator,
    frames: UInt8[np.ndarray, "t h w 3"],
    *,
    config: PartsSampleConfig = PartsSampleConfig(),
    carried: Float[torch.Tensor, "1 c2 k v y x"] | None = None,
    colors: Float[torch.Tensor, "1 c t v y x"] | None = None,
    hint: Float[torch.Tensor, "c2 t v y x"] | None = None,
    progress: Progress | None = None,
) -> Float[torch.Tensor, "1 c2 t v y x"]:
    """Codes of colours and parts of all views of a window of frames.

    Args:
        network: the generator.
        frames: the input view.
        config: how.
        carried: codes of the first k frames, from the window before: they stay as they are, and so do the colours of
            parts.
        colors: codes of all views where they are known: then only parts are made.
        hint: codes of the first guess of these frames, where it is known already.
        progress: told of each step.
    """
    image, t, v = codes_of(frames), len(frames), config.views
    azimuth = evenly(v)
    begun = (guess_of(network, frames, v).codes if hint is None else hint)[None]
    known = torch.zeros(1, 2 * CHANNELS, t, v, *image.shape[3:])
    mask = torch.zeros_like(known)
    known[:, :CHANNELS, :, 0], mask[:, :CHANNELS, :, 0] = image.transpose(1, 2), 1
    if colors is not None:
        known[:, :CHANNELS], mask[:, :CHANNELS] = colors, 1
    if carried is not None:
        k = carried.shape[2]
        known[:, :, :k], mask[:, :, :k] = carried, 1
    if network.views is None:
        return mix(known, begun, mask)
    draw = Noise(generators(1, "parts", config.seed))
    scales = torch.linspace(*config.guidance, t) if t > 1 else torch.tensor([config.guidance[1]])
    given = PartsGiven(image, azimuth, begun)
    denoise = inpainted(_guided(network.views, given, scales), known, mask, draw)
    path = karras(config.steps, sigma_min=SIGMA_MIN, sigma_max=config.start)
    return sample(descend(path, denoise), noised(mix(known, begun, mask), path[0], draw), draw=draw, progress=progress)


def as_pictures(codes: Float[torch.Tensor, "1 c2 t v h w"]) -> MadeViews:
    """Codes as pictures."""
    views = codes.shape[3]
    halves = [half[0].permute(2, 1, 0, 3, 4) for half in codes.split(CHANNELS, dim=1)]
    images, colored = (
        (to_pictures(half) * 255).round().to(torch.uint8).permute(0, 1, 3, 4, 2).contiguous().numpy() for half in halves
    )
    return MadeViews(images, colored, (np.arange(views) * (2 * np.pi / views)).astype(np.float32))


def made_views(network: PartsGenerator, codes: Float[torch.Tensor, "1 c2 t v h w"], guess: Guess) -> MadeViews:
    """Codes as pictures, with the depth of the first guess where it is shown; what the network made, on clean paper."""
    made = as_pictures(codes)
    if network.views is None:
        return replace(made, depth=guess.depth, elevation=guess.rise)
    paper = (made.images.min(axis=-1) >= PAPER) & (made.colored.min(axis=-1) >= PAPER)
    images, colored = (np.where(paper[..., None], np.uint8(255), half) for half in (made.images, made.colored))
    images[0] = made.images[0]  # the input view, as it is given
    depth = np.where(paper, np.float32(0), guess.depth)
    return replace(made, images=images, colored=colored, depth=depth, elevation=guess.rise)


def _guided(network: PartsNet, given: PartsGiven, scales: Float[torch.Tensor, " t"]) -> Denoiser:
    def told(of: PartsGiven) -> Denoiser:
        def denoise(x: torch.Tensor, level: Level) -> torch.Tensor:
            return network(x, torch.tensor([math.log(level.ratio) / 4]), of)[0]

        return denoise

    if bool((scales == 1).all()):
        return told(given)
    cond, free = told(given), told(given.dropped())

    def denoise(x: torch.Tensor, level: Level) -> torch.Tensor:
        flat = guided(lambda y, at: _flat(cond(_deep(y, x), at)), lambda y, at: _flat(free(_deep(y, x), at)), scales)
        return _deep(flat(_flat(x), level), x)

    return denoise


def _flat(x: torch.Tensor) -> torch.Tensor:
    """Views beneath each other: one guidance scale a frame."""
    return x.flatten(3, 4)


def _deep(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return x.unflatten(3, like.shape[3:5])
