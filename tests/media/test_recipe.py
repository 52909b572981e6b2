"""A recipe is data: it comes back as it was, nothing in it acts, and its files are found only where told."""

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from diorama.errors import MediaError, UsageError
from diorama.media import recipe as recipes
from diorama.media.recipe import Input, Recipe

RECIPE = Recipe(
    "stereo",
    {"divergence": 2.5, "swap": False, "views": 2, "format": "sbs", "fps": None, "text": "${HOME} {{ 7*7 }} ../x"},
    (Input("clip.mp4", 3, "0" * 64),),
    7,
    "0.1.0",
    {"depth": "embedded"},
)


def document(**changes: object) -> bytes:
    return json.dumps({**json.loads(recipes.to_json(RECIPE)), **changes}).encode()


def test_round_trips() -> None:
    assert recipes.from_json(recipes.to_json(RECIPE)) == RECIPE
    text = recipes.embed_text(RECIPE)
    assert text.startswith("diorama-recipe:{")
    assert "\n" not in text
    assert recipes.from_json(text.removeprefix("diorama-recipe:").encode()) == RECIPE


def test_identity_changes_with_everything() -> None:
    changed = [
        RECIPE,
        replace(RECIPE, seed=8),
        replace(RECIPE, options={**RECIPE.options, "views": 3}),
        replace(RECIPE, inputs=(Input("clip.mp4", 3, "1" * 64),)),
        replace(RECIPE, version="0.2.0"),
        replace(RECIPE, models={}),
    ]
    assert len({item.identity for item in changed}) == len(changed)
    assert replace(RECIPE, options=dict(reversed(list(RECIPE.options.items())))).identity == RECIPE.identity


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b" " * 1_000_001, "over the limit"),
        (b"[]", "expected an object"),
        (b"{}", "diorama_recipe"),
        (document(diorama_recipe=99), "update Diorama"),
        (document(diorama_recipe=True), "diorama_recipe: true or false, expected an integer"),
        (document(extra=1), "extra: unknown key"),
        (document(seed=-1), "seed: -1 is outside"),
        (document(seed=1.5), "seed: a number, expected an integer"),
        (document(seed=10**400), "seed: a number too large"),
        (document(options={"a": [1]}), "options.a: a list"),
        (document(options={"a": {"b": {}}}), "options.a: an object"),
        (document(inputs=[{"name": "a", "bytes": 1}]), r"inputs\[0\].sha256: missing"),
        (document(inputs=[{"name": 1, "bytes": 1, "sha256": "0" * 64}]), r"inputs\[0\].name: an integer"),
        (document(inputs=[{"name": "a", "bytes": 1, "sha256": "Z" * 64}]), r"inputs\[0\].sha256: 'Z"),
        (document(command="a\0b"), "command: a text with NUL"),
        (document(command="\ud800"), "command: a text with NUL or broken"),
        (document(models={"depth": None}), "models.depth: null, expected a text"),
        (document().replace(b"2.5", b"NaN"), "NaN is not a number"),
        (document().replace(b"2.5", b"1e999"), "options.divergence: not a finite number"),
        (document().replace(b'"seed"', b'"command": "x", "seed"'), "given twice"),
        (document().replace(b"2.5", b"1" * 5000), "not valid JSON"),
    ],
)
def test_hostile_documents_are_refused_with_the_dotted_path(data: bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recipes.from_json(data)


def test_nan_is_refused_when_writing() -> None:
    with pytest.raises(UsageError, match=r"options\.x"):
        Recipe("stereo", {"x": float("nan")})


def test_texts_stay_plain() -> None:
    text = recipes.from_json(recipes.to_json(RECIPE)).options["text"]
    assert text == "${HOME} {{ 7*7 }} ../x"


def test_long_recipes_go_to_the_sidecar_only(tmp_path: Path) -> None:
    long = replace(RECIPE, options={"text": "x" * 20_000})
    assert recipes.embed_text(long) == ""
    (tmp_path / "out.mp4").write_bytes(b"x")
    assert recipes.write_sidecar(tmp_path / "out.mp4", long) == tmp_path / "out.mp4.diorama.json"
    assert recipes.read_recipe(tmp_path / "out.mp4") == long
    assert recipes.read_recipe(tmp_path / "out.mp4.diorama.json") == long


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "mov"])
def test_the_container_carries_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out.{suffix}"
    with av.open(str(path), "w") as container:
        container.metadata["comment"] = recipes.embed_text(RECIPE)
        stream = container.add_stream("libvpx-vp9" if suffix == "webm" else "libx264", rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert recipes.read_recipe(path) == RECIPE


def test_files_without_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not media")
    with pytest.raises(MediaError, match="not a recognised"):
        recipes.read_recipe(tmp_path / "text.mp4")
    with pytest.raises(MediaError, match="no such file"):
        recipes.read_recipe(tmp_path / "absent.mp4")


def with_input(folder: Path, name: str = "clip.mp4", content: bytes = b"abc") -> Recipe:
    (folder / name).write_bytes(content)
    return replace(RECIPE, inputs=(Input.of(folder / name),))


def test_inputs_are_found_beside_or_where_told(tmp_path: Path) -> None:
    recipe = with_input(tmp_path)
    assert recipes.resolve_inputs(recipe, tmp_path) == {"clip.mp4": tmp_path / "clip.mp4"}
    (tmp_path / "other").mkdir()
    moved = (tmp_path / "clip.mp4").rename(tmp_path / "other" / "renamed.mp4")
    with pytest.raises(MediaError, match="missing"):
        recipes.resolve_inputs(recipe, tmp_path)
    assert recipes.resolve_inputs(recipe, tmp_path, {"clip.mp4": moved}) == {"clip.mp4": moved}
    with pytest.raises(UsageError, match=r"its inputs: clip\.mp4"):
        recipes.resolve_inputs(recipe, tmp_path, {"film.mp4": moved})


def test_other_contents_are_refused_unless_allowed(tmp_path: Path) -> None:
    recipe = with_input(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"abd")
    with pytest.raises(UsageError, match="content differs"):
        recipes.resolve_inputs(recipe, tmp_path)
    assert recipes.resolve_inputs(recipe, tmp_path, allow_changed=True)


def test_a_folder_of_images_is_an_input(tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    (tmp_path / "shots" / "0.png").write_bytes(b"abc")
    recipe = replace(RECIPE, inputs=(Input.of(tmp_path / "shots"),))
    assert recipes.resolve_inputs(recipe, tmp_path) == {"shots": tmp_path / "shots"}


@pytest.mark.parametrize(
    "name",
    ["../clip.mp4", "/etc/passwd", "a/b", "a\\b", "", ".", "..", "C:x", "nul\0", "NUL", "com1.mp4", "$HOME/x", "~/x"],
)
def test_unsafe_names_resolve_only_by_argument(tmp_path: Path, name: str) -> None:
    (tmp_path / "here").mkdir()
    recipe = replace(with_input(tmp_path), inputs=(replace(with_input(tmp_path).inputs[0], name=name),))
    with pytest.raises(UsageError, match="not a plain file name"):
        recipes.resolve_inputs(recipe, tmp_path / "here")
    assert recipes.resolve_inputs(recipe, tmp_path / "here", {name: tmp_path / "clip.mp4"})


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    recipe = with_input(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "clip.mp4").symlink_to(tmp_path / "clip.mp4")
    with pytest.raises(UsageError, match="link out of"):
        recipes.resolve_inputs(recipe, tmp_path / "here")
