"""A character in an actor's place: before the scene, behind what is before it, and nothing else changes."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from diorama.core.actor import Actor
from diorama.core.camera import Cameras
from diorama.core.figure import Motion
from diorama.core.layers import Layer, LayeredVideo, Maps
from diorama.core.person import Track
from diorama.core.video import Video
from diorama.errors import MediaError, UsageError
from diorama.figures.canonical import canonical_view
from diorama.figures.cast import load_cast
from diorama.figures.codes import color_map, position_colors
from diorama.figures.pose import animate as pose
from diorama.geometry.raster import rasterize
from diorama.media.encoding import Encoding
from diorama.media.read import open_video
from diorama.media.store import read_actors, read_scene, write_scene
from diorama.pipelines import animate_diffusion
from diorama.pipelines import film as module
from diorama.pipelines.animate import AnimateResult, animate
from diorama.pipelines.animate_cast import cast, character_of_actor, sights_of
from diorama.pipelines.animate_config import AnimateConfig
from diorama.pipelines.animate_diffusion import Generator, generated
from diorama.pipelines.animate_engine import Asked
from diorama.pipelines.animate_roi import crop, roi_of, uncrop

FRAMES, SIZE = 5, 96
LOSSLESS = Encoding("ffv1")


def actor() -> Actor:
    """Somebody of the cast who moves a little to the right."""
    figure = load_cast().figure(np.zeros(len(load_cast().components), np.float32))
    turns = np.tile(np.array([1, 0, 0, 0], np.float32), (FRAMES, len(figure.skeleton), 1))
    root = np.zeros((FRAMES, 3), np.float32)
    root[:, 0] = np.linspace(-0.1, 0.1, FRAMES)
    one = canonical_view(figure.mesh.vertices, SIZE, "front")
    views, Ks = (np.repeat(a, FRAMES, axis=0) for a in (one.viewmats, one.Ks))
    landmarks = np.full((FRAMES, 33, 3), 0.6, np.float32)
    boxes = np.tile(np.array([20, 2, 76, 94], np.float32), (FRAMES, 1))
    frames = np.arange(FRAMES, dtype=np.int64)
    track = Track(1, frames, boxes, np.ones(FRAMES, np.float32), landmarks)
    seen = np.zeros(FRAMES, np.float32), np.zeros(FRAMES, bool), np.zeros((FRAMES, 2), bool)
    motion, cameras = Motion(figure.skeleton, turns, root, 25.0), Cameras(views, Ks, SIZE, SIZE)
    shape = np.zeros(3, np.float32)
    return Actor("person-1", 1, "person-1", "person-1-front", track, figure, motion, cameras, frames, *seen, shape)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray, np.ndarray]:
    """A stored scene, the clip, where the actor is, and what is before it (a bar)."""
    one = actor()
    rng = np.random.default_rng(0)
    ground = rng.integers(90, 160, (SIZE, SIZE, 3)).astype(np.uint8)
    clip, masks = np.repeat(ground[None], FRAMES, axis=0), np.zeros((FRAMES, SIZE, SIZE), bool)
    for t, vertices in enumerate(pose(one.figure, one.motion)):
        found = rasterize(vertices, one.figure.mesh.faces, one.cameras[t : t + 1])
        masks[t] = found.face_ids >= 0
        clip[t][masks[t]] = color_map(found, one.figure.mesh.faces, position_colors(one.figure.mesh))[masks[t]]
    bar = np.zeros((FRAMES, SIZE, SIZE), bool)
    bar[:, 50:56] = True
    clip[bar] = (250, 240, 20)
    color = Video.from_array(clip)
    layers = (
        Layer("scene", Video.from_array(np.repeat(ground[None], FRAMES, axis=0))),
        Layer("person-1", color, Maps.from_array(masks & ~bar)),
        Layer("person-1-front", color, Maps.from_array(bar)),
    )
    folder = tmp_path_factory.mktemp("scene") / "scene"
    write_scene(folder, LayeredVideo(layers), actors=(one,))
    return folder, clip, masks, bar


def played(scene: Path, output: Path, **options: object) -> AnimateResult:
    config = AnimateConfig((f"{scene}#person-1",), encoding=LOSSLESS, relight=False)
    return animate(scene, output, config, **options)


def test_the_actor_plays_itself_and_nothing_else_changes(
    scene: tuple[Path, np.ndarray, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    folder, clip, masks, bar = scene
    result = played(folder, tmp_path / "out.mkv")
    made = np.stack([frame.image for frame in open_video(tmp_path / "out.mkv")])
    assert result.frames == FRAMES
    assert made.shape == clip.shape
    wide = np.zeros_like(masks)
    for dy in range(-8, 9, 2):
        for dx in range(-8, 9, 2):
            wide |= np.roll(masks, (dy, dx), axis=(1, 2))
    assert np.array_equal(made[~wide], clip[~wide])  # bit for bit
    assert np.array_equal(made[bar & masks], clip[bar & masks])  # what is before the actor is still before it
    inner = masks & ~bar & np.roll(masks, 2, axis=1) & np.roll(masks, -2, axis=1)
    error = np.abs(made.astype(int) - clip.astype(int))[inner]
    assert np.median(error) < 12
    assert (made.astype(int) != clip.astype(int))[masks & ~bar].any()  # it is drawn, not copied


def test_a_stopped_run_goes_on_to_the_same_film(
    scene: tuple[Path, np.ndarray, np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, *_ = scene
    played(folder, tmp_path / "whole.mkv")
    monkeypatch.setattr(module, "PIECE_FRAMES", 2)
    monkeypatch.setattr(module, "assemble", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(Exception, match="stopped"):
        played(folder, tmp_path / "out.mkv")
    assert not (tmp_path / "out.mkv").exists()
    monkeypatch.undo()
    played(folder, tmp_path / "out.mkv", resume=True)
    one, other = (open_video(tmp_path / name) for name in ("whole.mkv", "out.mkv"))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, other, strict=True))
    before = (tmp_path / "out.mkv").stat().st_mtime_ns
    played(folder, tmp_path / "out.mkv", resume=True)  # it is there already
    assert (tmp_path / "out.mkv").stat().st_mtime_ns == before


@pytest.mark.parametrize("start", [0, 2])
def test_sound_and_clock_are_the_clips(start: int, tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    """Also of a part of a clip, which begins at 0."""
    clip = make_clip(tmp_path / "clip.mp4", frames=12, size=(SIZE, SIZE), audio=True)
    video = open_video(clip)[start : start + FRAMES]
    nothing = Maps.from_array(np.zeros((FRAMES, SIZE, SIZE), bool))
    layers = Layer("scene", video), Layer("person-1", video, nothing), Layer("person-1-front", video, nothing)
    write_scene(tmp_path / "scene", LayeredVideo(layers), actors=(actor(),), source=clip, source_start=start)
    photo = tmp_path / "other"
    who = f"{photo}#person-1"
    clothed = Maps.from_array(np.ones((FRAMES, SIZE, SIZE), bool))
    dressed = Layer("scene", video), Layer("person-1", video, clothed), Layer("person-1-front", video, nothing)
    write_scene(photo, LayeredVideo(dressed), actors=(actor(),))
    animate(tmp_path / "scene", tmp_path / "out.mkv", AnimateConfig((who,), relight=False, encoding=LOSSLESS))
    made = open_video(tmp_path / "out.mkv")
    seconds = [(v.pts - v.pts[0]) * float(v.time_base) for v in (video, made)]
    assert seconds[1] == pytest.approx(seconds[0], abs=2e-3)  # Matroska counts milliseconds
    begun = float(made.pts[0] * made.time_base)
    assert 0 <= begun < 0.1  # sound that starts before the first picture moves both
    with av.open(str(tmp_path / "out.mkv")) as container:
        (sound,) = container.streams.audio
        times = [float(p.pts * p.time_base) for p in container.demux(sound) if p.pts is not None]
    assert times
    assert abs(min(times) - begun) < 0.1
    assert abs(max(times) - begun - float(video.seconds)) < 0.1


def test_shape_and_strength(scene: tuple[Path, np.ndarray, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    folder, clip, masks, bar = scene
    who = (f"{folder}#person-1",)
    options = {"engine": "diffusion", "strength": 0.5, "num_inference_steps": 2, "guidance_scale": 1.0}
    for name, config in (
        ("actor", AnimateConfig(who, keep_shape="actor", relight=True, encoding=LOSSLESS)),
        ("strength", AnimateConfig(who, relight=False, encoding=LOSSLESS, **options)),
    ):
        animate(folder, tmp_path / f"{name}.mkv", config)
        made = np.stack([frame.image for frame in open_video(tmp_path / f"{name}.mkv")])
        assert np.array_equal(made[bar & masks], clip[bar & masks])
        assert np.abs(made.astype(int) - clip)[masks & ~bar].mean() < 60


def test_two_actors_are_recast_in_one_run(
    scene: tuple[Path, np.ndarray, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    folder, clip, masks, _ = scene
    one = actor()
    moved = replace(one.motion, root=one.motion.root + np.array([0.5, 0, 0], np.float32))
    two = replace(one, name="person-2", number=2, layer="person-2", occluder=None, motion=moved)
    one = replace(one, occluder=None)
    color, nothing = Video.from_array(clip), Maps.from_array(np.zeros_like(masks))
    layers = Layer("scene", color), Layer("person-1", color, Maps.from_array(masks)), Layer("person-2", color, nothing)
    write_scene(tmp_path / "scene", LayeredVideo(layers), actors=(one, two))
    played = {}
    for given in (("person-1",), ("person-2",), ("person-1", "person-2")):
        who = tuple(f"{name}={folder}#person-1" for name in given)
        config = AnimateConfig(who, relight=False, encoding=LOSSLESS)
        animate(tmp_path / "scene", tmp_path / "out.mkv", config, overwrite=True)
        played[given] = np.stack([frame.image for frame in open_video(tmp_path / "out.mkv")])
    first, second, both = played.values()
    left, right = ((made != clip).any(axis=-1) for made in (first, second))
    assert (right & ~left).mean() > 0.02
    assert np.array_equal(both[right & ~left], second[right & ~left])
    assert np.array_equal(both[~right], first[~right])


def test_who_comes_for_whom() -> None:
    assert AnimateConfig(("a.png",)).roles(["person-1"]) == {"person-1": "a.png"}
    assert AnimateConfig(("person-2=b.png",)).roles(["person-1", "person-2"]) == {"person-2": "b.png"}
    assert AnimateConfig(("x=y.png",)).roles(["person-1"]) == {"person-1": "x=y.png"}  # a name with an equals sign
    for given, names, says in (
        ((), ["person-1"], "no character"),
        (("a.png",), [], "nobody"),
        (("a.png",), ["person-1", "person-2"], "person-1, person-2"),
        (("person-3=a.png",), ["person-1"], "no actor"),
        (("person-1=a.png", "person-1=b.png"), ["person-1"], "two characters"),
    ):
        with pytest.raises(UsageError, match=says):
            AnimateConfig(given).roles(names)


@pytest.mark.parametrize(
    ("character", "output", "says"),
    [
        ("#person-9", "out.mkv", "no actor"),
        ("_missing.png", "out.mkv", "no such file"),
        ("#person-1", "out.png", "one image"),
        ("#person-1", "out.xyz", "format"),
    ],
)
def test_bad_input_leaves_nothing(
    character: str, output: str, says: str, scene: tuple[Path, np.ndarray, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    with pytest.raises((UsageError, MediaError), match=says):
        animate(scene[0], tmp_path / output, AnimateConfig((f"{scene[0]}{character}",)))
    assert not list(tmp_path.iterdir())


def test_the_generator_takes_the_actors_place_too(
    scene: tuple[Path, np.ndarray, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    folder, clip, masks, bar = scene
    who, steps = (f"{folder}#person-1",), {"num_inference_steps": 2, "guidance_scale": 1.0}
    config = AnimateConfig(who, engine="diffusion", relight=False, encoding=LOSSLESS, **steps)
    animate(folder, tmp_path / "out.mkv", config)
    made = np.stack([frame.image for frame in open_video(tmp_path / "out.mkv")])
    far = ~np.stack([cv2.dilate(mask.view(np.uint8), np.ones((41, 41), np.uint8)) > 0 for mask in masks])
    assert far.mean() > 0.1
    assert np.array_equal(made[far], clip[far])
    assert np.array_equal(made[bar & masks], clip[bar & masks])
    assert np.abs(made.astype(int) - clip)[masks & ~bar].mean() < 60  # somebody of about these colours stands there


def test_pieces_are_the_same_wherever_a_run_begins(
    scene: tuple[Path, np.ndarray, np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(animate_diffusion.Embedded, "piece", 3)
    monkeypatch.setattr(animate_diffusion.Embedded, "shared", 1)
    (one,), layered = read_actors(scene[0]), read_scene(scene[0])
    part = cast(layered, one, character_of_actor(one, sights_of(layered, one, 4)), relight=False)
    generator = Generator.load(None, Asked(1, 1.0))
    whole = list(islice(generated(part, layered, 0, generator), FRAMES + 1))
    assert whole[-1] is None  # the actor has gone
    late = list(islice(generated(part, layered, 3, generator), FRAMES - 3))
    for a, b in zip(whole[3:FRAMES], late, strict=True):
        assert a is not None
        assert b is not None
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.alpha, b.alpha)


def test_squares_follow_a_person_smoothly() -> None:
    one = actor()
    roi = roi_of(one.motion, one.cameras)
    for t, vertices in enumerate(pose(one.figure, one.motion)):
        (pixels,), _ = one.cameras[t : t + 1].project(vertices.astype(np.float64))
        assert (np.abs(pixels - roi.centers[t]) <= roi.sides[t] / 2).all()
    picture = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
    smooth = cv2.GaussianBlur(picture, (0, 0), 3)
    square = crop(smooth, roi, 2, 256)
    back = uncrop(square, roi, 2, SIZE, SIZE)
    where = uncrop(np.ones((256, 256), np.float32), roi, 2, SIZE, SIZE) > 0.99
    assert np.abs(back.astype(int) - smooth)[where].max() <= 3
