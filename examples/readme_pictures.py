"""The pictures of the README, made from sample clips: python examples/readme_pictures.py"""

import tempfile
from pathlib import Path

import cv2
import numpy as np

from diorama import StereoConfig, StereoRun, stereo
from diorama.media.images import save_image
from diorama.media.stereo import pack
from diorama.pipelines.presets import Clip
from diorama.pipelines.report import colored, marked
from diorama.pipelines.samples import SampleFolder
from diorama.theatre.clip import Script, random_clip
from diorama.theatre.look import contact_sheet, depth_picture, number_picture
from samples import sample

TARGET = Path(__file__).parent.parent / "docs" / "images"


def theatre() -> None:
    """Clips of the theatre: two moments, the bare scene, who is where, vertex codes, depth."""
    pictures = []
    for seed in (6, 12, 13):
        clip = random_clip(seed, Script(frames=12, fps=8.0, height=240, width=240))
        first, later = clip.frame(3), clip.frame(9)
        codes = next(view.codes for view in later.layers if view.codes is not None)
        pictures += [first.image, later.image, later.background]
        pictures += [number_picture(later.owner.astype(np.int32)), codes, depth_picture(later.depth)]
    save_image(TARGET / "theatre.jpg", contact_sheet(pictures, 6))


def main() -> None:
    """One row: source, depth, what is uncovered, and both eyes as an anaglyph; and the theatre."""
    theatre()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = StereoRun(samples=folder)
        stereo(sample("bigbuckbunny"), folder / "film.mp4", StereoConfig(clip=Clip(end="2.4")), run=run)
        moment = SampleFolder(folder).load()[0]
    known = moment.known if moment.known is not None else np.ones(moment.right.shape[:2], bool)
    pictures = [
        moment.source,
        cv2.resize(colored(moment.inverse_depth), moment.source.shape[1::-1]),
        marked(moment.right, known),
        pack(moment.left, moment.right, "anaglyph"),
    ]
    small = [cv2.resize(np.asarray(p, np.uint8), (640, 360), interpolation=cv2.INTER_AREA) for p in pictures]
    gap = np.full((360, 8, 3), 255, np.uint8)
    top, bottom = np.hstack([small[0], gap, small[1]]), np.hstack([small[2], gap, small[3]])
    save_image(TARGET / "stereo.jpg", np.vstack([top, np.full((8, top.shape[1], 3), 255, np.uint8), bottom]))


if __name__ == "__main__":
    main()
