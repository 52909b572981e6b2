"""People, photos, motions and scenes as they come: a clear word or a sensible film, and nothing half-written.

What files of scenes, boxes and motions may hold is tested with their readers (tests/media, tests/perception); what
photos show, in test_character.py.
"""

import json
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diorama.cli import main
from diorama.core.figure import Motion
from diorama.core.layers import Layer, LayeredVideo
from diorama.core.person import PersonFrame
from diorama.core.progress import Silent
from diorama.core.video import Frame, Video
from diorama.errors import DamagedMediaError, DioramaError, LimitError, MediaError, ModelError, UsageError
from diorama.figures.cast import load_cast
from diorama.figures.landmarks import POINT_NAMES, cast_places
from diorama.figures.observation import guessed_camera
from diorama.figures.pose import animate as pose
from diorama.figures.solve import FitConfig, fit
from diorama.figures.texture import Character
from diorama.geometry.raster import rasterize
from diorama.media.encoding import Encoding
from diorama.media.images import load_image
from diorama.media.motion import write_bvh
from diorama.media.read import open_video
from diorama.media.store import read_actors, read_scene, write_scene
from diorama.media.write import FrameWriter, StreamSpec
from diorama.perception.base import Tracked
from diorama.perception.people_answers import PeopleAnswers
from diorama.perception.people_detect import Region
from diorama.perception.people_frames import PeopleFrame, Sighting
from diorama.perception.people_mask import SoftMask
from diorama.perception.people_pose import Pose
from diorama.pipelines import animate as animate_module
from diorama.pipelines import animate_alone, animate_open, decompose_bodies
from diorama.pipelines import decompose as decompose_module
from diorama.pipelines import person as person_module
from diorama.pipelines.animate import animate
from diorama.pipelines.animate_alone import standing_at
from diorama.pipelines.animate_cast import character_of_actor, sights_of
from diorama.pipelines.animate_config import AnimateConfig
from diorama.pipelines.animate_motion import motion_for
from diorama.pipelines.decompose import decompose
from diorama.pipelines.decompose_config import DecomposeConfig
from diorama.pipelines.person import person
from diorama.pipelines.person_config import PersonConfig

FRAMES, HIGH, WIDE = 6, 96, 128
LOSSLESS = Encoding("ffv1")
ADULT, CHILD = "Zeynep", next(one.name for one in load_cast().people if one.age == "child")
COLORS = ((200, 60, 40), (40, 190, 60), (60, 70, 210))


@dataclass(frozen=True)
class Walker:
    """Somebody of the cast, who stands at some part of the width in each frame; None: out of sight."""

    name: str
    places: tuple[float | None, ...]
    tall: float
    away: bool = False

    def seen(self, frame: int) -> tuple[np.ndarray, PersonFrame] | None:
        """Mask and landmarks."""
        at = self.places[frame]
        if at is None:
            return None
        figure, camera = load_cast().figure(self.name), guessed_camera(HIGH, WIDE)
        motion = standing_at(figure, camera, (at, 0.95, self.tall))
        if self.away:
            turns = motion.rotations.copy()
            turns[:, 0] = (0, 0, 1, 0)
            motion = replace(motion, rotations=turns)
        (vertices,) = pose(figure, motion)
        mask = rasterize(vertices, figure.mesh.faces, camera).face_ids >= 0
        table = cast_places(load_cast())
        rows = [table[name] for name in POINT_NAMES["mediapipe33"]]
        marks = np.stack([row.weights @ vertices[row.vertices] for row in rows]).astype(np.float64)
        (pixels,), _ = camera.project(marks)
        box = np.array([*pixels.min(axis=0), *pixels.max(axis=0)], np.float32)
        points = np.concatenate([pixels, np.ones((33, 1))], axis=1).astype(np.float32)
        local = marks * [1, -1, -1]
        hips = local[[POINT_NAMES["mediapipe33"].index(f"{side}_hip") for side in ("left", "right")]].mean(axis=0)
        return mask, PersonFrame(box, 0.99, points, (local - hips).astype(np.float32))


