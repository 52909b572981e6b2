"""Moving scenes: every bit of a scene4d file comes back, hostile ones are refused; sequences are written whole."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from diorama.core.camera import Cameras
from diorama.core.gaussians import Gaussians, MovingGaussians
from diorama.core.rotations import normalize
from diorama.errors import DamagedMediaError, DioramaError, LimitError, MediaError, UsageError
from diorama.media.splat import (
    Scene4d,
    SplatSequence,
    read_scene4d,
    read_splat_sequence,
    read_splats,
    scene4d,
    sequence,
    write_scene4d,
    write_splat_ply,
    write_splat_sequence,
)

Change = Callable[[dict[str, np.ndarray], dict[str, Any]], object]


def moving(count: int = 6, seed: int = 0, presence: bool = True) -> MovingGaussians:
    rng = np.random.default_rng(seed)
    shares = rng.random((count, 4)).astype(np.float32)
    quats, scales = normalize(rng.normal(size=(count, 4))).astype(np.float32), rng.random((count, 3)) + 0.1
    rest = Gaussians(
        rng.normal(size=(count, 3)).astype(np.float32), quats, scales.astype(np.float32), shares[:, 3], shares[:, :3]
    )
    turns = normalize(rng.normal(size=(4, 3, 4)) * 0.1 + [1, 0, 0, 0]).astype(np.float32)
    weights = rng.random((count, 2)).astype(np.float32)
    there = np.stack([rng.random(count), np.where(rng.random(count) < 0.5, np.inf, 0.4)], axis=1).astype(np.float32)
    return MovingGaussians(
        rest,
        np.array([0, 0.5, 1, 2], np.float32),
        rng.normal(size=(3, 3)).astype(np.float32),
        rng.normal(size=(4, 3, 3)).astype(np.float32),
        turns,
        rng.integers(0, 3, (count, 2), np.int32),
        weights / weights.sum(axis=1, keepdims=True),
        there if presence else None,
    )


def cameras() -> Cameras:
    viewmats = np.tile(np.eye(4), (3, 1, 1))
    viewmats[:, 0, 3] = 0, 0.1, -0.1
    return Cameras(viewmats, np.tile(np.array([[90.0, 0, 48], [0, 90, 27], [0, 0, 1]]), (3, 1, 1)), 54, 96)


@pytest.mark.parametrize("full", [True, False])
def test_every_bit_comes_back(full: bool, tmp_path: Path) -> None:
    scene = Scene4d(moving(presence=full), cameras() if full else None, 30000 / 1001 if full else None)
    path = tmp_path / f"a{scene4d.ENDING}"
    write_scene4d(path, scene)
    back = read_splats(path)
    assert isinstance(back, Scene4d)
    assert back.fps == scene.fps
    for name in ("times", "nodes", "shifts", "turns", "links", "weights"):
        assert getattr(back.moving, name).tobytes() == getattr(scene.moving, name).tobytes(), name
    for name in ("means", "quats", "scales", "opacities", "colors"):
        assert np.array_equal(getattr(back.moving.rest, name), getattr(scene.moving.rest, name)), name
    if full:
        assert back.cameras is not None
        assert np.array_equal(back.moving.presence, scene.moving.presence)
        assert np.array_equal(back.cameras.viewmats, cameras().viewmats)
        assert (back.cameras.height, back.cameras.width) == (54, 96)
    else:
        assert back.cameras is back.moving.presence is None
    first = path.read_bytes()
    write_scene4d(path, back)
    assert path.read_bytes() == first


def stored(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and note of a sound file."""
    write_scene4d(path, Scene4d(moving(), cameras(), 25.0))
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    head = json.loads(data[8 : 8 + length])
    note = json.loads(head.pop("__metadata__")["scene4d"])
    types = {"F32": np.float32, "F64": np.float64, "I32": np.int32}
    arrays = {
        name: np.frombuffer(data[8 + length :][slice(*entry["data_offsets"])], types[entry["dtype"]])
        .reshape(entry["shape"])
        .copy()
        for name, entry in head.items()
    }
    return arrays, note


def poke(name: str, value: float, where: Any = (0, 0)) -> Change:
    return lambda arrays, note: arrays[name].__setitem__(where, value)


