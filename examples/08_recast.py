"""Somebody else in a clip, offline: python examples/08_recast.py [folder]"""

import sys
from pathlib import Path

from skimage import data

from diorama.cli.progress import make_progress
from diorama.media.images import save_image
from diorama.pipelines.animate import animate
from diorama.pipelines.animate_config import AnimateConfig
from diorama.pipelines.decompose import decompose
from diorama.pipelines.decompose_config import DecomposeConfig
from samples import sample


def main(folder: Path) -> None:
    """Take two seconds of a clip apart, and let an astronaut play the man in it."""
    folder.mkdir(parents=True, exist_ok=True)
    photo, scene, film = folder / "astronaut.png", folder / "carphone_scene", folder / "carphone_recast.mp4"
    save_image(photo, data.astronaut())
    with make_progress(quiet=False) as progress:
        apart = decompose(
            sample("carphone"), scene, DecomposeConfig(end="2", people=1), overwrite=True, progress=progress
        )
        made = animate(scene, film, AnimateConfig((str(photo),)), overwrite=True, progress=progress)
    print(f"\ntaken apart: {apart.frames} frames in {apart.seconds['total']:.1f} s, {', '.join(apart.people)}")
    print(f"recast:      {made.frames} frames in {made.seconds:.1f} s")
    print(f"layers, open in a browser {scene / 'page.html'}")
    print(f"film                      {film}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
