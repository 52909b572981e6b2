"""A small 4D scene from a clip, fitted on a CPU and looked at: python examples/10_spatial.py [folder]"""

import sys
from pathlib import Path

import numpy as np

from diorama.cli.progress import make_progress
from diorama.media.images import save_image
from diorama.media.splat import read_scene4d
from diorama.pipelines.presets import Clip, DepthChoice
from diorama.pipelines.spatial import SpatialOptions, spatial
from diorama.pipelines.spatial_config import SpatialConfig
from diorama.pipelines.spatial_films import beside, picture
from samples import sample

OPTIONS = SpatialOptions(
    SpatialConfig(views=4, most_frames=8, width=192, iterations=600),
    DepthChoice(people=False),
    Clip(end="0.6"),
)


def main(folder: Path) -> None:
    """Fit a scene, then see one moment of it from the left, from the middle and from the right."""
    folder.mkdir(parents=True, exist_ok=True)
    with make_progress(quiet=False) as progress:
        made = spatial(sample("bikes"), folder / "bikes_spatial", OPTIONS, overwrite=True, progress=progress)
    scene = read_scene4d(made.scene)
    assert scene.cameras is not None
    camera = scene.cameras[:1].scaled(2 * scene.cameras.height, 2 * scene.cameras.width)
    time = scene.moving.times[len(scene.moving.times) // 2]
    row = [picture(scene.moving, float(time), beside(camera, metres)) for metres in (-0.03, 0.0, 0.03)]
    save_image(folder / "looking_around.png", np.hstack(row))
    figures = ", ".join(f"{name} {value:g}" for name, value in made.figures.items())
    print(f"\n{made.folder}: {made.frames} frames x {made.views} views in {made.seconds:.0f} s\n  {figures}")
    print(f"  to look around in it: diorama view {made.folder}, or open {made.folder / 'page.html'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
