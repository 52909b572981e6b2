"""Textures of the stage: noise that repeats without a seam, materials made of it, and a few photographs."""

from collections.abc import Callable
from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Float, Float32, UInt8

from diorama.errors import ModelError

SIZE = 128
"""Texels along a side."""
REPEATING = ("brick", "grass", "gravel")
PICTURES = ("coffee", "cat", "rocket", "galaxies")
Texture = UInt8[np.ndarray, "h w 3"]
Rgb = Float[np.ndarray, "3"]


@cache
def photographs() -> dict[str, UInt8[np.ndarray, "..."]]:
    """The photographs by name: grey ones that repeat, and pictures in colour; licences in data/NOTICE-textures.md.

    Raises:
        ModelError: the file is missing from the package or damaged.
    """
    path = files("diorama.theatre") / "data" / "textures.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in (*REPEATING, *PICTURES)}
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"cannot be read: {error}", str(path), "install diorama again") from error


def noise(
    rng: np.random.Generator, cells: int, octaves: int = 4, size: int = SIZE, stretch: int = 1
) -> Float32[np.ndarray, "s s"]:
    """Smooth noise in [0, 1] that repeats without a seam.

    Args:
        rng: the source of chance.
        cells: bumps along a side in the coarsest octave.
        octaves: each with twice the bumps and half the height of the one before.
        size: texels along a side.
        stretch: how many times longer bumps are along the rows.
    """
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        rows, columns = cells << octave, max((cells << octave) // stretch, 1)
        grid = rng.random((min(rows, size), min(columns, size))).astype(np.float32)
        total += _enlarged(_enlarged(grid, size).T, size).T / np.float32(2**octave)
    low, high = total.min(), total.max()
    return (total - low) / max(high - low, np.float32(1e-6))


def _enlarged(grid: Float32[np.ndarray, "n m"], size: int) -> Float32[np.ndarray, "s m"]:
    """More rows by smooth interpolation that wraps around."""
    place = np.arange(size, dtype=np.float32) * len(grid) / size
    first = place.astype(int)
    share = (place - first.astype(np.float32))[:, None]
    share = share * share * (3 - 2 * share)
    return (1 - share) * grid[first] + share * grid[(first + 1) % len(grid)]


def mixed(share: Float[np.ndarray, "h w"], first: Rgb, second: Rgb) -> Texture:
    """Two colours in the shares of a picture."""
    s = np.clip(share, 0, 1)[..., None]
    return np.rint(np.clip((1 - s) * first + s * second, 0, 255)).astype(np.uint8)


def plaster(rng: np.random.Generator, color: Rgb) -> Texture:
    """Painted walls, concrete, asphalt: a colour with grain and stains."""
    grain = 0.6 * noise(rng, 4, 4) + 0.4 * rng.random((SIZE, SIZE), np.float32)
    return mixed(grain, color * (0.86 - 0.15 * rng.random()), np.minimum(color * 1.06, 255))


def wood(rng: np.random.Generator, color: Rgb) -> Texture:
    """Boards along the rows, with grain and dark joints."""
    boards = int(rng.choice([2, 4, 8]))
    grain = noise(rng, 16, 3, stretch=8)
    rows = np.arange(SIZE) * boards // SIZE
    tone = rng.uniform(0.75, 1.1, boards)[rows][:, None]
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (3 * noise(rng, 2, 2, stretch=2) + 6 * grain))
    joint = (np.arange(SIZE) % (SIZE // boards) < 2)[:, None]
    picture = mixed(0.55 * grain + 0.35 * rings, color * 0.72, np.minimum(color * 1.1, 255)) * tone[..., None]
    return np.rint(np.clip(np.where(joint[..., None], picture * 0.55, picture), 0, 255)).astype(np.uint8)


def tiles(rng: np.random.Generator, color: Rgb) -> Texture:
    """Square tiles in two tones with joints."""
    count = int(rng.choice([2, 4]))
    y, x = np.mgrid[:SIZE, :SIZE] * count / SIZE
    tone = np.where((x.astype(int) + y.astype(int)) % 2 == 0, 1.0, rng.uniform(0.55, 1.0))
    joint = np.minimum(x % 1, y % 1) < 0.03
    picture = mixed(0.5 * noise(rng, 4, 3), color, color * 0.8) * tone[..., None]
    return np.rint(np.where(joint[..., None], 0.6 * color, picture)).clip(0, 255).astype(np.uint8)


def wallpaper(rng: np.random.Generator, color: Rgb) -> Texture:
    """A regular pattern on a wall: stripes, dots or waves."""
    kind, count = int(rng.integers(3)), int(rng.choice([2, 4, 8]))
    y, x = np.mgrid[:SIZE, :SIZE] * count / SIZE
    share = (
        x % 1 < rng.uniform(0.2, 0.6),
        np.hypot(x % 1 - 0.5, y % 1 - 0.5) < rng.uniform(0.15, 0.4),
        (y + 0.2 * np.sin(2 * np.pi * x)) % 1 < rng.uniform(0.2, 0.6),
    )[kind].astype(np.float32)
    return mixed(0.75 * share + 0.25 * noise(rng, 8, 2), color, _other_tone(rng, color))


def carpet(rng: np.random.Generator, color: Rgb) -> Texture:
    """Blots and fibres."""
    share = 0.6 * (noise(rng, 6, 2) > 0.5) + 0.4 * rng.random((SIZE, SIZE), np.float32)
    return mixed(share, color, _other_tone(rng, color))


def foliage(rng: np.random.Generator, color: Rgb) -> Texture:
    """Leaves: many small light spots on dark ones."""
    leaves = np.maximum(noise(rng, 12, 2), noise(rng, 16, 1))
    return mixed(leaves**2, color * 0.3, np.minimum(color * 1.15, 255))


def windows(rng: np.random.Generator, color: Rgb) -> Texture:
    """The front of a building, a storey by a storey."""
    y, x = np.mgrid[:SIZE, :SIZE] * 2 / SIZE
    wide, high = rng.uniform(0.2, 0.35), rng.uniform(0.22, 0.38)
    glass = (np.abs(x % 1 - 0.5) < wide) & (np.abs(y % 1 - 0.5) < high)
    frame = (np.abs(x % 1 - 0.5) < wide + 0.05) & (np.abs(y % 1 - 0.5) < high + 0.05)
    panes = rng.uniform(0.2, 1.0, (2, 2))[(y.astype(int) % 2), (x.astype(int) % 2)]
    wall = plaster(rng, color).astype(np.float64)
    picture = np.where(frame[..., None], np.minimum(color * 1.25, 255), wall)
    pane = np.array([70.0, 90, 110]) * panes[..., None] * (1.3 - 0.6 * (y[..., None] % 1))
    return np.rint(np.where(glass[..., None], pane, picture)).clip(0, 255).astype(np.uint8)


def photographed(rng: np.random.Generator, color: Rgb, name: str) -> Texture:
    """One of the repeating photographs in a colour, turned or mirrored."""
    grey = photographs()[name].astype(np.float32)
    grey = grey[::-1] if rng.random() < 0.5 else grey
    grey = grey[:, ::-1] if rng.random() < 0.5 else grey
    share = 0.35 + 0.65 * grey[..., None] / grey.mean()  # softer than the photograph, as light is added later
    return np.rint(np.clip(share * color, 0, 255)).astype(np.uint8)


def brick(rng: np.random.Generator, color: Rgb) -> Texture:
    """A photographed wall."""
    return photographed(rng, color, "brick")


def grass(rng: np.random.Generator, color: Rgb) -> Texture:
    """A photographed lawn."""
    return photographed(rng, color, "grass")


def gravel(rng: np.random.Generator, color: Rgb) -> Texture:
    """Photographed small stones."""
    return photographed(rng, color, "gravel")


def poster(rng: np.random.Generator) -> Texture:
    """A picture for a wall, in a frame; mirrored or not."""
    picture = photographs()[PICTURES[int(rng.integers(len(PICTURES)))]]
    framed = np.full((picture.shape[0] + 16, picture.shape[1] + 16, 3), rng.integers(20, 235, 3), np.uint8)
    framed[8:-8, 8:-8] = picture[:, ::-1] if rng.random() < 0.5 else picture
    return framed


Material = Callable[[np.random.Generator, Rgb], Texture]


def _other_tone(rng: np.random.Generator, color: Rgb) -> Rgb:
    return np.clip(color * rng.uniform(0.5, 1.5) + rng.normal(0, 25, 3), 0, 255)
