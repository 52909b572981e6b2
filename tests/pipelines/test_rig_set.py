"""Kinematic parts from folders of models: good ones filmed, bad ones named with their reason."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diorama.core.figure import Motion
from diorama.core.mesh import Mesh
from diorama.errors import UsageError
from diorama.media.mesh import write_glb
from diorama.pipelines import rig_set
from diorama.pipelines.rig_set import RigSetConfig, write_rigs
from diorama.theatre.menagerie import random_creature, random_motion
from diorama.theatre.shards import read_shard
from diorama.theatre.sheets import pictures_of
from diorama.theatre.turntable import Turntable, film

SMALL = RigSetConfig(size=48, views=4, frames=4)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    (folder / "deep").mkdir()
    for seed, family in enumerate(("biped", "insect")):
        rng = np.random.default_rng(seed)
        creature = random_creature(rng, family)
        write_glb(folder / "deep" / f"{family}.glb", creature.figure, {"move": random_motion(rng, creature)})
    (folder / "twin.glb").write_bytes((folder / "deep/biped.glb").read_bytes())
    rng = np.random.default_rng(5)
    creature = random_creature(rng, "robot")
    write_glb(folder / "unmoved.glb", creature.figure)
    still = np.tile(np.float32([1, 0, 0, 0]), (3, len(creature.figure.skeleton), 1))
    rest = Motion(creature.figure.skeleton, still, np.zeros((3, 3), np.float32), 12.0)
    write_glb(folder / "still.glb", creature.figure, {"rest": rest})
    write_glb(folder / "stone.glb", Mesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32)))
    (folder / "broken.glb").write_bytes((folder / "still.glb").read_bytes()[:500])
    (folder / "text.gltf").write_text("hello")
    (folder / "readme.txt").write_text("not a model")
    return folder


def test_good_models_are_filmed_and_bad_ones_named(models: Path, tmp_path: Path) -> None:
    done = write_rigs(models, tmp_path, SMALL)
    assert len(done.shards) == 2
    reasons = dict(done.skipped)
    assert set(reasons) == {"twin.glb", "unmoved.glb", "still.glb", "stone.glb", "broken.glb", "text.gltf"}
    assert "same object" in reasons["twin.glb"]
    assert "no animation" in reasons["unmoved.glb"]
    assert "no skin" in reasons["stone.glb"]
    listed = [json.loads(line) for line in (tmp_path / "skipped.jsonl").read_text().splitlines()]
    assert {entry["file"]: entry["reason"] for entry in listed} == reasons
    for path in done.shards:
        ((_, sample),) = list(read_shard(path))
        assert sample.arrays["image"].shape == (4, 4, 48, 48, 3)
        parts = len(sample.note["part_names"])
        assert parts >= 3
        assert sample.arrays["parts"].max() < parts
        assert (sample.arrays["part_parents"] < 0).sum() == 1
        assert set(sample.note["merged"].values()) == set(sample.note["part_names"])
        assert len(pictures_of(sample)) == 10


def test_a_second_run_makes_nothing_again(models: Path, tmp_path: Path) -> None:
    first = write_rigs(models, tmp_path, SMALL)
    dates = [path.stat().st_mtime_ns for path in first.shards]
    second = write_rigs(models, tmp_path, SMALL)
    assert [path.stat().st_mtime_ns for path in second.shards] == dates
    assert second.skipped == first.skipped


def test_a_model_that_cannot_be_drawn_is_named_too_and_another_set_is_not_touched(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def draw(*given: Any, **options: Any) -> Turntable:
        drawn.append(1)
        if len(drawn) == 1:
            raise UsageError("the motion leads to numbers that are not finite", "film")
        return film(*given, **options)

    monkeypatch.setattr(rig_set, "film", draw)
    done = write_rigs(models / "deep", tmp_path, SMALL)
    assert (len(drawn), len(done.shards)) == (2, 1)
    assert done.skipped == [("biped.glb", "the motion leads to numbers that are not finite")]
    before = (tmp_path / "skipped.jsonl").read_bytes()
    with pytest.raises(UsageError, match="another recipe"):
        write_rigs(models / "deep", tmp_path, replace(SMALL, size=32))
    assert (tmp_path / "skipped.jsonl").read_bytes() == before


def test_bad_folders_and_options(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        write_rigs(tmp_path / "gone", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no \.glb"):
        write_rigs(tmp_path / "empty", tmp_path / "out")
    for change in ({"size": 1}, {"views": 0}, {"frames": 1}):
        with pytest.raises(UsageError, match="pixels"):
            replace(SMALL, **change)
    assert not (tmp_path / "out").exists()
