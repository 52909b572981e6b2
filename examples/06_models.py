"""A moving GLB model of each family of creatures, and of a dressed person: python examples/06_models.py [folder]"""

import sys
from pathlib import Path

import numpy as np

from diorama.figures.cast import load_cast
from diorama.media.images import save_image
from diorama.media.mesh import read_glb, write_glb
from diorama.theatre.actor import canonical_picture
from diorama.theatre.choreography import Dance, perform
from diorama.theatre.dressing import dress
from diorama.theatre.look import contact_sheet
from diorama.theatre.menagerie import FAMILIES, random_creature, random_motion
from diorama.theatre.style import random_style
from diorama.theatre.turntable import film
from diorama.theatre.wardrobe import random_outfit


def main(folder: Path) -> None:
    """Models that open in Blender, game engines and browsers, and a sheet of them."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for seed, family in enumerate(FAMILIES):
        rng = np.random.default_rng(seed)
        creature = random_creature(rng, family)
        motion = random_motion(rng, creature)
        write_glb(folder / f"{family}.glb", creature.figure, {"move": motion}, name=family)
        pictures += list(film(creature.figure, motion[::8], views=3, size=160, start=20).images[0])
    cast, rng = load_cast(), np.random.default_rng(1)
    dressed = dress(cast, cast.figure(cast.names[1]), random_outfit(rng))
    motion = perform(Dance(("walk", "wave"), (2.0, 2.0), random_style(rng)), dressed.body, 48, 12.0)
    write_glb(folder / "person.glb", dressed.figures, {"walk_and_wave": motion}, name=cast.names[1])
    pictures += [canonical_picture(dressed, 160, side)[0] for side in ("front", "back")]
    save_image(folder / "models.png", contact_sheet(pictures, 6))
    for path in sorted(folder.glob("*.glb")):
        (figure,) = read_glb(path).figures
        print(
            f"{path.name}: {len(figure.mesh.faces)} faces, {len(figure.skeleton)} joints, {path.stat().st_size} bytes"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
