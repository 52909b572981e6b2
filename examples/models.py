"""What the examples rig: a creature's views and a picture of somebody, both of the theatre."""

from pathlib import Path

import numpy as np

from diorama.figures.cast import load_cast
from diorama.figures.part_colors import part_colors
from diorama.media.images import save_image
from diorama.pipelines.part_views import PartViews, write_views
from diorama.theatre.actor import canonical_picture
from diorama.theatre.dressing import dress
from diorama.theatre.menagerie import random_creature, random_motion
from diorama.theatre.turntable import film
from diorama.theatre.wardrobe import random_outfit


def creature_views(folder: Path, family: str, seed: int) -> Path:
    """Eight views of a creature that moves, in colours and with its parts in theirs."""
    rng = np.random.default_rng(seed)
    creature = random_creature(rng, family)
    motion = random_motion(rng, creature, frames=6, fps=12.0)
    table = film(creature.figure, motion, views=8, size=192)
    palette = part_colors(table.centers, table.low, table.high)
    colored = np.concatenate([palette, np.full((1, 3), 255, np.uint8)])[table.parts]
    views = PartViews(table.azimuths, table.elevation, 0.72, 12.0, table.images, colored)
    write_views(folder, views, overwrite=True)
    return folder


def somebody(path: Path) -> Path:
    """A picture of somebody of the theatre."""
    cast = load_cast()
    dressed = dress(cast, cast.figure(cast.names[0]), random_outfit(np.random.default_rng(3)))
    save_image(path, canonical_picture(dressed, 640, "front")[0])
    return path
