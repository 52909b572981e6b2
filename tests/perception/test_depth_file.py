"""Depth out of files: every kind, one scale, and every way a file can be wrong."""

import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diorama.core.video import Frame, Video
from diorama.errors import DamagedMediaError, DioramaError, LimitError, MediaError, UsageError
from diorama.media.safe import Limits
from diorama.perception.base import Tracked
from diorama.perception.depth_file import CONSTANT, DepthKind, DepthRange, FileDepth, extremes, rescale
from diorama.perception.depth_maps import array_maps, open_maps

T, H, W = 4, 36, 64
RAMP = np.stack([np.add.outer(np.arange(H), 2.0 * np.arange(W)) + 10 * t for t in range(T)]).astype(np.float32)
UNIT = (RAMP - RAMP.min()) / (RAMP.max() - RAMP.min())


def clip(frames: int = T, height: int = H, width: int = W) -> Video:
    return Video.from_array(np.zeros((frames, height, width, 3), np.uint8))


def tracked(index: int) -> Tracked:
    blank = np.zeros((H, W, 3), np.uint8)
    return Tracked(Frame(blank, index, 1, index), shot=0, first=index == 0, small=blank)


def answer(estimator: FileDepth, indices: range = range(T)) -> np.ndarray:
    return np.stack(list(estimator(tracked(index) for index in indices)))


def write_png(path: Path, values: np.ndarray) -> None:
    assert cv2.imwrite(str(path), values)


def write_exr(path: Path, values: np.ndarray, compression: str = "zip16", kind: str = "float") -> None:
    """An EXR as FFmpeg writes it: one float channel."""
    encoder = av.CodecContext.create("exr", "w")
    encoder.width, encoder.height, encoder.pix_fmt = values.shape[1], values.shape[0], "grayf32le"
    encoder.time_base, encoder.options = Fraction(1, 25), {"compression": compression, "format": kind}
    frame = av.VideoFrame.from_ndarray(values, format="grayf32le")
    path.write_bytes(b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)]))


def write_video(path: Path, frames: list[np.ndarray], pixels: str, source: str) -> None:
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], pixels
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format=source)))
        container.mux(stream.encode(None))


def npy(folder: Path) -> Path:
    np.save(folder / "depth.npy", RAMP)
    return folder / "depth.npy"


def npy_fortran_big_endian_with_channel(folder: Path) -> Path:
    np.save(folder / "depth.npy", np.asfortranarray(RAMP[:, None].astype(">f8")))
    return folder / "depth.npy"


def npz(folder: Path) -> Path:
    np.savez_compressed(folder / "depth.npz", depth=RAMP, fps=np.array(25))
    return folder / "depth.npz"


def png16_folder(folder: Path) -> Path:
    for index, values in enumerate(RAMP):
        write_png(folder / f"depth_{index + 8}.png", (values * 100).astype(np.uint16))
    return folder


def exr_folder(folder: Path) -> Path:
    for index, values in enumerate(RAMP):
        write_exr(folder / f"{index:04d}.exr", values)
    return folder


def tiff_folder(folder: Path) -> Path:
    for index, values in enumerate(RAMP):
        write_png(folder / f"{index:04d}.tif", values)
    return folder


def video16(folder: Path) -> Path:
    write_video(folder / "d.mkv", [(v * 100).astype(np.uint16) for v in RAMP], "gray16le", "gray16le")
    return folder / "d.mkv"


def video8(folder: Path) -> Path:
    write_video(folder / "d.mkv", [v.astype(np.uint8) for v in RAMP], "gray", "gray")
    return folder / "d.mkv"


KINDS: list[tuple[Callable[[Path], Path], float]] = [
    (npy, 1e-6),
    (npy_fortran_big_endian_with_channel, 1e-6),
    (npz, 1e-6),
    (png16_folder, 1e-6),
    (exr_folder, 1e-6),
    (tiff_folder, 1e-6),
    (video16, 1e-6),
    (video8, 1e-6),
]


