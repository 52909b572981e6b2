"""A clip through the whole recipe in every format and container: sizes, pixels, tags, and the laws of the eyes."""

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import pytest

from diorama.geometry.warp import TEAR, eye_warp
from diorama.media.boxes import read_tags
from diorama.media.encoding import Encoding
from diorama.media.formats import FORMATS, container_tags
from diorama.media.read import open_video
from diorama.media.stereo import even, pack, packed_size
from diorama.pipelines import output
from diorama.pipelines.eyes import screen_disparity
from diorama.pipelines.presets import DepthChoice, Look, StereoConfig
from diorama.pipelines.stereo import StereoResult, StereoRun, stereo

FRAMES, HEIGHT, WIDTH = 4, 64, 96
PACKED = [name for name in FORMATS if name != "eyes"]
LOSSLESS = Encoding("ffv1")
STEREO3D = struct.Struct("<4iI4i")
SPHERICAL = struct.Struct("<4i5I")
# Type and flags of FFmpeg's AVStereo3D: 1 side by side, 2 top and bottom; flag 1 says that the right eye is first.
SEEN = {"sbs": (1, 0), "half-sbs": (1, 0), "tb": (2, 0), "half-tb": (2, 0), "cross-eye": (1, 1), "vr180": (1, 0)}
# Decibels that smooth small pictures keep at the default quality; chroma at half resolution costs the most.
FAITHFUL = {"libx264": 30.0, "libx265": 30.0, "libsvtav1": 29.0}


@dataclass(frozen=True, eq=False)
class Scene:
    """A clip with depth, and both of its eyes as the recipe makes them, lossless."""

    clip: Path
    depth: Path
    config: StereoConfig
    source: np.ndarray
    inverse_depth: np.ndarray
    left: np.ndarray
    right: np.ndarray

    def make(self, target: Path, *, run: StereoRun | None = None, codec: str = "auto", **look: object) -> StereoResult:
        config = replace(self.config, look=replace(self.config.look, **look), encoding=Encoding(codec))
        return stereo(self.clip, target, config, run=run)


def stack(path: Path) -> np.ndarray:
    return open_video(path).stack()


def hashes(path: Path) -> list[str]:
    with av.open(str(path)) as file:
        return [hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest() for frame in file.decode(video=0)]


def side_data(path: Path) -> dict[str, bytes]:
    with av.open(str(path)) as file:
        return {item.type.name: bytes(item) for item in next(file.decode(video=0)).side_data}


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return 99.0 if error == 0 else 10 * np.log10(255**2 / error)