WALKERS = (
    Walker(ADULT, (0.15, None, None, None, 0.15, 0.4), 0.85),  # leaves, and comes back
    Walker(CHILD, tuple(0.9 - 0.12 * t for t in range(FRAMES)), 0.5, away=True),  # crosses the way, seen from behind
    Walker(ADULT, (0.72,) * FRAMES, 0.6),  # a statue, or whom a mirror shows
)
"""From near to far they are 1, 3, 2."""


@dataclass
class Known:
    """A finder that knows."""

    frames: list[list[tuple[int, np.ndarray, PersonFrame]]]
    name: str = "known"

    def __call__(self, tracked: Tracked) -> PeopleFrame:
        found = []
        for number, mask, one in self.frames[tracked.frame.index]:
            look, region = np.zeros(8, np.float32), Region(0, 0, 1)
            values = SoftMask(mask.astype(np.float32), np.eye(2, 3))
            found.append(Sighting(number, Pose(one, values, region, look)))
        return PeopleFrame(tracked.frame.index, tracked.shot, tuple(found))

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Known]:
    """A clip of all walkers, and who knows where they are."""
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    ground = np.random.default_rng(0).integers(90, 160, (HIGH, WIDE, 3)).astype(np.uint8)
    known = Known([])
    with FrameWriter(path, StreamSpec(WIDE, HIGH, Fraction(1, 25), Fraction(25)), Encoding("ffv1")) as out:
        for t in range(FRAMES):
            image = ground.copy()
            there: list[tuple[int, np.ndarray, PersonFrame]] = []
            for number in (2, 3, 1):  # from far to near
                seen = WALKERS[number - 1].seen(t)
                if seen is not None:
                    mask, one = seen
                    there = [(n, m & ~mask, p) for n, m, p in there] + [(number, mask, one)]
                    image[mask] = COLORS[number - 1]
            known.frames.append(sorted(there, key=lambda one: one[0]))
            out.write(image, t)
    return path, known


@pytest.fixture(scope="module")
def scene(filmed: tuple[Path, Known]) -> Path:
    """The clip taken apart."""
    clip, known = filmed
    folder = clip.with_name("scene")
    with pytest.MonkeyPatch.context() as patch:
        knowing(patch, known)
        made = decompose(clip, folder)
    assert sorted(made.people) == ["person-1", "person-2", "person-3"]
    return folder


def knowing(patch: pytest.MonkeyPatch, known: Known) -> None:
    """Have `known` say where people are, and bodies fitted in few steps."""
    patch.setattr(decompose_module, "resolve", lambda *_: PeopleAnswers(known, trusted=True))
    few = FitConfig(iterations=4, shape_iterations=3, outline_points=0)
    patch.setattr(decompose_bodies, "fit", lambda seen, cast: fit(seen, cast, few))


@pytest.fixture(scope="module")
def character(scene: Path) -> Character:
    """Coarse looks of somebody, quickly."""
    one = next(actor for actor in read_actors(scene) if actor.name == "person-3")
    return character_of_actor(one, sights_of(read_scene(scene), one, 1), spacing=0.05)


