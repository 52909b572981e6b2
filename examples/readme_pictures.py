"""The pictures of the README, made from sample clips: python examples/readme_pictures.py"""

import tempfile
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from diorama import StereoConfig, StereoRun, stereo
from diorama.media.encoding import Encoding
from diorama.media.images import save_image
from diorama.media.read import open_video
from diorama.media.stereo import pack
from diorama.media.store import read_scene
from diorama.media.write import FrameWriter, StreamSpec
from diorama.pipelines.animate import animate
from diorama.pipelines.animate_config import AnimateConfig
from diorama.pipelines.decompose import decompose
from diorama.pipelines.decompose_page import over_squares
from diorama.pipelines.presets import Clip
from diorama.pipelines.report import colored, marked
from diorama.pipelines.samples import SampleFolder
from diorama.pipelines.spatial import SpatialOptions, spatial
from diorama.pipelines.spatial_config import SpatialConfig
from diorama.theatre.actor import canonical_picture
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


def people() -> None:
    """A clip of the theatre taken apart, and played by somebody else."""
    made = Script(frames=24, fps=12.0, height=360, width=640, actors=(1, 1), objects=0.6, occluders=0.3)
    clip = random_clip(12, made)
    other = random_clip(1012, Script(frames=2, fps=12.0, height=64, width=64, actors=(1, 1))).actors[0]
    images = [clip.frame(t).image for t in range(len(clip))]
    with tempfile.TemporaryDirectory() as name:
        source, scene, film, picture = (Path(name) / n for n in ("clip.mkv", "scene", "film.mkv", "photo.png"))
        with FrameWriter(source, StreamSpec(640, 360, Fraction(1, 12), Fraction(12)), Encoding("ffv1")) as writer:
            for number, image in enumerate(images):
                writer.write(image, number)
        save_image(picture, canonical_picture(other.dressed, 512)[0])
        decompose(source, scene)
        animate(scene, film, AnimateConfig((f"person-1={picture}",), encoding=Encoding("ffv1")))
        layered = read_scene(scene)
        behind = next(iter(layered.layers[0].color[6:7])).image
        cut = [over_squares(images[6], next(iter(layer.alpha[6:7]))) for layer in layered.layers[1:] if layer.alpha]
        played = next(iter(open_video(film)[6:7])).image
    photo = np.full((360, 640, 3), 255, np.uint8)
    photo[:, 140:500] = cv2.resize(canonical_picture(other.dressed, 512)[0], (360, 360), interpolation=cv2.INTER_AREA)
    save_image(TARGET / "people.jpg", contact_sheet([images[6], behind, *cut, photo, played], 3))


def looked_around() -> None:
    """A clip of the theatre as a 4D scene, from a camera that goes round."""
    clip = random_clip(27, Script(frames=16, fps=12.0, height=320, width=576, actors=(1, 2), cameras=("static",)))
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "clip.mkv"
        with FrameWriter(source, StreamSpec(576, 320, Fraction(1, 12), Fraction(12)), Encoding("ffv1")) as writer:
            for number in range(len(clip)):
                writer.write(clip.frame(number).image, number)
        made = spatial(source, Path(name) / "scene", SpatialOptions(SpatialConfig(write=("films",))))
        frames = [Image.fromarray(frame.image) for frame in open_video(made.folder / "orbit.mp4")]
    first, *rest = frames
    first.save(TARGET / "spatial.webp", save_all=True, append_images=rest, duration=83, loop=0, quality=70, method=6)


def main() -> None:
    """One row: source, depth, what is uncovered, and both eyes as an anaglyph; theatre, people, and a 4D scene."""
    theatre()
    people()
    looked_around()
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