def box_in_front(frames: int = FRAMES, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Inverse depth: a floor that comes nearer downwards, and a box in front of it that moves."""
    depth = np.linspace(0, 0.4, height, dtype=np.float32)[None, :, None].repeat(frames, 0).repeat(width, 2)
    for i in range(frames):
        depth[i, height // 4 : height // 2, width // 3 + 2 * i : width // 2 + 2 * i] = 1
    return depth


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Scene:
    folder = tmp_path_factory.mktemp("scene")
    clip = make_clip(folder / "clip.mp4", frames=FRAMES, size=(HEIGHT, WIDTH), audio=True)
    np.save(folder / "depth.npy", box_in_front())
    config = StereoConfig(
        look=Look(divergence=6.0, convergence="0.4"),
        depth=DepthChoice(str(folder / "depth.npy"), people=False),
    )
    eyes = replace(config, look=replace(config.look, format="eyes"), encoding=LOSSLESS)
    made = stereo(clip, folder / "eyes.mkv", eyes)
    left, right = (stack(file) for file in made.files)
    return Scene(clip, folder / "depth.npy", config, stack(clip), box_in_front(), left, right)


def wanted(scene: Scene, name: str, *, swap: bool = False) -> np.ndarray:
    """What the pure functions make of both eyes."""
    pairs = zip(scene.left, scene.right, strict=True)
    if name == "rgbd":
        packed = [pack(s, s, name, depth=d) for s, d in zip(scene.source, scene.inverse_depth, strict=True)]
    else:
        packed = [pack(left, right, name, swap=swap) for left, right in pairs]
    return np.stack([even(image) for image in packed])


# Pixels


@pytest.mark.parametrize("name", PACKED)
def test_lossless_output_holds_exactly_the_packed_eyes(scene: Scene, tmp_path: Path, name: str) -> None:
    made = scene.make(tmp_path / "out.mkv", codec="ffv1", format=name)
    assert made.frames == FRAMES
    decoded = stack(made.files[0])
    assert decoded.shape[1:3] == tuple(side + side % 2 for side in packed_size(HEIGHT, WIDTH, name))
    assert np.array_equal(decoded, wanted(scene, name))
    check_tags(made.files[0], name)


@pytest.mark.parametrize(
    ("suffix", "codec", "name"),
    [
        *[(".mp4", "libx264", name) for name in PACKED],
        *[(".mkv", "libx264", name) for name in ("sbs", "half-tb", "anaglyph")],
        *[(".mov", "libx265", name) for name in ("cross-eye", "tb", "vr180")],
        *[(".webm", "libsvtav1", name) for name in ("half-sbs", "vr180", "red-cyan")],
        (".mp4", "libsvtav1", "sbs"),
    ],
)
def test_every_format_in_every_container(scene: Scene, tmp_path: Path, suffix: str, codec: str, name: str) -> None:
    before: list[list[str]] = []
    inject = output.inject
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "inject", lambda made, *rest: (before.append(hashes(made)), inject(made, *rest)))
        made = scene.make(tmp_path / f"out{suffix}", codec=codec, format=name)
    (file,) = made.files
    assert bool(before) == (suffix in (".mp4", ".mov") and container_tags(name).mp4 is not None)
    assert all(earlier == hashes(file) for earlier in before), "boxes change no picture"
    expected, decoded = wanted(scene, name), stack(file)
    assert decoded.shape == expected.shape
    colour_lost = name == "red-cyan" and codec == "libsvtav1"  # AV1 is written in 4:2:0
    assert psnr(decoded, expected) > FAITHFUL[codec] - 7 * colour_lost
    check_tags(file, name)


def check_tags(file: Path, name: str) -> None:
    """What FFmpeg tells a player; nothing about pictures that are not two eyes."""
    tags, mp4 = container_tags(name), file.suffix in (".mp4", ".mov")
    with av.open(str(file)) as container:
        assert container.streams.video[0].metadata.get("stereo_mode") == (None if mp4 else tags.matroska)
    if mp4:
        assert read_tags(file) == tags.mp4
    seen = side_data(file)
    assert ("STEREO3D" in seen) == (name in SEEN)
    if name in SEEN:
        assert STEREO3D.unpack(seen["STEREO3D"])[:2] == SEEN[name]
    if name == "vr180" and mp4:
        assert SPHERICAL.unpack(seen["SPHERICAL"])[0] == 3  # half of an equirectangular picture


def test_hevc_in_mp4_is_marked_as_apple_wants_it(scene: Scene, tmp_path: Path) -> None:
    for suffix in (".mp4", ".mov"):
        made = scene.make(tmp_path / f"out{suffix}", codec="libx265")
        with av.open(str(made.files[0])) as container:
            assert container.streams.video[0].codec_context.codec_tag == "hvc1"


def test_separate_eyes_and_their_names(scene: Scene, tmp_path: Path) -> None:
    made = scene.make(tmp_path / "film.mp4", format="eyes")
    assert [file.name for file in made.files] == ["film_left.mp4", "film_right.mp4"]
    for file, eye in zip(made.files, (scene.left, scene.right), strict=True):
        assert psnr(stack(file), eye) > FAITHFUL["libx264"]
        assert "STEREO3D" not in side_data(file)
        assert read_tags(file) is None


@pytest.mark.parametrize("name", ["sbs", "tb", "cross-eye", "anaglyph", "eyes"])
def test_swap_exchanges_the_eyes_and_says_so(scene: Scene, tmp_path: Path, name: str) -> None:
    made = scene.make(tmp_path / "out.mkv", codec="ffv1", format=name, swap=True)
    if name == "eyes":
        assert np.array_equal(stack(made.files[0]), scene.right)
        assert np.array_equal(stack(made.files[1]), scene.left)
        return
    assert np.array_equal(stack(made.files[0]), wanted(scene, name, swap=True))
    mp4 = scene.make(tmp_path / "out.mp4", format=name, swap=True)
    assert read_tags(mp4.files[0]) == container_tags(name, swap=True).mp4
    if name in SEEN:
        kind, flags = SEEN[name]
        for file in (made.files[0], mp4.files[0]):
            assert STEREO3D.unpack(side_data(file)["STEREO3D"])[:2] == (kind, 1 - flags)


def test_more_views_stand_between_and_include_the_eyes(scene: Scene, tmp_path: Path) -> None:
    made = scene.make(tmp_path / "film.mkv", codec="ffv1", views=4)
    assert [file.name for file in made.files] == [f"film_view{i}.mkv" for i in range(4)]
    views = [stack(file) for file in made.files]
    assert np.array_equal(views[0], scene.left)
    assert np.array_equal(views[3], scene.right)
    column = [int(np.argmax(view[0, HEIGHT // 3, :, 2] < 60)) for view in views]  # left edge of the yellow box
    assert column == sorted(column), "what is behind the screen moves right from view to view"
    assert column[0] < column[3]


@pytest.mark.parametrize("name", [*PACKED, "eyes"])
def test_odd_sizes_get_every_format(make_clip: Callable[..., Path], tmp_path: Path, name: str) -> None:
    clip = make_clip(tmp_path / "odd.mkv", frames=2, size=(65, 97), codec="ffv1", pix_fmt="bgr0")
    np.save(tmp_path / "depth.npy", box_in_front(2, 65, 97))
    config = StereoConfig(Look(format=name), DepthChoice(str(tmp_path / "depth.npy")))
    file = stereo(clip, tmp_path / "out.mp4", config).files[0]
    assert stack(file).shape[1:3] == tuple(side + side % 2 for side in packed_size(65, 97, name))


# Laws


@pytest.mark.parametrize("warp", ["subpixel", "nearest"])
@pytest.mark.parametrize("depth", ["file", "embedded"])
def test_no_divergence_gives_the_source_twice(scene: Scene, tmp_path: Path, warp: str, depth: str) -> None:
    config = replace(scene.config, depth=DepthChoice(people=False)) if depth == "embedded" else scene.config
    look = Look(format="eyes", divergence=0.0, warp=warp)
    made = stereo(scene.clip, tmp_path / "out.mkv", replace(config, look=look, encoding=LOSSLESS))
    for file in made.files:
        assert np.array_equal(stack(file), scene.source)


@pytest.mark.parametrize("eye", ["left", "right"])
@pytest.mark.parametrize(("warp", "fill"), [("subpixel", "fast"), ("nearest", "telea")])
def test_the_source_eye_stays_as_it_is(scene: Scene, tmp_path: Path, eye: str, warp: str, fill: str) -> None:
    made = scene.make(tmp_path / "out.mkv", codec="ffv1", format="eyes", source_eye=eye, warp=warp, fill=fill)
    same = [np.array_equal(stack(file), scene.source) for file in made.files]
    assert same == [eye == "left", eye == "right"]


@pytest.mark.parametrize(("warp", "fill"), [("subpixel", "fast"), ("nearest", "telea")])
@pytest.mark.parametrize("source_eye", ["center", "left"])
def test_pixels_outside_the_holes_are_the_warped_source(
    scene: Scene, tmp_path: Path, warp: str, fill: str, source_eye: str
) -> None:
    look = replace(scene.config.look, format="eyes", warp=warp, fill=fill, source_eye=source_eye)
    made = stereo(scene.clip, tmp_path / "out.mkv", replace(scene.config, look=look, encoding=LOSSLESS))
    share = 0.5 if source_eye == "center" else 1.0
    holes = 0
    for eye, file in (("left", made.files[0]), ("right", made.files[1])):
        if eye == source_eye:
            continue
        for image, inverse_depth, view in zip(scene.source, scene.inverse_depth, stack(file), strict=True):
            disparity = screen_disparity(inverse_depth, 0.4, look)
            warped, known = eye_warp(image, disparity, eye=eye, share=share, tear=TEAR if warp == "subpixel" else None)
            assert np.array_equal(view[known], warped[known])
            holes += int((~known).sum())
    assert holes > FRAMES * 16, "the box in front hides something"


@pytest.mark.parametrize("depth", ["file", "embedded"])
def test_the_same_input_gives_the_same_frames(scene: Scene, tmp_path: Path, depth: str) -> None:
    """Also in pieces of another length, as after an interruption, and through a lossy codec."""
    choice = DepthChoice(people=False) if depth == "embedded" else scene.config.depth
    config = replace(scene.config, depth=choice, look=Look())
    for suffix, encoding in ((".mkv", LOSSLESS), (".mp4", Encoding("libx264"))):
        files = [
            stereo(scene.clip, tmp_path / f"{i}{suffix}", replace(config, encoding=encoding)).files[0] for i in "ab"
        ]
        first, second = stack(files[0]), stack(files[1])
        assert np.array_equal(first, second)
    pieces = stereo(scene.clip, tmp_path / "p.mkv", replace(config, encoding=LOSSLESS), run=StereoRun(piece_frames=3))
    assert np.array_equal(stack(pieces.files[0]), stack(tmp_path / "a.mkv"))


def test_nearer_things_are_moved_further(scene: Scene) -> None:
    """A box in front of the screen stands further right in the left eye than in the source, and further left in the
    right eye."""
    rows = slice(HEIGHT // 4 + 2, HEIGHT // 2 - 2)
    shift = 0.5 * 0.06 * WIDTH * (1 - 0.4)
    inside = scene.source[0, rows, 36:44]
    for eye, sign in ((scene.left, 1), (scene.right, -1)):
        differences = [np.abs(eye[0, rows, 36 + k : 44 + k].astype(int) - inside).mean() for k in range(-6, 7)]
        assert int(np.argmin(differences)) - 6 == pytest.approx(sign * shift, abs=0.6)
