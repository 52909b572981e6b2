"""Who wears what: outfits drawn at random, so that two actors are told apart at a glance.

An outfit differs between front and back (logo, back panel) and between left and right (a sleeve, an armband, a sock),
so that a picture shows which way a body is turned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

T = TypeVar("T")
Color = tuple[int, int, int]
Pattern = Literal["plain", "bands", "stripes", "checks", "dots", "halves", "blotches"]
PATTERNS: tuple[Pattern, ...] = ("plain", "bands", "stripes", "checks", "dots", "halves", "blotches")
HairStyle = Literal["bald", "short", "full", "long", "cap"]
HAIR_STYLES: tuple[HairStyle, ...] = ("bald", "short", "full", "long", "cap")
Logo = Literal["none", "disc", "ring", "bar", "cross", "triangle"]
LOGOS: tuple[Logo, ...] = ("none", "disc", "ring", "bar", "cross", "triangle")

_SKINS = np.array([[247, 214, 190], [236, 190, 160], [214, 160, 122], [178, 122, 84], [132, 86, 58], [84, 54, 38]])
_HAIRS = np.array(
    [[28, 22, 20], [58, 38, 26], [104, 66, 38], [172, 122, 66], [214, 178, 118], [168, 168, 166], [150, 60, 34]]
)
_IRISES = np.array([[70, 44, 24], [96, 72, 40], [66, 96, 72], [62, 96, 138], [92, 100, 106]])


@dataclass(frozen=True)
class Cloth:
    """A material.

    Attributes:
        color, second: its colours.
        pattern: how they alternate.
        period: metres after which the pattern repeats.
    """

    color: Color
    second: Color
    pattern: Pattern = "plain"
    period: float = 0.12


@dataclass(frozen=True)
class Outfit:
    """Everything about the looks of a person but the body.

    Attributes:
        skin, hair, iris: colours.
        hair_style: what is on the head.
        beard: 0 none to 1 full.
        top, bottom, shoes: what is worn there.
        accent: colour of what tells left from right and front from back.
        sleeves: 0 none, 0.45 to above the elbow, 1 to the wrist.
        legs: 0.2 shorts, 1 to the ankle; how far a skirt reaches too.
        skirt: a skirt instead of trousers.
        loose: metres by which the top hangs off the body, 0 for tight ones.
        logo, back: on the chest, and a panel on the back.
        odd_sleeve, odd_leg: "left" or "right" where one differs, "" for none.
        boots: how far up the shin the shoes reach, 0 to 0.6.
    """

    skin: Color
    hair: Color
    iris: Color
    hair_style: HairStyle
    beard: float
    top: Cloth
    bottom: Cloth
    shoes: Cloth
    accent: Color
    sleeves: float
    legs: float
    skirt: bool
    loose: float
    logo: Logo
    back: bool
    odd_sleeve: Literal["", "left", "right"]
    odd_leg: Literal["", "left", "right"]
    boots: float


def random_outfit(rng: np.random.Generator, *, child: bool = False, female: bool | None = None) -> Outfit:
    """An outfit; colours alone make more than 2**100 different ones.

    Args:
        rng: the only source of chance.
        child: no beard.
        female: makes skirts and long hair likelier or rarer; unknown by default.
    """
    skirted = {None: 0.2, True: 0.4, False: 0.03}[female]
    top, accent = _cloth(rng, 0.14), _vivid(rng)
    bottom = _cloth(rng, 0.2, patterned=0.25)
    while _distance(top.color, bottom.color) < 60:
        bottom = _cloth(rng, 0.2, patterned=0.25)
    while min(_distance(accent, top.color), _distance(accent, bottom.color)) < 90:
        accent = _vivid(rng)
    return Outfit(
        skin=_between(rng, _SKINS),
        hair=_vivid(rng) if rng.random() < 0.06 else _between(rng, _HAIRS),
        iris=_between(rng, _IRISES),
        hair_style=_hair_style(rng, female),
        beard=0.0 if child or female or rng.random() < 0.6 else float(rng.uniform(0.3, 1)),
        top=top,
        bottom=bottom,
        shoes=Cloth(_color(rng), _color(rng)),
        accent=accent,
        sleeves=float(rng.choice([0.0, 0.3, 0.45, 0.75, 1.0], p=[0.1, 0.15, 0.3, 0.1, 0.35])),
        legs=float(rng.choice([0.25, 0.45, 0.8, 1.0], p=[0.15, 0.2, 0.1, 0.55])),
        skirt=bool(rng.random() < skirted),
        loose=float(rng.choice([0.0, rng.uniform(0.008, 0.022)])),
        logo=_one_of(rng, LOGOS),
        back=bool(rng.random() < 0.6),
        odd_sleeve=_side(rng, 0.5),
        odd_leg=_side(rng, 0.35),
        boots=float(rng.choice([0.0, rng.uniform(0.15, 0.6)], p=[0.7, 0.3])),
    )


def _cloth(rng: np.random.Generator, period: float, patterned: float = 0.65) -> Cloth:
    color = _color(rng)
    second = _color(rng)
    while _distance(color, second) < 70:
        second = _color(rng)
    pattern: Pattern = _one_of(rng, PATTERNS[1:]) if rng.random() < patterned else "plain"
    return Cloth(color, second, pattern, float(period * rng.uniform(0.4, 1.3)))


def _hair_style(rng: np.random.Generator, female: bool | None) -> HairStyle:
    weights: dict[bool | None, tuple[float, ...]] = {
        None: (1, 3, 3, 3, 1),
        True: (0.2, 1, 2, 6, 0.8),
        False: (2, 5, 2, 1, 1.5),
    }
    return _one_of(rng, HAIR_STYLES, weights[female])


def _one_of(rng: np.random.Generator, choices: Sequence[T], weights: Sequence[float | int] | None = None) -> T:
    shares = None if weights is None else np.array(weights) / np.sum(weights)
    return choices[rng.choice(len(choices), p=shares)]


def _side(rng: np.random.Generator, chance: float) -> Literal["", "left", "right"]:
    if rng.random() >= chance:
        return ""
    return "left" if rng.random() < 0.5 else "right"


def _color(rng: np.random.Generator) -> Color:
    return _hsv(rng.random(), rng.uniform(0.05, 0.95), rng.uniform(0.15, 0.95))


def _vivid(rng: np.random.Generator) -> Color:
    return _hsv(rng.random(), rng.uniform(0.75, 1), rng.uniform(0.7, 1))


def _hsv(hue: float, saturation: float, value: float) -> Color:
    wave = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return _triple(255 * value * (1 - saturation + saturation * wave))


def _between(rng: np.random.Generator, table: np.ndarray) -> Color:
    """Somewhere between two neighbours of a table of colours, a little off."""
    i, share = int(rng.integers(len(table) - 1)), rng.random()
    return _triple((1 - share) * table[i] + share * table[i + 1] + rng.normal(0, 5, 3))


def _distance(a: Color, b: Color) -> float:
    return float(np.linalg.norm(np.array(a, float) - b))


def _triple(values: np.ndarray) -> Color:
    red, green, blue = np.rint(np.clip(values, 0, 255)).astype(int).tolist()
    return red, green, blue
