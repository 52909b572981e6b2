"""Every recipe on bundled clips, before and after, as one page to look at: make gallery."""

import sys
from pathlib import Path

import numpy as np
from skimage import data

from diorama import StereoConfig, StereoRun, forward_warp, stereo
from diorama.figures.cast import load_cast
from diorama.media.images import save_image
from diorama.media.read import open_video
from diorama.perception.fill import fill
from diorama.pipelines.gallery import Row, write_gallery
from diorama.pipelines.page import animation, photo
from diorama.pipelines.presets import Clip, Look
from diorama.pipelines.report import colored
from diorama.pipelines.samples import SampleFolder
from diorama.theatre.actor import canonical_picture
from diorama.theatre.dressing import Dressed, dress
from diorama.theatre.wardrobe import random_outfit
from samples import sample


def stereo_row(name: str, folder: Path, seconds: str = "2") -> Row:
    """A clip, its depth, and both eyes as anaglyph and wiggle."""
    clip = sample(name)
    film = folder / f"{name}_LRF_Full_SBS.mp4"
    kept = folder / "samples"
    kept.mkdir(parents=True, exist_ok=True)
    made = stereo(clip, film, StereoConfig(clip=Clip(end=seconds)), run=StereoRun(overwrite=True, samples=kept))
    moment = SampleFolder(kept).load()[0]
    glasses = folder / f"{name}_redcyan.mp4"
    stereo(clip, glasses, StereoConfig(Look(format="anaglyph"), clip=Clip(end=seconds)), run=StereoRun(overwrite=True))
    anaglyph = next(iter(open_video(glasses)[len(open_video(glasses)) // 2 :])).image
    after = (
        photo(colored(moment.inverse_depth), "Depth: bright is near"),
        animation([moment.left, moment.right], "Wiggle: left and right eye in turn"),
        photo(anaglyph, "Anaglyph, for red-cyan glasses"),
    )
    caption = f"{made.frames} frames, embedded depth, default settings."
    return Row(f"Stereo: {name}", caption, photo(moment.source, "Source"), after, f"diorama stereo {clip.name}")


def warp_row(folder: Path) -> Row:
    """The motorcycle pair: the right eye made from the left one and its true disparity."""
    left, right, disparity = data.stereo_motorcycle()
    known_disparity = np.isfinite(disparity)
    disparity = np.where(known_disparity, disparity, disparity[known_disparity].min()).astype(np.float32)
    warped, known = forward_warp(left, disparity)
    filled = fill(warped, known, eye="right")
    save_image(folder / "motorcycle_right.png", filled)
    after = (photo(warped, "Warped"), photo(filled, "Filled"), photo(right, "The real right picture"))
    return Row("Warp and fill: motorcycle", "Middlebury 2014, true disparity.", photo(left, "Left picture"), after)


def people_row() -> Row:
    """Somebody of the cast, and the same person in other clothes."""
    cast = load_cast()
    figure = cast.figure(cast.names[0])
    bare = canonical_picture(Dressed(figure, ()))[0]
    outfits = [random_outfit(np.random.default_rng(seed)) for seed in range(4)]
    after = tuple(
        photo(canonical_picture(dress(cast, figure, outfit))[0], f"Seed {i}") for i, outfit in enumerate(outfits)
    )
    return Row(f"The cast: {cast.names[0]}", "One body, four outfits by chance.", photo(bare, "The body"), after)


def main(folder: Path) -> None:
    """Run everything and write the page."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [stereo_row("bigbuckbunny", folder), stereo_row("bikes", folder), warp_row(folder), people_row()]
    write_gallery(folder / "index.html", rows)
    print(f"open {folder / 'index.html'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "gallery"))