@pytest.mark.parametrize(("make", "tolerance"), KINDS, ids=lambda v: getattr(v, "__name__", ""))
def test_every_kind_of_file_gives_the_same_maps_on_one_scale(
    make: Callable[[Path], Path], tolerance: float, tmp_path: Path
) -> None:
    estimator = FileDepth(make(tmp_path))
    estimator.check(clip())
    maps = answer(estimator)
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps, UNIT, atol=tolerance)
    np.testing.assert_array_equal(answer(estimator, range(2, T)), maps[2:])  # any window
    np.testing.assert_array_equal(answer(estimator, range(1)), maps[:1])


def test_one_picture_serves_one_frame(tmp_path: Path) -> None:
    write_png(tmp_path / "d.png", RAMP[0].astype(np.uint8))
    estimator = FileDepth(tmp_path / "d.png")
    estimator.check(clip(1))
    np.testing.assert_allclose(answer(estimator, range(1))[0], RAMP[0] / RAMP[0].max(), atol=1e-6)


def test_metric_depth_is_inverted_and_its_unit_cancels(tmp_path: Path) -> None:
    metres = 1 / (0.1 + UNIT)
    np.save(tmp_path / "m.npy", metres)
    np.save(tmp_path / "mm.npy", np.rint(metres * 1e6).astype(np.int32))
    for name in ("m.npy", "mm.npy"):
        estimator = FileDepth(tmp_path / name, "metric")
        estimator.check(clip())
        np.testing.assert_allclose(answer(estimator), UNIT, atol=1e-4)


def test_metric_values_without_a_measurement_are_farthest(tmp_path: Path) -> None:
    values = RAMP + 1
    values[0, 0, :3] = 0, -5, np.inf
    np.save(tmp_path / "d.npy", values)
    notes: list[str] = []
    estimator = FileDepth(tmp_path / "d.npy", "metric", note=notes.append)
    estimator.check(clip())
    maps = answer(estimator)
    assert not maps[0, 0, :3].any()
    assert maps.max() > 0.999999
    assert any("farthest" in note for note in notes)


def test_a_given_range_is_used_and_values_beyond_it_are_cut(tmp_path: Path) -> None:
    estimator = FileDepth(npy(tmp_path), near=100.0, far=50.0)
    np.testing.assert_allclose(answer(estimator), np.clip((RAMP - 50) / 50, 0, 1), atol=1e-6)
    estimator = FileDepth(npy(tmp_path), "metric", near=50.0, far=100.0)
    expected = np.clip((1 / np.maximum(RAMP, 1e-9) - 0.01) / 0.01, 0, 1) * (RAMP > 0)
    np.testing.assert_allclose(answer(estimator), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["inverse", "metric"])
@pytest.mark.parametrize("value", [0.0, 7.5])
def test_constant_depth_is_flat_and_says_so(kind: DepthKind, value: float, tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.full((T, H, W), value, np.float32))
    notes: list[str] = []
    estimator = FileDepth(tmp_path / "d.npy", kind, note=notes.append)
    estimator.check(clip())
    assert np.all(answer(estimator) == CONSTANT)
    assert any("same everywhere" in note for note in notes)


def test_negative_inverse_depth_keeps_its_order_and_says_so(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", RAMP - 100)
    notes: list[str] = []
    estimator = FileDepth(tmp_path / "d.npy", note=notes.append)
    np.testing.assert_allclose(answer(estimator), UNIT, atol=1e-6)
    assert any("negative" in note for note in notes)


def broken(folder: Path, value: float) -> Path:
    values = RAMP.copy()
    values[2, 5, 7] = value
    np.save(folder / "depth.npy", values)
    return folder / "depth.npy"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_without_meaning_are_refused_with_the_frame(value: float, tmp_path: Path) -> None:
    path = broken(tmp_path, value)
    with pytest.raises(UsageError, match="depth map 2 "):
        FileDepth(path).check(clip())
    with pytest.raises(UsageError, match="depth map 2 "):  # missed by the grid of a huge file
        answer(FileDepth(path, near=200.0, far=0.0))


def test_more_maps_than_frames_are_allowed_with_a_note_and_fewer_are_not(tmp_path: Path) -> None:
    notes: list[str] = []
    estimator = FileDepth(npy(tmp_path), note=notes.append)
    estimator.check(clip(3))
    assert "4 maps for 3 frames" in notes[0]
    with pytest.raises(UsageError, match=r"4 maps, expected 5.* — .*depth\.npy") as caught:
        estimator.check(clip(5))
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match="expected 6"):
        estimator.check(clip(6)[5:6])  # a window counts from the start of its source
    with pytest.raises(UsageError, match="ends before frame 4"):
        answer(FileDepth(npy(tmp_path)), range(5))


