"""Clips of the theatre with everything that is true of them: python examples/05_theatre.py [folder]"""

import sys
from pathlib import Path

import numpy as np

from diorama.media.images import save_image
from diorama.theatre.clip import Script, random_clip
from diorama.theatre.look import contact_sheet, depth_picture, flow_picture, number_picture
from diorama.theatre.truth import joints_of, tags_of


def main(folder: Path, clips: int = 6, size: int = 192) -> None:
    """A row for each clip: three moments, the bare scene, who is where, an actor's vertex codes, depth, flow."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for seed in range(clips):
        clip = random_clip(seed, Script(frames=12, fps=8.0, height=size, width=size))
        frames = [clip.frame(t) for t in range(len(clip))]
        middle = frames[6]
        codes = next(view.codes for view in middle.layers if view.codes is not None)
        pictures += [frames[0].image, middle.image, frames[11].image, middle.background]
        pictures += [number_picture(middle.owner.astype(np.int32)), codes]
        pictures += [depth_picture(middle.depth), flow_picture(middle.flow)]
        tags = tags_of(clip, frames, joints_of(clip, frames))
        who = "; ".join(" then ".join(moves) for moves in clip.moves)
        print(f"seed {seed}: {who} ({clip.stage}, camera {clip.filmed}) {', '.join(tags)}")
    save_image(folder / "theatre.png", contact_sheet(pictures, 8))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
