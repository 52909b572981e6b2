"""Twelve people of the cast, dressed by chance, from the front and the back: python examples/04_people.py [folder]"""

import sys
from pathlib import Path

import numpy as np

from diorama.figures.cast import load_cast
from diorama.media.images import save_image
from diorama.theatre.actor import canonical_picture
from diorama.theatre.dressing import dress
from diorama.theatre.look import contact_sheet
from diorama.theatre.wardrobe import random_outfit


def main(folder: Path, size: int = 256) -> None:
    """Canonical A-pose pictures: what a network is shown of who somebody is."""
    folder.mkdir(parents=True, exist_ok=True)
    cast, fronts, backs = load_cast(), [], []
    for seed, person in enumerate(cast.people[::5][:12]):
        rng = np.random.default_rng(seed)
        outfit = random_outfit(rng, child=person.age == "child", female=person.sex == "female")
        dressed = dress(cast, cast.figure(person.name), outfit)
        fronts.append(canonical_picture(dressed, size)[0])
        backs.append(canonical_picture(dressed, size, "back")[0])
        print(f"{person.name}: {person.age}, {person.build}")
    rows = [row for i in (0, 6) for row in (*fronts[i : i + 6], *backs[i : i + 6])]
    save_image(folder / "people.png", contact_sheet(rows, 6))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