@pytest.mark.parametrize(
    ("height", "width", "good"), [(72, 128, True), (360, 645, True), (64, 36, False), (72, 120, False)]
)
def test_the_aspect_must_be_that_of_the_clip(height: int, width: int, good: bool, tmp_path: Path) -> None:
    estimator = FileDepth(npy(tmp_path))
    if good:
        estimator.check(clip(1, height, width))
        return
    with pytest.raises(UsageError, match=f"64x36, expected {width}x{height}"):
        estimator.check(clip(1, height, width))


@pytest.mark.parametrize(
    ("kind", "near", "far"),
    [
        ("inverse", 1.0, None),
        ("inverse", 1.0, 2.0),
        ("metric", 2.0, 1.0),
        ("metric", 0.0, 1.0),
        ("metric", np.nan, 1.0),
    ],
)
def test_ranges_that_contradict_the_kind_are_refused(
    kind: DepthKind, near: float, far: float | None, tmp_path: Path
) -> None:
    with pytest.raises(UsageError):
        FileDepth(tmp_path, kind, near, far)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, ("pickle_was_run", "w"))


def evil_npy(folder: Path) -> Path:
    np.save(folder / "d.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    return folder / "d.npy"


def evil_npz(folder: Path) -> Path:
    np.savez(folder / "d.npz", depth=np.array([Evil()], dtype=object), allow_pickle=True)
    return folder / "d.npz"


def cut_npy(folder: Path) -> Path:
    path = npy(folder)
    path.write_bytes(path.read_bytes()[:-1000])
    return path


def cut_npz(folder: Path) -> Path:
    path = npz(folder)
    path.write_bytes(path.read_bytes()[:-100])
    return path


def text_npy(folder: Path) -> Path:
    (folder / "d.npy").write_text("not an array")
    return folder / "d.npy"


def complex_npy(folder: Path) -> Path:
    np.save(folder / "d.npy", RAMP.astype(np.complex64))
    return folder / "d.npy"


def rgb_npy(folder: Path) -> Path:
    np.save(folder / "d.npy", np.zeros((T, H, W, 3), np.uint8))
    return folder / "d.npy"


def vague_npz(folder: Path) -> Path:
    np.savez(folder / "d.npz", a=RAMP, b=RAMP)
    return folder / "d.npz"


def colour_png(folder: Path) -> Path:
    write_png(folder / "d.png", cv2.applyColorMap(RAMP[0].astype(np.uint8), cv2.COLORMAP_INFERNO))
    return folder / "d.png"


def colour_video(folder: Path) -> Path:
    image = cv2.applyColorMap(RAMP[0].astype(np.uint8), cv2.COLORMAP_INFERNO)
    write_video(folder / "d.mkv", [image] * T, "bgr0", "bgr24")
    return folder / "d.mkv"


def gap(folder: Path) -> Path:
    (png16_folder(folder) / "depth_9.png").unlink()
    return folder


def mixed_sizes(folder: Path) -> Path:
    write_png(png16_folder(folder) / "depth_9.png", np.zeros((10, 10), np.uint16))
    return folder


def empty_folder(folder: Path) -> Path:
    return folder


def cut_png(folder: Path) -> Path:
    write_png(folder / "d.png", np.random.default_rng(0).integers(0, 255, (H, W)).astype(np.uint8))
    (folder / "d.png").write_bytes((folder / "d.png").read_bytes()[:40])
    return folder / "d.png"


def bomb_png(folder: Path) -> Path:
    data = bytearray(cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes())
    data[16:24] = (50000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    (folder / "d.png").write_bytes(bytes(data))
    return folder / "d.png"


def missing(folder: Path) -> Path:
    return folder / "nothing.npy"


def unknown_suffix(folder: Path) -> Path:
    (folder / "d.xyz").write_bytes(b"123")
    return folder / "d.xyz"


BAD: list[tuple[Callable[[Path], Path], type[DioramaError], str]] = [
    (evil_npy, MediaError, "pickled Python objects"),
    (evil_npz, MediaError, "pickled"),
    (cut_npy, DamagedMediaError, "shorter"),
    (cut_npz, DamagedMediaError, "damaged"),
    (text_npy, MediaError, "not a plain NPY"),
    (complex_npy, UsageError, "complex64"),
    (rgb_npy, UsageError, r"expected \(frames, height, width\)"),
    (vague_npz, UsageError, "arrays a, b"),
    (colour_png, UsageError, "colour"),
    (colour_video, UsageError, "colour"),
    (gap, UsageError, "depth_8.png is followed by depth_10.png"),
    (mixed_sizes, UsageError, "10x10 among"),
    (empty_folder, MediaError, "no numbered pictures"),
    (cut_png, DioramaError, "d.png"),
    (bomb_png, LimitError, "50000x50000|pixels"),
    (missing, MediaError, "nothing.npy"),
    (unknown_suffix, MediaError, ".xyz"),
]


@pytest.mark.parametrize(("make", "error", "says"), BAD, ids=lambda v: getattr(v, "__name__", ""))
def test_bad_files_get_one_clear_line(
    make: Callable[[Path], Path], error: type[DioramaError], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = make(tmp_path)
    with pytest.raises(error, match=says) as caught:
        FileDepth(path).check(clip(1))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pickle_was_run").exists()


def test_large_files_are_ranged_on_a_grid_of_every_map(tmp_path: Path) -> None:
    maps = array_maps(np.broadcast_to(RAMP.repeat(30, 1).repeat(30, 2), (T, H * 30, W * 30))[[0, 1, 2, 3] * 3], "x")
    found = extremes(maps, metric=False)
    assert found.lowest == RAMP.min()
    assert found.highest == RAMP.max()


@given(
    st.sampled_from([np.float32, np.float64, np.float16, np.uint8, np.uint16, np.int32, np.int64]), st.integers(0, 99)
)
@settings(max_examples=40, deadline=None)
def test_the_kernel_equals_its_numpy_twin(kind: type, seed: int) -> None:
    stored = (np.random.default_rng(seed).random((13, 17)) * 200 + 1).astype(kind)
    values = stored.astype(np.float64)
    inverse = rescale(stored, DepthRange(150.0, 20.0))
    metric = rescale(stored, DepthRange(20.0, 150.0, metric=True))
    assert inverse is not None
    assert metric is not None
    np.testing.assert_allclose(inverse, np.clip((values - 20) / 130, 0, 1), atol=2e-6)
    expected = np.clip((1 / values - 1 / 150) / (1 / 20 - 1 / 150), 0, 1)
    np.testing.assert_allclose(metric, expected, atol=2e-6)


def test_an_array_file_is_mapped_and_not_read_ahead(tmp_path: Path) -> None:
    maps = open_maps(npy(tmp_path))
    assert isinstance(next(maps.read(1, 2)).base, np.memmap)


@pytest.mark.parametrize("make", [make for make, _ in KINDS], ids=lambda v: v.__name__)
def test_the_budget_of_the_user_holds_for_every_kind_of_file(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    FileDepth(path, limits=Limits(frame_pixels=W * H, frames=T, seconds=0.01)).check(clip())  # depth has no clock
    with pytest.raises(LimitError, match="--max-pixels"):
        FileDepth(path, limits=Limits(frame_pixels=W * H - 1)).check(clip())
    with pytest.raises(LimitError, match="--max-frames"):
        FileDepth(path, limits=Limits(frames=T - 1)).check(clip())


@pytest.mark.parametrize("make", [video16, npy], ids=lambda v: v.__name__)
def test_frames_may_repeat_and_the_file_may_be_closed_between(make: Callable[[Path], Path], tmp_path: Path) -> None:
    estimator = FileDepth(make(tmp_path))
    expected = answer(estimator)
    for indices in ([0, 0, 1, 1, 1, 3], [2, 3, 0], [3]):
        found = list(estimator(tracked(index) for index in indices))
        np.testing.assert_array_equal(np.stack(found), expected[indices])
        estimator.close()
    estimator.close()
