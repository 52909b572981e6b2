"""What ``--depth`` resolves to."""

from pathlib import Path

import numpy as np
import pytest

from diorama import catalog
from diorama.core.video import Video
from diorama.errors import DioramaError, LimitError, MediaError, ModelError, UsageError
from diorama.media.safe import Limits
from diorama.perception.answers import DepthOptions, check, provenance, resolve
from diorama.perception.base import DepthEstimator, Tracked
from diorama.perception.depth import EmbeddedDepth
from diorama.perception.depth_file import FileDepth
from diorama.perception.depth_hub import HubDepth
from diorama.perception.people import MediapipePeople, people_available


def test_files_and_folders_win_over_names(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.zeros((1, 4, 4), np.float32))
    assert isinstance(resolve(tmp_path / "d.npy", tmp_path), FileDepth)
    assert isinstance(resolve(str(tmp_path), tmp_path), FileDepth)
    (tmp_path / "config.json").write_text("{}")
    assert isinstance(resolve(str(tmp_path), tmp_path), HubDepth)


def test_hub_is_the_default_network_unless_a_file_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = resolve("hub", tmp_path)
    assert isinstance(found, HubDepth)
    assert found.model == catalog.DEFAULT_DEPTH
    (tmp_path / "hub").mkdir()
    assert isinstance(resolve("hub", tmp_path), FileDepth)


def test_names_are_networks(tmp_path: Path) -> None:
    for name in ("depth-anything-v2-small", "depth-pro", "somebody/something-hf"):
        found = resolve(name, tmp_path, DepthOptions(device="cpu"))
        assert isinstance(found, HubDepth)
        assert (found.model, found.device) == (name, "cpu")


@pytest.mark.parametrize(
    ("choice", "error", "says"),
    [
        ("depht-pro", ModelError, r"did you mean depth-pro.*embedded, hub \(the same as depth-anything-v2-small\)"),
        ("missing.npy", MediaError, "missing.npy"),
        ("folder/missing.npy", MediaError, "missing.npy"),
        ("a/b/c", MediaError, "a/b/c"),
        ("http://x/y.npy", UsageError, "only local files"),
    ],
)
def test_what_is_neither_gets_one_clear_line(choice: str, error: type[DioramaError], says: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=says):
        resolve(choice, tmp_path)


def test_a_file_is_checked_against_the_clip(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.zeros((1, 4, 4), np.float32))
    notes: list[str] = []
    estimator = resolve(tmp_path / "d.npy", tmp_path, note=notes.append)
    check(estimator, Video.from_array(np.zeros((1, 8, 8, 3), np.uint8)))
    assert "same everywhere" in notes[0]
    with pytest.raises(UsageError, match="expected 2"):
        check(estimator, Video.from_array(np.zeros((2, 8, 8, 3), np.uint8)))


def test_the_pixel_budget_reaches_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.zeros((1, 4, 4), np.float32))
    estimator = resolve(tmp_path / "d.npy", tmp_path, DepthOptions(limits=Limits(frame_pixels=15)))
    with pytest.raises(LimitError, match="4x4"):
        check(estimator, Video.from_array(np.zeros((1, 8, 8, 3), np.uint8)))


class Person:
    """Finds nobody, and remembers being closed."""

    name = "person"
    closed = 0

    def __call__(self, tracked: Tracked) -> np.ndarray | None:
        return None

    def close(self) -> None:
        self.closed += 1


def test_whoever_answers_may_be_closed_and_stays_a_depth_estimator(tmp_path: Path) -> None:
    person = Person()
    answers = (EmbeddedDepth(person), EmbeddedDepth(), FileDepth(tmp_path), HubDepth(tmp_path, tmp_path))
    for estimator in answers:
        assert isinstance(estimator, DepthEstimator)
        close = getattr(estimator, "close", None)
        if close is not None:
            close()
    assert person.closed == 1


def test_the_recipe_is_told_who_answers(tmp_path: Path) -> None:
    assert provenance(EmbeddedDepth()) == {"depth": "embedded", "people": "none"}
    assert provenance(EmbeddedDepth(Person())) == {"depth": "embedded", "people": "person"}
    assert provenance(FileDepth(tmp_path)) == {"depth": "file"}
    if people_available():
        assert provenance(EmbeddedDepth(MediapipePeople()))["people"] == "mediapipe-0.10.14"


def network(folder: Path, weights: bytes) -> HubDepth:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "dpt"}')
    (folder / "model.safetensors").write_bytes(weights)
    return HubDepth(folder, folder.parent)


def test_a_network_is_known_by_its_content_wherever_it_lies(tmp_path: Path) -> None:
    here, there, other = (
        network(tmp_path / place / "dpt", data) for place, data in (("a", b"1"), ("b", b"1"), ("c", b"2"))
    )
    told = provenance(here)
    assert told["depth"] == "dpt"
    assert len(told["depth_sha"]) == 64
    assert provenance(there) == told
    assert provenance(other)["depth_sha"] != told["depth_sha"]
