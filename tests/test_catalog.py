"""The table of weights: names, licences, the download cache; nothing is loaded or fetched."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from diorama import catalog
from diorama.errors import ModelError


def test_names_are_unique_and_every_entry_says_what_the_user_must_know() -> None:
    assert len(set(catalog.names())) == len(catalog.WEIGHTS)
    for weights in catalog.WEIGHTS:
        assert weights.source.count("/") == 1
        assert weights.megabytes > 0
        assert set(weights.sha256) <= set(weights.files)
        assert weights.licence in weights.terms
        assert ("unverified" in weights.terms) == (not weights.sha256)


def test_the_default_depth_may_be_used_for_anything_and_its_larger_siblings_say_that_they_may_not() -> None:
    assert catalog.find(catalog.DEFAULT_DEPTH).licence == "Apache-2.0"
    assert catalog.find(catalog.DEFAULT_DEPTH).commercial
    for size in ("base", "large"):
        weights = catalog.find(f"depth-anything-v2-{size}")
        assert weights.licence == "CC-BY-NC-4.0"
        assert not weights.commercial


def test_an_unknown_name_lists_the_known_ones_and_guesses() -> None:
    with pytest.raises(ModelError) as caught:
        catalog.find("depth-anything-v2-smal")
    assert caught.value.exit_code == 6
    assert "did you mean depth-anything-v2-small?" in str(caught.value)
    assert all(name in str(caught.value) for name in catalog.names())


def test_entries_are_found_by_their_source() -> None:
    weights = catalog.find("dpt")
    assert catalog.by_source(weights.source) is weights
    assert catalog.by_source("nobody/nothing") is None


def test_the_cache_folder_follows_the_hubs_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert catalog.cache_folder() == Path("~/.cache/huggingface/hub").expanduser()
    monkeypatch.setenv("XDG_CACHE_HOME", "a")
    assert catalog.cache_folder() == Path("a/huggingface/hub")
    monkeypatch.setenv("HF_HOME", "b")
    assert catalog.cache_folder() == Path("b/hub")
    monkeypatch.setenv("HF_HUB_CACHE", "c")
    assert catalog.cache_folder() == Path("c")


def test_models_found_are_the_complete_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert catalog.models_found() == []
    small, base = catalog.find("depth-anything-v2-small"), catalog.find("depth-anything-v2-base")
    for weights, files in ((small, small.files), (base, base.files[:1])):
        snapshot = tmp_path / f"models--{weights.source.replace('/', '--')}" / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        for name in files:
            (snapshot / name).write_bytes(b"{}")
    assert [(weights.name, path.name) for weights, path in catalog.models_found()] == [(small.name, "abc")]


def test_the_catalogue_and_the_answers_load_no_framework() -> None:
    code = (
        "import sys, diorama.catalog, diorama.perception.answers as a;"
        "print(sorted({'torch', 'transformers', 'mediapipe', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("weights", catalog.EMBEDDED, ids=lambda w: w.name)
def test_what_ships_is_what_the_catalogue_says_and_has_a_card(weights: catalog.Weights) -> None:
    folder = catalog.folder_of(weights)
    assert folder is not None
    for name, sha256 in weights.sha256.items():
        data = (folder / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == sha256
        assert len(data) <= 16 * 2**20
        assert abs(len(data) / 1e6 - weights.megabytes) < 1
    card = catalog.card_of(weights)
    assert card is not None
    for word in ("data", "steps", "scores", "licence"):
        assert word.lower() in card.read_text().lower(), word


def test_weights_that_ship_stay_small() -> None:
    package = Path(catalog.__file__).parent
    assert sum(path.stat().st_size for path in package.rglob("*.safetensors")) <= 35_000_000