@pytest.fixture
def quick(character: Character, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every character is that one; no photo is looked at."""
    for module in (animate_module, animate_alone):
        monkeypatch.setattr(module, "character_of", lambda *_: character)


def alphas(scene: Path, number: int) -> np.ndarray:
    return np.stack(list(read_scene(scene).layer(f"person-{number}").alpha or ())) > 127


def test_who_leaves_returns_as_the_same_and_those_who_cross_keep_apart(scene: Path, filmed: tuple[Path, Known]) -> None:
    actors = {actor.number: actor for actor in read_actors(scene)}
    assert list(actors[1].track.frames) == [0, 4, 5]
    assert list(actors[1].frames) == list(range(FRAMES))
    assert actors[1].guessed[1:4].all()
    for t, there in enumerate(filmed[1].frames):
        for number, mask, _ in there:
            made = alphas(scene, number)[t]
            assert (made & mask).sum() > 0.6 * (made | mask).sum()
    assert not alphas(scene, 1)[1:4].any()


def test_a_child_from_behind_and_a_statue_get_bodies_too(scene: Path) -> None:
    actors = {actor.number: actor for actor in read_actors(scene)}
    assert np.nanmean(actors[2].error) < 4  # pixels
    still = np.ptp(actors[3].motion.root, axis=0).max()
    assert still < 0.15  # metres


def test_a_hand_alone_gets_no_body_and_is_no_reason_to_stop(
    filmed: tuple[Path, Known], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, known = filmed
    unsure = np.array([1, 1, 0], np.float32)
    unseen = [[(n, m, replace(p, landmarks=p.landmarks * unsure)) for n, m, p in f[:1]] for f in known.frames]
    knowing(monkeypatch, Known(unseen))
    told = Told()
    made = decompose(clip, tmp_path / "scene", progress=told)
    assert made.people == ()
    assert any("gets no body" in note for note in told.notes)
    assert [layer.name for layer in read_scene(tmp_path / "scene").layers] == ["scene"]


class Told(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.usefixtures("quick")
def test_nobody_comes_where_the_actor_is_out_of_sight(scene: Path, filmed: tuple[Path, Known], tmp_path: Path) -> None:
    animate(
        scene, tmp_path / "out.mkv", AnimateConfig((f"person-1={scene}#person-3",), encoding=LOSSLESS, relight=False)
    )
    old, made = (open_video(path).stack().astype(int) for path in (filmed[0], tmp_path / "out.mkv"))
    changed = (old != made).any(axis=-1).mean(axis=(1, 2))
    assert (changed[[0, 4, 5]] > 0.03).all()
    assert not changed[1:4].any()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("count", "fps"), [(1, 30.0), (6, 2.0), (90, 240.0)])
def test_motions_of_other_rates_and_lengths_and_a_pose_at_rest(
    count: int, fps: float, scene: Path, character: Character, tmp_path: Path
) -> None:
    """A single pose is held; slow ones run on, long ones are cut."""
    figure, file = character.body, tmp_path / "rest.bvh"
    turns = np.zeros((count, len(figure.skeleton), 4), np.float32)
    turns[..., 0] = 1
    write_bvh(file, Motion(figure.skeleton, turns, np.zeros((count, 3), np.float32), fps))
    one = next(actor for actor in read_actors(scene) if actor.name == "person-3")
    found = motion_for(str(file), one, figure, 0)
    assert len(found) == FRAMES
    assert found.fps == one.motion.fps
    assert np.isfinite(found.rotations).all()
    assert np.ptp(found.rotations, axis=0).max() < 1e-3


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("size", "at"), [((9, 40), (0.5, 2.0, 2.0)), ((40, 9), (-1.0, 0.0, 0.02))])
def test_scenes_smaller_than_who_comes(
    size: tuple[int, int], at: tuple[float, float, float], scene: Path, tmp_path: Path
) -> None:
    """Somebody twice as high as the picture, somebody beside it."""
    Image.new("RGB", size[::-1], (90, 120, 150)).save(tmp_path / "back.png")
    config = AnimateConfig((f"{scene}#person-3",), motion="jump", seconds=0.2, fps=10.0, at=at, encoding=LOSSLESS)
    made = animate(tmp_path / "back.png", tmp_path / "out.mkv", config)
    film = open_video(tmp_path / "out.mkv")
    assert made.frames == len(film) == 2
    assert (film.height, film.width) == size
    Image.new("RGB", (400, 1)).save(tmp_path / "line.png")
    with pytest.raises(UsageError, match="400x1 pixels"):
        animate(tmp_path / "line.png", tmp_path / "line.mkv", config)
    assert not (tmp_path / "line.mkv").exists()


def test_a_picture_of_16_bits_that_lies_on_its_side_stands_up(tmp_path: Path) -> None:
    values = np.arange(2 * 3 * 3, dtype=np.uint16).reshape(2, 3, 3) * 999
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    for orientation, turn in ((1, np.asarray), (3, lambda a: a[::-1, ::-1]), (6, lambda a: np.rot90(a, -1))):
        exif = Image.Exif()
        exif[0x0112] = orientation
        turned = exif.tobytes().removeprefix(b"Exif\0\0")
        write_png(tmp_path / "deep.png", (3, 2), 16, (b"eXIf", turned), (b"IDAT", zlib.compress(rows)))
        assert np.array_equal(load_image(tmp_path / "deep.png"), turn(values))


def write_png(path: Path, size: tuple[int, int], bits: int, *chunks: tuple[bytes, bytes]) -> Path:
    """An RGB file of these chunks, whatever they hold."""
    head = struct.pack(">IIBBBBB", *size, bits, 2, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IEND", b"")]
    packed = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    return path


@pytest.fixture
def folder(filmed: tuple[Path, Known], scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a user works, with good and bad files; nothing that takes long may begin there."""
    shutil.copytree(scene, tmp_path / "scene")
    shutil.copy(filmed[0], tmp_path / "clip.mkv")
    for number in (1, 2):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        Image.new("RGB", (48, 32), (9 * number, 90, 90)).save(tmp_path / "pictures" / f"{number}.png")
    Image.new("RGB", (48, 64), (90, 90, 90)).save(tmp_path / "photo.png")
    for name in ("text.txt", "text.png", "text.bvh", "text.npz", "text.glb", "text.mp4"):
        (tmp_path / name).write_text("hello")
    for name in ("empty.png", "empty.bvh", "empty.mp4"):
        (tmp_path / name).touch()
    write_png(tmp_path / "huge.png", (60_000, 60_000), 8, (b"IDAT", zlib.compress(b"")))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    monkeypatch.chdir(tmp_path)

    def never(*_: object, **__: object) -> None:
        pytest.fail("that was known before")

    for module, name in (
        (animate_open, "character_of_actor"),
        (decompose_module, "look"),
        (person_module, "character_of_photos"),
    ):
        monkeypatch.setattr(module, name, never)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


ANIMATE, WHO = "animate --scene", "--character scene#person-1"
CASES = (
    ("decompose none.mp4 -o out", 3, "no such file"),
    ("decompose empty.mp4 -o out", 3, "empty file"),
    ("decompose text.mp4 -o out", 3, "not a recognised video"),
    ("decompose huge.png -o out", 5, "over the limit"),
    ("decompose scene -o out", 2, "taken apart already"),
    ("decompose other -o out", 3, "without images"),
    ("decompose clip.mkv -o scene", 2, "--overwrite"),
    ("decompose clip.mkv -o clip.mkv --overwrite", 2, "expected a folder"),
    ("decompose clip.mkv -o other --overwrite", 2, "other things than a scene"),
    ("decompose pictures -o pictures --overwrite", 2, "folder of the input"),
    ("decompose pictures/1.png -o . --overwrite", 2, "folder of the input"),
    ("decompose clip.mkv -o text.txt/out", 2, "cannot be made"),
    (f"{ANIMATE} none.mp4 {WHO} -o out.mkv", 3, "no such file"),
    (f"{ANIMATE} other {WHO} --motion walk -o out.mkv", 3, "without images"),
    (f"{ANIMATE} http://a/b.mp4 {WHO} -o out.mkv", 2, "only local files"),
    (f"{ANIMATE} #12 {WHO} --motion walk -o out.mkv", 2, "no colour"),
    (f"{ANIMATE} white --character photo.png -o out.mkv", 2, "nobody to follow"),
    (f"{ANIMATE} clip.mkv {WHO} -o out.png", 2, "one image"),
    (f"{ANIMATE} clip.mkv {WHO} -o out.xyz", 2, "unknown output format"),
    (f"{ANIMATE} clip.mkv {WHO} -o clip.mkv --overwrite", 2, "output is the input"),
    (f"{ANIMATE} scene {WHO} -o scene/layer1-alpha.mkv --overwrite", 2, "folder of a scene"),
    (f"{ANIMATE} scene {WHO} --motion clip.mkv -o clip.mkv --overwrite", 2, "output is the input"),
    (f"{ANIMATE} clip.mkv -o out.mkv", 2, "no character"),
    (f"{ANIMATE} clip.mkv --character none.png -o out.mkv", 3, "no such file"),
    (f"{ANIMATE} clip.mkv --character person-1=none.png -o out.mkv", 3, "no such file"),
    (f"{ANIMATE} clip.mkv --character empty.png -o out.mkv", 3, "empty file"),
    (f"{ANIMATE} clip.mkv --character scene -o out.mkv", 2, "scene#person-"),
    (f"{ANIMATE} clip.mkv --character scene#person-9 -o out.mkv", 2, "no actor 'person-9'"),
    (f"{ANIMATE} clip.mkv --character other#person-1 -o out.mkv", 3, "scene.json"),
    (f"{ANIMATE} scene --character person-9=scene#person-1 -o out.mkv", 2, "no actor 'person-9'"),
    (f"{ANIMATE} clip.mkv {WHO} --motion moonwalk -o out.mkv", 2, "no motion"),
    (f"{ANIMATE} clip.mkv {WHO} --motion text.txt -o out.mkv", 3, "not a recognised video"),
    (f"{ANIMATE} clip.mkv {WHO} --motion text.bvh -o out.mkv", 3, "HIERARCHY"),
    (f"{ANIMATE} clip.mkv {WHO} --motion text.npz -o out.mkv", 4, "NPZ"),
    (f"{ANIMATE} clip.mkv {WHO} --motion text.glb -o out.mkv", 3, "glTF"),
    (f"{ANIMATE} clip.mkv {WHO} --motion empty.bvh -o out.mkv", 3, "empty file"),
    (f"{ANIMATE} clip.mkv {WHO} --motion scene#person-9 -o out.mkv", 2, "no actor 'person-9'"),
    (f"{ANIMATE} clip.mkv {WHO} --engine diffusion --model none -o out.mkv", 6, "diorama models get"),
    (f"{ANIMATE} clip.mkv {WHO} --model none -o out.mkv", 2, "--engine diffusion"),
    ("person none.png --motion walk -o out.png", 3, "no such file"),
    ("person other --motion walk -o out.png", 3, "where a file is expected"),
    ("person photo.png -o out.png", 2, "no poses"),
    ("person photo.png --motion text.glb -o out.png", 3, "glTF"),
    ("person photo.png --motion pictures/1.png -o pictures/1.png --overwrite", 2, "output is the input"),
    ("person photo.png --motion walk --background text.png -o out.png", 3, "not a picture"),
    ("person photo.png --motion walk --background clip.mkv -o out.png", 2, "one picture"),
    ("person photo.png --motion walk --background photo.jpg -o out.png", 2, "no background"),
    ("person photo.png --motion walk --engine diffusion --model none -o out.png", 6, "diorama models get"),
    ("person photo.png --motion walk -o out.txt", 2, "unknown output format"),
)


@pytest.mark.parametrize(("line", "code", "says"), CASES, ids=[line for line, *_ in CASES])
def test_one_line_at_once_and_all_as_it_was(
    line: str, code: int, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(folder)
    with pytest.raises(SystemExit) as stopped:
        main([*line.split(), "--quiet"])
    said = capsys.readouterr()
    assert stopped.value.code == code
    assert says in said.err
    assert said.err.count("\n") == 1
    assert said.err.startswith("error: ")
    assert not said.out
    assert contents(folder) == before


@pytest.mark.parametrize("given", ["empty.png", "text.png", "text.txt", "pictures", "clip.mkv", "huge.png", ""])
def test_what_is_no_photo_says_so(given: str, folder: Path) -> None:
    with pytest.raises((MediaError, UsageError, LimitError)) as refused:
        animate("white", folder / "out.mkv", AnimateConfig((given,), motion="walk"))
    assert "--max-frames" not in str(refused.value)
    assert refused.value.fix
    assert not (folder / "out.mkv").exists()
    assert not [name for name in contents(folder) if name.startswith(".")]


def newer(scene: Path) -> None:
    table = json.loads((scene / "scene.json").read_text())
    (scene / "scene.json").write_text(json.dumps({**table, "diorama_scene": 3}))


def cut(name: str) -> Callable[[Path], int]:
    return lambda scene: (scene / name).write_bytes((scene / name).read_bytes()[:90])


DAMAGE: dict[str, tuple[Callable[[Path], Any], type[DioramaError], str]] = {
    "newer": (newer, MediaError, "update Diorama"),
    "no manifest left": (lambda scene: (scene / "scene.json").write_text("{"), MediaError, "not valid JSON"),
    "a layer cut off": (cut("layer0.patches"), DamagedMediaError, "90 bytes"),
    "coverage cut off": (cut("layer1-alpha.mkv"), DamagedMediaError, "90 bytes"),
    "an actor cut off": (cut("actor0.safetensors"), DamagedMediaError, "90 bytes"),
    "a clip that is gone": (lambda scene: (scene / "source.mkv").unlink(), DamagedMediaError, "missing"),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_scenes_give_no_film(kind: str, folder: Path) -> None:
    harm, error, says = DAMAGE[kind]
    harm(folder / "scene")
    before = contents(folder)
    with pytest.raises(error, match=says) as refused:
        animate("scene", "out.mkv", AnimateConfig(("person-1=photo.png",)))
    assert refused.value.fix
    assert contents(folder) == before


def test_a_scene_in_which_nobody_is_needs_a_motion_before_it_needs_a_character(folder: Path) -> None:
    empty = Video.from_array(np.full((2, 32, 48, 3), 90, np.uint8))
    write_scene(folder / "empty", LayeredVideo((Layer("scene", empty),)))
    with pytest.raises(UsageError, match="nobody to follow"):
        animate("empty", "out.mkv", AnimateConfig(("photo.png",)))
    with pytest.raises(UsageError, match=r"it has nobody"):
        animate("white", "out.mkv", AnimateConfig(("empty",), motion="walk"))


def test_a_mark_in_the_name_of_a_file_is_no_actor(folder: Path) -> None:
    shutil.copy("photo.png", "me#1.png")
    assert animate_open.path_of("me#1.png") == Path("me#1.png")
    assert animate_open.check_characters(("me#1.png", "person-1=me#1.png", "scene#person-2")) == [
        Path("me#1.png"),
        Path("me#1.png"),
        Path("scene"),
    ]


def test_a_folder_that_is_in_the_way_of_the_scene_is_left_alone(folder: Path) -> None:
    (folder / "out_scene").mkdir()
    with pytest.raises(UsageError, match="remove the folder"):
        animate("clip.mkv", "out.mkv", AnimateConfig(("photo.png",)))
    assert (folder / "out_scene").is_dir()


def failing(after: int, error: BaseException) -> Callable[..., Iterator[Frame]]:
    """Frames that end with an error."""

    def frames(stage: Any, *_: object) -> Iterator[Frame]:
        yield from list(stage.source[:after])
        raise error

    return frames


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("error", [ModelError("broken"), ValueError("a bug"), LimitError("the disk is full")])
def test_a_film_that_fails_midway_leaves_nothing(
    error: Exception, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(animate_module, "played", failing(3, error))
    before = contents(folder)
    with pytest.raises(type(error)):
        animate("scene", "out.mkv", AnimateConfig(("person-1=photo.png",), encoding=LOSSLESS, relight=False))
    assert contents(folder) == before


def test_taking_apart_that_fails_midway_leaves_the_old_scene(
    filmed: tuple[Path, Known], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def layers(*_: object) -> Iterator[None]:
        raise ValueError("a bug")
        yield

    monkeypatch.undo()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(decompose_module, "layers", layers)
    known = Known([there[:1] for there in filmed[1].frames])
    before = contents(folder)
    for output, people in (("scene", known), ("new", Known([[]] * FRAMES))):
        knowing(monkeypatch, people)
        with pytest.raises(ValueError, match="a bug"):
            decompose("clip.mkv", output, DecomposeConfig(people=1), overwrite=True)
    assert contents(folder) == before


def test_a_sheet_that_fails_midway_leaves_nothing(
    folder: Path, character: Character, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise UsageError("nobody is found in the picture")

    monkeypatch.setattr(person_module, "character_of_photos", fails)
    before = contents(folder)
    for name in ("out.png", "out.mkv"):
        with pytest.raises(UsageError, match="nobody is found"):
            person(["photo.png"], name, PersonConfig(motion="walk"))
    assert contents(folder) == before
