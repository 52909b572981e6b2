"""A stored scene comes back bit for bit, appears whole or not at all, and hostile folders are refused."""

import json
import shutil
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from diorama.core.layers import Layer, LayerDepth, LayeredVideo, Maps
from diorama.core.video import ColorTags, Video
from diorama.errors import DamagedMediaError, DioramaError, LimitError, MediaError, UsageError
from diorama.media.masks import open_maps, write_maps
from diorama.media.patches import TILE, patched, write_patches
from diorama.media.read import open_video
from diorama.media.recipe import Input, Recipe
from diorama.media.store import read_manifest, read_scene, write_scene

FRAMES, HEIGHT, WIDTH = 7, 90, 150
SHAPE = (FRAMES, HEIGHT, WIDTH)
PROVENANCE = Recipe("stereo", {"divergence": 2.5}, (Input("clip.mp4", 3, "0" * 64),), 7, "0.1.0", {"depth": "embedded"})


def noise(seed: int, dtype: type = np.uint8, shape: tuple[int, ...] = (*SHAPE, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    ramp = np.linspace(0, 255, WIDTH, dtype=np.uint8)[None, :, None] * np.ones((HEIGHT, 1, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "3"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for i in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(ramp, 9 * i, axis=1), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def scene_of(clip: Path) -> LayeredVideo:
    """Background with a filled-in place, person as in the source with noisy coverage and depth."""
    source = open_video(clip)
    filled = source.stack()
    filled[2:5, 40:70, 100:150] = noise(0, shape=(3, 30, 50, 3))
    clock = {"fps": source.fps, "color": source.color}
    depth = LayerDepth(Maps.from_array(noise(1, np.uint16, SHAPE)), scale=0.25 / 65535, offset=0.1)
    return LayeredVideo(
        (
            Layer("background", Video.from_array(filled, **clock), None, depth),
            Layer("person", source, Maps.from_array(noise(2, np.uint8, SHAPE))),
        )
    )


def assert_same(made: LayeredVideo, given: LayeredVideo) -> None:
    assert len(made.layers) == len(given.layers)
    for a, b in zip(made.layers, given.layers, strict=True):
        assert a.name == b.name
        assert np.array_equal(a.color.stack(), b.color.stack())
        assert (a.alpha is None) == (b.alpha is None)
        assert a.alpha is None or np.array_equal(np.stack(list(a.alpha)), np.stack(list(b.alpha)))
        assert (a.depth is None) == (b.depth is None)
        if a.depth is not None:
            assert (a.depth.scale, a.depth.offset) == (b.depth.scale, b.depth.offset)
            assert np.array_equal(np.stack(list(a.depth.codes)), np.stack(list(b.depth.codes)))


@pytest.fixture
def stored(tmp_path: Path, clip: Path) -> Path:
    write_scene(tmp_path / "scene", scene_of(clip), source=clip, provenance=PROVENANCE)
    return tmp_path / "scene"


def test_every_bit_comes_back(stored: Path, clip: Path) -> None:
    made, given = read_scene(stored), scene_of(clip)
    assert_same(made, given)
    assert np.array_equal(made.composite().stack(), given.composite().stack())
    assert np.array_equal(made.pts, given.pts)
    assert made.time_base == given.time_base
    assert made.layers[0].color.color == given.layers[0].color.color
    assert_same(made[3:5], given[3:5])
    assert_same(made[6:], given[6:])


def test_the_source_is_stored_once_and_only_changes_besides(stored: Path, clip: Path) -> None:
    assert (stored / "source.mp4").read_bytes() == clip.read_bytes()
    names = sorted(item.name for item in stored.iterdir())
    assert names == ["clock.npy", "layer0-depth.mkv", "layer0.patches", "layer1-alpha.mkv", "scene.json", "source.mp4"]
    assert (stored / "layer0.patches").stat().st_size < 3 * 4 * TILE * TILE * 3.2  # 3 frames, at most 4 tiles each


def test_provenance_and_schema(stored: Path) -> None:
    manifest = read_manifest(stored)
    assert manifest.provenance == PROVENANCE
    assert json.loads((stored / "scene.json").read_text())["diorama_scene"] == 2
    assert set(manifest.files) == {item.name for item in stored.iterdir()} - {"scene.json"}


def test_a_window_of_the_source(tmp_path: Path, clip: Path) -> None:
    given = scene_of(clip)[2:6]
    write_scene(tmp_path / "scene", given, source=clip, source_start=2)
    made = read_scene(tmp_path / "scene")
    assert_same(made, given)
    assert np.array_equal(made.pts, given.pts)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_scenes_without_a_source(tmp_path: Path, dtype: type) -> None:
    video = Video.from_array(noise(0, dtype), fps=Fraction(30000, 1001), color=ColorTags(9, 16, 9))
    given = LayeredVideo((Layer("only", video, Maps.from_array(noise(1, dtype, SHAPE))),))
    write_scene(tmp_path / "scene", given)
    made = read_scene(tmp_path / "scene")
    assert_same(made, given)
    assert made.layers[0].color.color == ColorTags(9, 16, 9)
    assert made.layers[0].color.bits == video.bits


def test_nothing_is_left_of_a_scene_that_failed(tmp_path: Path, clip: Path) -> None:
    broken = LayeredVideo((Layer("a", Video.from_array(noise(0)[:, :80])),))
    with pytest.raises(UsageError, match="not those of the scene"):
        write_scene(tmp_path / "scene", broken, source=clip)
    assert list(tmp_path.iterdir()) == []


def test_overwriting_is_asked_for_and_whole(stored: Path, clip: Path) -> None:
    before = (stored / "scene.json").read_bytes()
    with pytest.raises(UsageError, match="exists"):
        write_scene(stored, scene_of(clip))
    broken = LayeredVideo((Layer("a", Video.from_array(noise(0)[:, :80])),))
    with pytest.raises(UsageError, match="not those of the scene"):
        write_scene(stored, broken, source=clip, overwrite=True)
    assert (stored / "scene.json").read_bytes() == before
    write_scene(stored, LayeredVideo((Layer("only", Video.from_array(noise(0))),)), overwrite=True)
    assert [layer.name for layer in read_scene(stored).layers] == ["only"]
    assert [item.name for item in stored.parent.iterdir()] == ["scene"]


def edited(stored: Path, change: Callable[[dict[str, Any]], None]) -> None:
    table = json.loads((stored / "scene.json").read_text())
    change(table)
    (stored / "scene.json").write_text(json.dumps(table))


def put(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def change(table: Any) -> None:
        for key in path[:-1]:
            table = table[key]
        table[path[-1]] = value

    return change


def named(name: str) -> Callable[[dict[str, Any]], None]:
    """Make the manifest list, and the scene use, a file of this name."""

    def change(table: dict[str, Any]) -> None:
        table["files"][name] = table["files"].pop("source.mp4")
        table["source"] = name

    return change


@pytest.mark.parametrize(
    ("change", "message", "error"),
    [
        (put("diorama_scene", value=3), "update Diorama", MediaError),
        (put("frames", value="7"), "frames: a text, expected an integer", MediaError),
        (put("frames", value=0), "frames: 0 is outside", MediaError),
        (put("frames", value=8), "does not fit the manifest", DamagedMediaError),
        (put("height", value=1_000_000), "over the limit", LimitError),
        (put("time_base", value=[1, 0]), r"time_base\[1\]: 0 is outside", MediaError),
        (put("layers", value=[]), "layers: no layers", MediaError),
        (put("layers", 1, "name", value="background"), "two of one name", MediaError),
        (put("layers", 0, "depth", "scale", value="big"), r"layers\[0\].depth.scale: a text", MediaError),
        (
            put("layers", 0, "alpha", value="elsewhere.mkv"),
            r"layers\[0\].alpha: 'elsewhere.mkv' is not among",
            MediaError,
        ),
        (put("layers", 0, "surprise", value=1), r"layers\[0\].surprise: unknown key", MediaError),
        (put("source", value="../clip.mp4"), "source: '../clip.mp4' is not among files", MediaError),
        (named("../clip.mp4"), "paths out of the folder", MediaError),
        (named("/etc/passwd"), "paths out of the folder", MediaError),
        (named("a\\b"), "paths out of the folder", MediaError),
        (named("scene.json"), "paths out of the folder", MediaError),
        (put("provenance", "seed", value=None), "provenance.seed: null", MediaError),
        (put("files", "clock.npy", "sha256", value="0" * 64), "content is not what was stored", DamagedMediaError),
        (put("files", "clock.npy", "bytes", value=1), "expected 1", DamagedMediaError),
        (put("clock", value="source.mp4"), "not a clock", DamagedMediaError),
        (put("layers", 1, "alpha_bits", value=16), "expected 16 bits", DamagedMediaError),
        (put("layers", 1, "alpha", value="layer0-depth.mkv"), "expected 8 bits", DamagedMediaError),
        (put("layers", 1, "alpha", value="source.mp4"), "one FFV1 stream", DamagedMediaError),
        (put("layers", 0, "patches", value="source.mp4"), "impossible record", DamagedMediaError),
    ],
)
def test_hostile_manifests(
    stored: Path, change: Callable[[dict[str, Any]], None], message: str, error: type[DioramaError]
) -> None:
    (stored.parent / "clip.mp4").write_bytes((stored / "source.mp4").read_bytes())
    edited(stored, change)
    with pytest.raises(error, match=message):
        read_scene(stored).composite().stack()


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 50_000, b" " * 4_000_001, b'{"a": NaN}', b"\x00\xff"])
def test_what_is_no_manifest(stored: Path, data: bytes) -> None:
    (stored / "scene.json").write_bytes(data)
    with pytest.raises(MediaError):
        read_scene(stored)


def test_missing_and_linked_files(stored: Path, tmp_path: Path) -> None:
    shutil.move(stored / "source.mp4", tmp_path / "outside.mp4")
    with pytest.raises(DamagedMediaError, match="missing"):
        read_scene(stored)
    (stored / "source.mp4").symlink_to(tmp_path / "outside.mp4")
    with pytest.raises(DamagedMediaError, match="link"):
        read_scene(stored)
    (stored / "source.mp4").unlink()
    shutil.move(stored / "scene.json", tmp_path / "scene2.json")
    (stored / "scene.json").symlink_to(tmp_path / "scene2.json")
    with pytest.raises(MediaError, match="link"):
        read_scene(stored)
    with pytest.raises(MediaError, match="no such scene"):
        read_scene(tmp_path / "nowhere")


def test_clocks_with_a_hostile_header(stored: Path) -> None:
    for header in (b"{'descr': (", b"{'descr': '<i8', 'fortran_order': False, 'shape': (2, 99999999999999999999)}"):
        data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
        (stored / "clock.npy").write_bytes(data)
        edited(stored, put("files", "clock.npy", "bytes", value=len(data)))
        with pytest.raises(DamagedMediaError, match="not a clock"):
            read_scene(stored, verify=False)


def test_flipped_bits_are_found(stored: Path) -> None:
    path = stored / "layer1-alpha.mkv"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(DamagedMediaError, match="content is not"):
        read_scene(stored)


def test_truncated_maps_are_found_without_hashes(stored: Path) -> None:
    path = stored / "layer1-alpha.mkv"
    data = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(data)
    edited(stored, put("files", path.name, "bytes", value=len(data)))
    with pytest.raises(DamagedMediaError):
        read_scene(stored, verify=False).composite().stack()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_maps_are_lossless_from_any_frame_on(tmp_path: Path, dtype: type) -> None:
    bits = np.iinfo(dtype).bits
    values = noise(0, dtype, (40, 33, 47))
    assert write_maps(tmp_path / "a.mkv", values, height=33, width=47, bits=bits) == 40
    maps = open_maps(tmp_path / "a.mkv", length=40, height=33, width=47, bits=bits)
    assert np.array_equal(np.stack(list(maps)), values)
    for start, stop in ((0, 1), (17, 23), (39, 40)):
        assert np.array_equal(np.stack(list(maps[start:stop])), values[start:stop])


def test_maps_that_are_too_short_or_of_another_size(tmp_path: Path) -> None:
    write_maps(tmp_path / "a.mkv", noise(0, np.uint8, (3, 20, 20)), height=20, width=20, bits=8)
    for frames, height, message in ((4, 20, "ends at frame 3"), (3, 40, "20x20, expected 20x40")):
        with pytest.raises(DamagedMediaError, match=message):
            list(open_maps(tmp_path / "a.mkv", length=frames, height=height, width=20, bits=8))


def tiles_written(tmp_path: Path, dtype: type = np.uint8) -> tuple[Path, Video, np.ndarray]:
    base, wanted = noise(0, dtype), noise(0, dtype)
    wanted[1, 0, 0] ^= 1
    wanted[4, 60:70, 140:] = 7
    wanted[6] = 0
    path = tmp_path / "a.patches"
    assert write_patches(path, zip(base, wanted, strict=True)) == 3
    return path, Video.from_array(base), wanted


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_patches_undo_the_difference(tmp_path: Path, dtype: type) -> None:
    path, base, wanted = tiles_written(tmp_path, dtype)
    for start in range(FRAMES):
        assert np.array_equal(np.stack(list(patched(path, base[start:], start))), wanted[start:])


def test_damaged_patches(tmp_path: Path) -> None:
    path, base, _ = tiles_written(tmp_path)
    good = path.read_bytes()
    index, count, size = struct.unpack_from("<III", good)
    for bad in (
        good[:-1],
        good[:7],
        good[: 12 + 2],
        struct.pack("<III", 1, 2**32 - 1, 10) + good[12:],
        struct.pack("<III", 1, 0, 10) + good[12:],
        struct.pack("<III", 1, count, 2**31) + good[12:],
        good[:12] + struct.pack("<I", 9999) + good[16:],
        good[:12] + struct.pack("<I", 0) + b"not a picture" + good[29:],
        good[: 12 + 4 + 16] + struct.pack(">II", 64, 60_000) + good[12 + 4 + 24 :],
        good[: 12 + 4 + size] + good,
    ):
        path.write_bytes(bad)
        with pytest.raises(DamagedMediaError):
            list(patched(path, base, 0))
    assert index == 1