def put(name: str, make: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda arrays, note: arrays.update({name: make(arrays[name])})


def _flipped(turns: np.ndarray) -> np.ndarray:
    return turns * np.array([1, 1, -1, -1], np.float32)[:, None, None]


BROKEN: dict[str, tuple[Change, type[DioramaError], str]] = {
    "NaN place": (poke("rest.means", np.nan), DamagedMediaError, "not finite"),
    "NaN colour": (poke("rest.colors", np.nan), DamagedMediaError, "not finite"),
    "NaN key": (poke("shifts", np.nan), DamagedMediaError, "not finite"),
    "NaN turn": (poke("turns", np.nan), DamagedMediaError, "not finite"),
    "NaN time of presence": (poke("presence", np.nan), DamagedMediaError, "presence"),
    "NaN width of presence": (poke("presence", np.nan, (0, 1)), DamagedMediaError, "presence"),
    "no width of presence": (poke("presence", 0, (0, 1)), DamagedMediaError, "presence"),
    "long turn": (poke("turns", 5), DamagedMediaError, "unit length"),
    "turn of the other side": (put("turns", _flipped), DamagedMediaError, "opposite sides"),
    "weight below": (put("weights", lambda a: a + np.array([2, -2], np.float32)), DamagedMediaError, "sum to 1"),
    "wild weight": (poke("weights", 5), DamagedMediaError, "sum to 1"),
    "link beyond": (poke("links", 3), DamagedMediaError, "links"),
    "link below": (poke("links", -1), DamagedMediaError, "links"),
    "falling times": (poke("times", -1, 3), DamagedMediaError, "rising"),
    "cameras of no views": (
        lambda arrays, note: [put(f"cameras.{name}", lambda a: a[:0])(arrays, note) for name in ("viewmats", "Ks")],
        DamagedMediaError,
        "no views",
    ),
    "camera of NaN": (poke("cameras.Ks", np.nan, (0, 0, 0)), DamagedMediaError, "Ks"),
    "missing": (lambda arrays, note: arrays.pop("nodes", None), DamagedMediaError, "missing"),
    "unknown": (lambda arrays, note: arrays.update(extra=np.zeros(1, np.float32)), DamagedMediaError, "unknown key"),
    "half a camera": (lambda arrays, note: arrays.pop("cameras.Ks", None), DamagedMediaError, "lack"),
    "wrong type": (put("rest.means", lambda a: a.astype(np.float64)), DamagedMediaError, "type F64"),
    "wrong shape": (put("weights", lambda a: a[:, :1]), DamagedMediaError, "expected"),
    "wrong axis": (put("rest.scales", lambda a: a[:, :2]), DamagedMediaError, "expected"),
    "too few": (put("rest.opacities", lambda a: a[:-1]), DamagedMediaError, "expected"),
    "no size": (lambda arrays, note: note.update(height=None), DamagedMediaError, "lack"),
    "no layout": (lambda arrays, note: note.pop("diorama_scene4d", None), DamagedMediaError, "not a scene"),
    "newer": (lambda arrays, note: note.update(diorama_scene4d=2), MediaError, "update Diorama"),
    "more said": (lambda arrays, note: note.update(more=1), DamagedMediaError, "unknown key"),
    "standing still": (lambda arrays, note: note.update(fps=0), DamagedMediaError, "fps"),
    "rate in words": (lambda arrays, note: note.update(fps="25"), DamagedMediaError, "fps"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_scenes(case: str, tmp_path: Path) -> None:
    change, fault, message = BROKEN[case]
    path = tmp_path / "a.scene4d.safetensors"
    arrays, note = stored(path)
    change(arrays, note)
    path.write_bytes(save(arrays, {"scene4d": json.dumps(note)}))
    with pytest.raises(fault, match=message):
        read_splats(path)


def headed(text: bytes, body: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text + body


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff" * 8 + b"{", "nothing that holds"),
        (headed(b"{" + b" " * 200_000 + b"}"), "over the limit"),
        (headed(b'{"nodes": {}, "nodes": {}}'), "given twice"),
        (headed(b'{"x": NaN}'), "NaN"),
        (headed(b"{}"), "no scene"),
        (headed(b'{"__metadata__": {"format": "pt"}}'), "no scene"),
        (headed(b"[" * 50_000), "nothing that holds"),
        (headed(b'{"a":' + b"[" * 50_000), "nested|valid"),
    ],
)
def test_headers_of_strangers(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(DioramaError, match=message):
        read_splats(tmp_path / "a.safetensors")


def test_scenes_cut_and_changed_anywhere_are_read_or_refused(tmp_path: Path) -> None:
    path, rng = tmp_path / "a.safetensors", np.random.default_rng(5)
    stored(path)
    whole = path.read_bytes()
    for length in rng.integers(1, len(whole), 30):
        path.write_bytes(whole[:length])
        with pytest.raises(DioramaError):
            read_scene4d(path)
    for _ in range(150):
        data = bytearray(whole)
        for place in rng.integers(0, rng.choice([300, len(data)]), 3):
            data[place] = rng.integers(256)
        path.write_bytes(bytes(data))
        with suppress(DioramaError):
            read_scene4d(path)


def test_what_cannot_be_read_is_not_written(tmp_path: Path) -> None:
    scene = moving()
    with pytest.raises(UsageError, match="fps"):
        Scene4d(scene, fps=0.0)
    with pytest.raises(UsageError, match="0 Gaussians"):
        write_scene4d(tmp_path / "a", Scene4d(moving(0)))
    assert not (tmp_path / "a").exists()


def test_a_sequence_is_the_scene_at_its_times(tmp_path: Path) -> None:
    scene, times = moving(), (0, 0.3, 1.25)
    assert write_splat_sequence(tmp_path / "clip", scene, times, name="a b") == 3
    assert sorted(entry.name for entry in (tmp_path / "clip").iterdir()) == [f"a b_{i:05d}.ply" for i in range(3)]
    found = read_splats(tmp_path / "clip")
    assert isinstance(found, SplatSequence)
    assert found.times == times
    for frame, time in zip(found.frames, times, strict=True):
        assert np.array_equal(frame.means, scene.at(time).means)
        assert frame.opacities == pytest.approx(scene.at(time).opacities, abs=2e-6)


def test_a_sequence_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, *args: Any, **options: Any) -> None:
        if path.name.endswith("2.ply"):
            raise RuntimeError("no more")
        write_splat_ply(path, *args, **options)

    monkeypatch.setattr(sequence, "write_splat_ply", fail)
    with pytest.raises(RuntimeError, match="no more"):
        write_splat_sequence(tmp_path / "clip", moving(), (0, 1, 2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("times", [(), (1, 1), (1, 0), (float("nan"), 1)])
def test_times_that_do_not_rise(times: tuple[float, ...], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="times"):
        write_splat_sequence(tmp_path / "clip", moving(), times)


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".a", "a\0"])
def test_names_that_files_cannot_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name"):
        write_splat_sequence(tmp_path / "clip", moving(), (0, 1), name=name)


def test_folders_of_strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = moving().rest
    write_splat_ply(tmp_path / "b10.ply", one[:2])
    write_splat_ply(tmp_path / "b9.ply", one[:1])  # numbers, not letters, give the order
    (tmp_path / "notes.txt").write_text("x")
    found = read_splat_sequence(tmp_path)
    assert [len(frame) for frame in found.frames] == [1, 2]
    assert found.times is None
    monkeypatch.setattr(sequence, "MOST_BYTES", 10)
    with pytest.raises(LimitError):
        read_splat_sequence(tmp_path)
    write_splat_ply(tmp_path / "c1.ply", one)
    with pytest.raises(MediaError, match="2 sequences"):
        read_splat_sequence(tmp_path)


def test_links_that_lead_nowhere_and_numbers_given_twice_are_told(tmp_path: Path) -> None:
    one = moving().rest
    write_splat_ply(tmp_path / "b1.ply", one)
    (tmp_path / "b2.ply").symlink_to(tmp_path / "gone.ply")
    with pytest.raises(MediaError, match="no such file"):
        read_splat_sequence(tmp_path)
    (tmp_path / "b2.ply").unlink()
    write_splat_ply(tmp_path / "b01.ply", one)
    with pytest.raises(MediaError, match=r"b01\.ply and b1\.ply"):
        read_splat_sequence(tmp_path)


@pytest.mark.parametrize("times", [(0, 0), (1, 0)])
def test_files_whose_times_do_not_rise_are_damaged(times: tuple[float, ...], tmp_path: Path) -> None:
    for number, time in enumerate(times):
        write_splat_ply(tmp_path / f"b{number}.ply", moving().rest, time=time)
    with pytest.raises(DamagedMediaError, match="rise"):
        read_splat_sequence(tmp_path)
    write_splat_ply(tmp_path / "b2.ply", moving().rest)  # one that does not say
    assert read_splat_sequence(tmp_path).times is None
