"""Who is in the cast, and the people that its components are fitted to, as phenotypes of Anny."""

import numpy as np
from jaxtyping import Float

from cast_source import Source

# name, sex, years, build, stature (standard deviations from the mean of the age)
PEOPLE = (
    ("Hana", "f", 4, "average", 0.0), ("Aiko", "f", 5, "slim", 0.4), ("Ilya", "m", 5, "average", -0.5),
    ("Bram", "m", 6, "sturdy", 0.2), ("Jaya", "f", 7, "slim", 0.0), ("Chidi", "m", 7, "athletic", 0.5),
    ("Dalia", "f", 8, "heavy", -0.2), ("Mateo", "m", 8, "average", 0.0), ("Emeka", "m", 9, "slim", 0.5),
    ("Lumi", "f", 9, "average", -0.6), ("Freya", "f", 10, "athletic", 0.0), ("Kofi", "m", 10, "sturdy", -0.3),
    ("Noor", "f", 11, "slim", -0.4), ("Goran", "m", 11, "heavy", -0.4),
    ("Oskar", "m", 13, "slim", 0.0), ("Priya", "f", 14, "average", 0.0), ("Rosa", "f", 15, "sturdy", -0.5),
    ("Quentin", "m", 16, "athletic", 0.5), ("Tuva", "f", 16, "slim", 0.8), ("Samir", "m", 17, "average", 0.2),
    ("Ulla", "f", 22, "slim", 0.9), ("Viktor", "m", 45, "heavy", 0.8), ("Wanjiru", "f", 27, "athletic", 0.6),
    ("Xavier", "m", 31, "slim", 1.2), ("Yuki", "f", 24, "slim", -0.6), ("Zeynep", "f", 36, "average", 0.0),
    ("Amara", "f", 29, "heavy", 0.3), ("Benoit", "m", 38, "average", -0.6), ("Carmen", "f", 41, "sturdy", -0.7),
    ("Dmitri", "m", 33, "athletic", 1.1), ("Elif", "f", 26, "average", 0.4), ("Farid", "m", 28, "slim", 0.0),
    ("Greta", "f", 48, "heavy", 0.6), ("Hiro", "m", 23, "slim", -0.5), ("Ingrid", "f", 34, "athletic", 1.2),
    ("Jamal", "m", 25, "athletic", 0.6), ("Keiko", "f", 52, "average", -0.9), ("Leif", "m", 55, "sturdy", 1.0),
    ("Mina", "f", 21, "athletic", -0.4), ("Nikolai", "m", 42, "sturdy", 0.2), ("Olumide", "m", 30, "athletic", 1.4),
    ("Paloma", "f", 37, "slim", 0.2), ("Ravi", "m", 35, "heavy", -0.8), ("Saoirse", "f", 32, "sturdy", 0.1),
    ("Tomas", "m", 58, "average", 0.1), ("Uma", "f", 44, "sturdy", 0.4), ("Vincenzo", "m", 50, "heavy", -0.2),
    ("Wei", "m", 27, "average", -0.2),
    ("Agnes", "f", 78, "slim", -0.5), ("Bartholomew", "m", 71, "heavy", 0.4), ("Consuelo", "f", 69, "heavy", -0.6),
    ("Desmond", "m", 82, "slim", 0.0), ("Eunji", "f", 73, "average", -0.4), ("Fatima", "f", 66, "sturdy", 0.0),
    ("Giorgio", "m", 67, "sturdy", -0.4), ("Halima", "f", 85, "average", -0.8),
)  # fmt: skip

AGES = ((12, "child"), (18, "teen"), (65, "adult"), (200, "elder"))  # years that each ends at
# muscle and weight of each build, on Anny's scale of 0 to 1
BUILDS = {
    "slim": (0.35, 0.12),
    "average": (0.4, 0.5),
    "athletic": (0.9, 0.45),
    "sturdy": (0.85, 0.9),
    "heavy": (0.12, 0.88),
}


def named_people(source: Source, rng: np.random.Generator) -> Float[np.ndarray, "n p"]:
    """Phenotypes of the named people; what the table leaves open is drawn."""
    rows = []
    for _, sex, years, build, stature in PEOPLE:
        muscle, weight = BUILDS[build]
        if years < 12:  # children differ less
            muscle, weight = 0.5 + (muscle - 0.5) * 0.6, 0.5 + (weight - 0.5) * 0.8
        gender = rng.uniform(0.84, 0.98) if sex == "f" else rng.uniform(0.02, 0.16)
        drawn = {"muscle": muscle + rng.uniform(-0.06, 0.06), "weight": weight + rng.uniform(-0.06, 0.06)}
        rows.append(source.phenotype(gender, years, stature, drawn | _drawn(rng)))
    return np.array(rows)


def sampled_people(source: Source, rng: np.random.Generator, count: int) -> Float[np.ndarray, "n p"]:
    """Phenotypes of the people that the components are fitted to: ages 3 to 90, all builds."""
    rows = []
    for _ in range(count):
        years = rng.uniform(3, 18) if rng.random() < 0.35 else rng.uniform(18, 90)
        body = {"muscle": rng.beta(1.3, 1.3), "weight": rng.beta(1.3, 1.3)}
        rows.append(source.phenotype(rng.beta(0.3, 0.3), years, rng.normal(0, 1.1), body | _drawn(rng)))
    return np.array(rows)


def _drawn(rng: np.random.Generator) -> dict[str, float]:
    ancestry = rng.dirichlet([0.5, 0.5, 0.5])
    names = ("african", "asian", "caucasian")
    face = {name: float(share) for name, share in zip(names, ancestry, strict=True)}
    return face | {
        "proportions": rng.uniform(0.1, 0.65),
        "cupsize": rng.uniform(0.25, 0.75),
        "firmness": rng.uniform(0.4, 0.8),
    }
