"""What ``--depth`` resolves to."""

from pathlib import Path

import numpy as np
import pytest

from diorama.core.video import Video
from diorama.errors import DioramaError, MediaError, ModelError, UsageError
from diorama.perception.answers import DepthOptions, check, resolve
from diorama.perception.depth_file import FileDepth
from diorama.perception.depth_hub import HubDepth


def test_files_and_folders_win_over_names(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.zeros((1, 4, 4), np.float32))
    assert isinstance(resolve(tmp_path / "d.npy", tmp_path), FileDepth)
    assert isinstance(resolve(str(tmp_path), tmp_path), FileDepth)
    (tmp_path / "config.json").write_text("{}")
    assert isinstance(resolve(str(tmp_path), tmp_path), HubDepth)


def test_names_are_networks(tmp_path: Path) -> None:
    for name in ("depth-anything-v2-small", "depth-pro", "somebody/something-hf"):
        found = resolve(name, tmp_path, DepthOptions(device="cpu", threads=2))
        assert isinstance(found, HubDepth)
        assert (found.model, found.device, found.threads) == (name, "cpu", 2)


@pytest.mark.parametrize(
    ("choice", "error", "says"),
    [
        ("depht-pro", ModelError, "did you mean depth-pro.*embedded"),
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
