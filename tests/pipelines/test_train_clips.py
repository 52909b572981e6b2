"""Clips as training data: which frames go where, what pieces show, what is left out, and what is not made twice."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diorama.core.actor import Actor
from diorama.core.camera import Cameras
from diorama.core.figure import Motion
from diorama.core.layers import Layer, LayeredVideo, Maps
from diorama.core.person import Track
from diorama.core.progress import Silent
from diorama.core.video import Video
from diorama.errors import UsageError
from diorama.figures.canonical import canonical_view
from diorama.figures.cast import load_cast
from diorama.figures.codes import color_map, position_colors
from diorama.figures.pose import animate as pose
from diorama.geometry.raster import rasterize
from diorama.media.store import write_scene
from diorama.pipelines.train_clips import prepare
from diorama.pipelines.train_clips_cut import Cut, seen_windows, windows
from diorama.train.sources import open_shards, read_sample

FRAMES, SIZE = 16, 96
CUT = Cut(64, 4, 12.5, bodies=True)


def actor() -> Actor:
    """Somebody of the cast who moves a little to the right."""
    figure = load_cast().figure(np.zeros(len(load_cast().components), np.float32))
    turns = np.tile(np.array([1, 0, 0, 0], np.float32), (FRAMES, len(figure.skeleton), 1))
    root = np.zeros((FRAMES, 3), np.float32)
    root[:, 0] = np.linspace(-0.2, 0.2, FRAMES)
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


def stored(folder: Path, *people: Actor) -> Path:
    """A scene of somebody in the colours of their places on the body, behind a bar."""
    one = actor()
    ground = np.full((FRAMES, SIZE, SIZE, 3), 120, np.uint8)
    clip, masks = ground.copy(), np.zeros((FRAMES, SIZE, SIZE), bool)
    for t, vertices in enumerate(pose(one.figure, one.motion)):
        found = rasterize(vertices, one.figure.mesh.faces, one.cameras[t : t + 1])
        masks[t] = found.face_ids >= 0
        clip[t][masks[t]] = color_map(found, one.figure.mesh.faces, position_colors(one.figure.mesh))[masks[t]]
    bar = np.zeros((FRAMES, SIZE, SIZE), bool)
    bar[:, 50:56] = True
    clip[bar] = (250, 240, 20)
    color = Video.from_array(clip)
    layers = [Layer("scene", Video.from_array(ground))]
    for person in people:
        layers.append(Layer(person.layer, color, Maps.from_array(masks & ~bar)))
        layers.append(Layer(str(person.occluder), color, Maps.from_array(bar)))
    write_scene(folder, LayeredVideo(tuple(layers)), actors=people)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a scene of somebody, one of nobody, and a file that is no clip."""
    folder = tmp_path_factory.mktemp("data")
    stored(folder / "one", actor())
    stored(folder / "nobody")
    (folder / "notes.txt").write_text("no clip")
    return folder


def test_windows_hold_out_the_end() -> None:
    for count in (32, 33, 47, 100, 247, 1000):
        found = windows(count, 24.0, Cut())
        spans = [(w.first, w.first + w.step * 16, w.held_out) for w in found]
        assert min(first for first, _, _ in spans) == 0
        assert max(last for _, last, _ in spans) == count
        learned = max(last for _, last, held_out in spans if not held_out)
        assert learned <= min(first for first, _, held_out in spans if held_out) <= count - 16
    assert windows(31, 24.0, Cut()) == ()
    assert {w.step for w in windows(1000, 60.0, Cut())} == {6}


def test_who_is_seldom_seen_is_left_out() -> None:
    one = actor()
    assert [w.held_out for w in seen_windows(one, CUT)] == [False, False, True]
    assert seen_windows(replace(one, guessed=np.arange(FRAMES) > 9), CUT) == ()


def test_pieces_show_the_person_where_it_is(data: Path, tmp_path: Path) -> None:
    told = Silent()
    made = prepare(data, tmp_path / "work", CUT, progress=told)
    assert made.clips == ("one",)
    assert any("nobody" in note for note in made.left_out)
    shards = open_shards(made.folder)
    samples = [read_sample(place) for place in shards.places]
    assert [sample.note["held_out"] for sample in samples] == [*[False] * 4, True]
    assert len({sample.note["identity"] for sample in samples}) == 5
    for sample in samples:
        seen = sample.arrays
        assert seen["image"].shape == seen["preview"].shape == (4, 64, 64, 3)
        assert seen["canonical"].shape[:2] == (2, 64)
        body = seen["codes"].any(axis=-1)
        agree = (body & seen["person"]).sum() / (body | seen["person"]).sum()
        assert agree > 0.8
        assert seen["occluder"].any()
        assert np.abs(seen["scene"].astype(int) - 120).max() <= 1  # neither person nor bar
        near = body & ~seen["occluder"]
        assert np.median(np.abs(seen["preview"].astype(int) - seen["image"])[near]) < 40
        camera = Cameras(seen["viewmats"], seen["Ks"], 64, 64)
        again = rasterize(seen["body"][2], load_cast().faces, camera[2:3]).face_ids >= 0
        assert np.array_equal(again, body[2])
    # what is there is not made again, and what belongs to no clip any more goes
    before = {path: path.stat().st_mtime_ns for path in made.folder.glob("*.tar")}
    (made.folder / "gone-00000.tar").write_bytes(b"")
    prepare(data, tmp_path / "work", CUT)
    assert {path: path.stat().st_mtime_ns for path in made.folder.glob("*.tar")} == before
    assert prepare(made.folder, tmp_path / "else").folder == made.folder  # prepared already


def test_bad_folders_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        prepare(tmp_path / "missing", tmp_path / "work")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="neither clips nor scenes"):
        prepare(tmp_path / "empty", tmp_path / "work")
    with pytest.raises(UsageError, match="nobody to learn from"):
        prepare(data / "nobody", tmp_path / "work", CUT)
    (tmp_path / "empty" / "broken.mp4").write_bytes(b"no video at all")
    with pytest.raises(UsageError, match="nobody to learn from"):
        prepare(tmp_path / "empty", tmp_path / "work", CUT)
    with pytest.raises(UsageError, match="nobody to learn from"):  # too few frames for pieces of both kinds
        prepare(data / "one", tmp_path / "work", Cut(64, 12, 25.0))
