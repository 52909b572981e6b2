"""Sets of the theatre: whole, the same bytes however they are made, and without what a trainer has not."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from diorama.errors import DioramaError, LimitError, UsageError
from diorama.theatre.dataset import RECIPES, DatasetConfig, sample, write_dataset
from diorama.theatre.shards import Sample, read_shard
from diorama.theatre.sheets import COLUMNS, SIDE, colors_of, pictures_of, sheet_of

TINY = {"size": 48, "frames": 3, "views": 4}


@pytest.fixture(scope="module")
def samples() -> dict[str, Sample]:
    return {recipe: sample(DatasetConfig(recipe, **TINY), 1) for recipe in RECIPES}


def test_what_a_clip_stores(samples: dict[str, Sample]) -> None:
    for recipe, views in (("person", 1), ("scene", 1), ("stereo", 2)):
        found = samples[recipe]
        a, note = found.arrays, found.note
        actors = sum(layer["role"] == "actor" for layer in note["layers"])
        assert a["image"].shape == a["background"].shape == (views, 3, 48, 48, 3)
        assert a["depth"].shape == a["owner"].shape == a["parts"].shape == (views, 3, 48, 48)
        assert a["flow"].shape == (views, 3, 48, 48, 2)
        assert a["codes"].shape == (views, 3, actors, 48, 48, 3)
        assert a["alphas"].shape == (views, 3, len(note["layers"]) - 1, 48, 6)
        assert a["joints_world"].shape == (actors, 3, len(note["joint_names"]), 3)
        assert a["joints_visibility"].shape == (views, actors, 3, len(note["joint_names"]))
        assert a["viewmats"].shape == (views, 3, 4, 4)
        assert a["canonical_front"].shape == a["canonical_back"].shape == (actors, 48, 48, 3)
        assert a["part_centers"].shape == (actors, len(note["part_names"]), 3)
        alphas = np.unpackbits(a["alphas"], axis=-1).astype(bool)
        for number in range(1, len(note["layers"])):
            assert (alphas[:, :, number - 1] | (a["owner"] != number)).all()
    assert samples["scene"].arrays["layers"].shape[2] == len(samples["scene"].note["layers"]) - 1
    depth, disparity = (samples["stereo"].arrays[name] for name in ("depth", "disparity"))
    seen = np.isfinite(depth[0])
    assert np.allclose(disparity[seen] * depth[0][seen] / np.median(disparity[seen] * depth[0][seen]), 1, atol=0.01)
    assert len([layer for layer in samples["person"].note["layers"] if layer["role"] == "actor"]) == 1


def test_parts_keep_their_colours(samples: dict[str, Sample]) -> None:
    found = samples["parts"]
    parts = found.arrays["parts"]
    assert parts.shape == (4, 3, 48, 48)
    colors = colors_of(found, 0)
    assert len(colors) == len(found.note["part_names"]) > parts.max()
    turned = colors_of(found, 2)
    assert not np.array_equal(colors, turned)  # of another input view


def test_the_same_bytes_however_they_are_made(tmp_path: Path) -> None:
    config = DatasetConfig("person", **TINY)
    one = write_dataset(tmp_path / "a", 5, config)
    both = write_dataset(tmp_path / "b", 5, config, workers=2)
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in both]
    one[1].unlink()
    kept = one[0].stat().st_mtime_ns
    again = write_dataset(tmp_path / "a", 5, config)
    assert again[0].stat().st_mtime_ns == kept
    assert again[1].read_bytes() == both[1].read_bytes()
    with pytest.raises(UsageError, match="another recipe"):
        write_dataset(tmp_path / "a", 5, DatasetConfig("person", **TINY, seed=1))
    assert [key for key, _ in read_shard(one[0])] == ["000000", "000001", "000002", "000003"]


def test_a_stopped_run_binds_nobody(tmp_path: Path) -> None:
    (tmp_path / "person.json").write_text("{")
    (tmp_path / ".person-00000.tar.partial-999999999").write_bytes(b"")
    paths = write_dataset(tmp_path, 1, DatasetConfig("person", **TINY))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["person-00000.tar", "person.json"]
    assert [key for key, _ in read_shard(str(paths[0]))] == ["000000"]


def test_samples_differ(samples: dict[str, Sample]) -> None:
    other = sample(DatasetConfig("person", **TINY), 2)
    assert not np.array_equal(other.arrays["image"], samples["person"].arrays["image"])
    assert other.note["seed"] != samples["person"].note["seed"]


def test_sheets(samples: dict[str, Sample], tmp_path: Path) -> None:
    for recipe in RECIPES:
        pictures = pictures_of(samples[recipe])
        assert 8 <= len(pictures) <= COLUMNS
        assert all(picture.dtype == np.uint8 and picture.shape[2] == 3 for picture in pictures)
    write_dataset(tmp_path, 2, DatasetConfig("parts", **TINY))
    sheet = sheet_of(tmp_path)
    assert sheet.shape[0] > 2 * SIDE
    assert sheet.shape[1] > COLUMNS * SIDE
    with pytest.raises(DioramaError, match="no shards"):
        sheet_of(tmp_path / "nowhere")
    (tmp_path / "zz.tar").write_bytes(b"no tar")
    with pytest.raises(DioramaError, match="no whole shard"):
        sheet_of(tmp_path)


BAD = [{"size": 3}, {"frames": 0}, {"views": 0}, {"fps": 0.0}, {"seed": -1}, {"size": 4096, "frames": 2000}]


@pytest.mark.parametrize("change", BAD)
def test_bad_configurations(change: dict[str, object]) -> None:
    with pytest.raises((UsageError, LimitError)):
        DatasetConfig(**change)  # type: ignore[arg-type]


def test_a_trainer_needs_no_video_no_pictures_and_no_command_line() -> None:
    """The accelerator has torch, numba, numpy and safetensors; the types are jaxtyping's."""
    code = (
        "import sys\n"
        "for name in ('av', 'cv2', 'PIL', 'tyro', 'beartype', 'anny', 'skimage', 'scipy', 'rich'):\n"
        "    sys.modules[name] = None\n"
        "from diorama.theatre.dataset import DatasetConfig, sample\n"
        f"print(sorted(sample(DatasetConfig('person', **{TINY!r}), 0).arrays)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "Ks", done.stderr
