"""Every recipe on bundled clips, before and after, as one page to look at: make gallery."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from skimage import data

from diorama import StereoConfig, StereoRun, forward_warp, stereo
from diorama.bench.people import held_out_cases
from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.generate import generate, load_backbone
from diorama.figures.cast import load_cast
from diorama.figures.part_colors import part_colors
from diorama.media.images import load_image, save_image
from diorama.media.read import open_video
from diorama.media.store import read_scene
from diorama.perception.fill import fill
from diorama.pipelines.animate import animate
from diorama.pipelines.animate_config import AnimateConfig
from diorama.pipelines.decompose import decompose
from diorama.pipelines.decompose_config import DecomposeConfig
from diorama.pipelines.decompose_page import over_squares
from diorama.pipelines.gallery import Row, write_gallery
from diorama.pipelines.page import animation, photo
from diorama.pipelines.presets import Clip, Look
from diorama.pipelines.report import colored
from diorama.pipelines.rig import rig
from diorama.pipelines.samples import SampleFolder
from diorama.pipelines.spatial import SpatialOptions, spatial
from diorama.pipelines.spatial_config import SpatialConfig
from diorama.theatre.actor import canonical_picture
from diorama.theatre.clip import Script, random_clip
from diorama.theatre.dressing import Dressed, dress
from diorama.theatre.look import contact_sheet, depth_picture, flow_picture, number_picture
from diorama.theatre.menagerie import FAMILIES, random_creature, random_motion
from diorama.theatre.turntable import film
from diorama.theatre.wardrobe import random_outfit
from models import creature_views
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


def theatre_row() -> Row:
    """Three clips of the theatre: what the camera sees, and what is known."""
    clips = [random_clip(seed, Script(frames=6, fps=6.0, height=224, width=224)) for seed in (1, 6, 12)]
    views = [clip.frame(3) for clip in clips]
    before = photo(contact_sheet([view.image for view in views], 3), "What the camera sees")
    after = (
        photo(contact_sheet([view.background for view in views], 3), "The scene behind"),
        photo(contact_sheet([number_picture(view.owner.astype(np.int32)) for view in views], 3), "Who is where"),
        photo(contact_sheet([depth_picture(view.depth) for view in views], 3), "Depth"),
        photo(contact_sheet([flow_picture(view.flow) for view in views], 3), "Flow to the next frame"),
    )
    caption = "A world made by chance, with every layer known."
    return Row("The theatre", caption, before, after, "diorama data theatre --recipe scene -n 8 -o scenes")


def creatures_row() -> Row:
    """One of each family, and its parts in the colours that SP4D learns."""
    shown, parts = [], []
    for seed, family in enumerate(FAMILIES):
        rng = np.random.default_rng(seed)
        creature = random_creature(rng, family)
        seen = film(creature.figure, random_motion(rng, creature)[6:7], views=1, size=160, start=25)
        colors = part_colors(seen.centers, seen.low, seen.high, 25)
        shown.append(seen.images[0, 0])
        ids = seen.parts[0, 0].astype(int)
        parts.append(np.where(ids[..., None] >= 0, colors[ids], 255).astype(np.uint8))
    before, after = photo(contact_sheet(shown, 4), "Creatures"), photo(contact_sheet(parts, 4), "Their parts")
    caption = "Eight families with rigs and motion; a part keeps its colour in all views and frames."
    return Row("Creatures", caption, before, (after,), "diorama data theatre --recipe parts -n 8 -o parts")


def recast_row(folder: Path) -> Row:
    """A man in a car taken apart, and played by an astronaut."""
    photo_file, scene, film = folder / "astronaut.png", folder / "carphone_scene", folder / "carphone_recast.mp4"
    save_image(photo_file, data.astronaut())
    decompose(sample("carphone"), scene, DecomposeConfig(end="1", people=1), overwrite=True)
    animate(scene, film, AnimateConfig((str(photo_file),)), overwrite=True)
    layered = read_scene(scene)
    frames = [next(iter(layer.color[12:13])).image for layer in layered.layers[:2]]
    alpha = layered.layers[1].alpha
    assert alpha is not None
    (coverage,) = alpha[12:13]
    after = (
        photo(frames[0], "The scene behind"),
        photo(over_squares(frames[1], coverage), "The person"),
        photo(data.astronaut(), "The photo"),
        animation([frame.image for frame in open_video(film)][::3], "Recast"),
    )
    caption = "One photo, no network for pictures: the textured body itself, lit as the scene is."
    command = "diorama animate --scene carphone.mp4 --character astronaut.png -o recast.mp4"
    return Row("Somebody else in a clip", caption, photo(frames[1], "The clip"), after, command)


def rig_row(folder: Path) -> Row:
    """Views of a creature with its parts, and the model that they become."""
    views, model = creature_views(folder / "creature_parts", "quadruped", 1), folder / "creature.glb"
    rig(views, model, overwrite=True)
    turned = [frame.image for frame in open_video(model.with_suffix(".mp4"))][::4]
    before = photo(load_image(views / "sheet.png"), "Views and part maps")
    caption = "Surface, skeleton, weights and motion from pictures; beside the model lies a page to turn and change it."
    after = (animation(turned, "The model: looks, parts, skeleton", milliseconds=160),)
    return Row("A rig", caption, before, after, "diorama rig creature_parts/ -o creature.glb")


def spatial_row(folder: Path) -> Row:
    """A clip as moving Gaussians, seen from where its camera never was."""
    asked = SpatialOptions(SpatialConfig(write=("films",)), clip=Clip(end="0.7"))
    made = spatial(sample("bikes"), folder / "bikes_spatial", asked, overwrite=True)
    orbit, slow = ([frame.image for frame in open_video(made.folder / f"{name}.mp4")] for name in ("orbit", "slow"))
    after = (animation(orbit[::2], "An orbit"), animation(slow[::2], "Slow motion, with moments between the frames"))
    caption = f"{made.figures['gaussians']:,} Gaussians that agree with their frames to {made.figures['psnr']} dB."
    before = animation([frame.image for frame in open_video(sample("bikes"))[:16]], "The clip")
    return Row(
        "A scene to look around in", caption, before, after, "diorama spatial bikes.mp4 -o bikes_spatial --end 0.7"
    )


def generator_row() -> Row:
    """Somebody that the embedded generator has never met, with and without a preview of the pose."""
    codec, network = load_codec(), load_backbone()
    (case,) = held_out_cases(1, 4, codec)
    bare = replace(case.given, preview=None, preview_alpha=None)
    after = [photo(contact_sheet(list(case.seen.preview), 4), "Preview: the picture's colours on the naked body")]
    for given, name in ((case.given, "Made from the preview"), (bare, "Made from the picture and the motion alone")):
        frames = codec.decode(generate(network, given, case.latents)[0].transpose(0, 1))
        pictures = [np.rint(frame.permute(1, 2, 0).numpy() * 255).astype(np.uint8) for frame in frames]
        after.append(photo(contact_sheet(pictures, 4), name))
    canonical, width = case.seen.canonical[0], case.seen.image.shape[2]
    side = (width - canonical.shape[1]) // 2
    person = np.pad(canonical, [(0, 0), (side, width - canonical.shape[1] - side), (0, 0)], constant_values=255)
    before = photo(contact_sheet([person, *case.seen.image], 5), "The person's picture; the true frames")
    caption = "The generator that ships with the package: 8 million parameters, 12 steps, on a CPU."
    return Row("The generator", caption, before, after, "python examples/07_generate.py")


def main(folder: Path) -> None:
    """Run everything and write the page."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [stereo_row("bigbuckbunny", folder), stereo_row("bikes", folder), warp_row(folder)]
    rows += [
        people_row(),
        theatre_row(),
        creatures_row(),
        rig_row(folder),
        spatial_row(folder),
        generator_row(),
        recast_row(folder),
    ]
    write_gallery(folder / "index.html", rows)
    print(f"open {folder / 'index.html'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "gallery"))
