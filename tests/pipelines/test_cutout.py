"""One subject cut out on white: from masks, transparency, plain backgrounds, and anything else."""

import gc
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from diorama.core.extras import available
from diorama.core.progress import Silent
from diorama.core.video import Frame, Video
from diorama.errors import UsageError
from diorama.media.read import OpenedVideo
from diorama.pipelines import cutout
from diorama.pipelines._cutout_clip import choose
from diorama.pipelines._cutout_frame import FILL, own_colors
from diorama.pipelines._cutout_object import Held
from diorama.pipelines.cutout import Cutouts, cutouts
from diorama.pipelines.cutout_config import CutoutConfig

HEIGHT, WIDTH = 120, 160
RED = (200, 40, 30)
THING = CutoutConfig(subject="object")


def disc(x: float, y: float, radius: float) -> np.ndarray:
    """Coverage of a disc, drawn eight times as large."""
    large = np.zeros((8 * HEIGHT, 8 * WIDTH), np.float32)
    cv2.circle(large, (round(8 * x), round(8 * y)), round(8 * radius), 1.0, -1)
    return cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def over(alpha: np.ndarray, behind: np.ndarray | tuple[int, int, int], color: tuple[int, int, int] = RED) -> np.ndarray:
    """A coloured shape over a background."""
    share = alpha[..., None]
    mixed = share * np.array(color, np.float32) + (1 - share) * np.broadcast_to(behind, (HEIGHT, WIDTH, 3))
    return np.rint(mixed).astype(np.uint8)


def saved(folder: Path, *pictures: np.ndarray) -> Path:
    """A picture's file, or a folder of several."""
    for place, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"frame{place:04d}.png")
    return folder / "frame0000.png" if len(pictures) == 1 else folder


def texture(seed: int = 0) -> np.ndarray:
    """A patchy background of blues and greens."""
    noise = np.random.default_rng(seed).normal(0, 1, (HEIGHT // 8, WIDTH // 8, 3)).astype(np.float32)
    return (np.array([60, 120, 130]) + 25 * cv2.resize(noise, (WIDTH, HEIGHT))).clip(0, 255)


def box_of(alpha: np.ndarray) -> tuple[int, int]:
    """Rows and columns of the box around what is covered by half and more."""
    rows, columns = np.nonzero(alpha >= 0.5)
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def test_a_box_chooses_what_stands_before_a_plain_background_and_it_is_followed(tmp_path: Path) -> None:
    def both(step: int) -> np.ndarray:
        return over(disc(115 - 4 * step, 60, 30), over(disc(35 + 4 * step, 70, 14), (255, 255, 255), (20, 60, 200)))

    one = cutouts(saved(tmp_path, both(0)), CutoutConfig(box=(0.05, 0.35, 0.4, 0.8)), size=64)
    assert (one.frames[0][one.alpha[0] > 0.9][:, 2] > 150).all(), "the small blue one"
    assert any("plain white background in the box" in note for note in one.notes)
    clip = cutouts(
        saved(tmp_path, *(both(step) for step in range(4))), CutoutConfig(box=(0.05, 0.35, 0.4, 0.8)), size=64
    )
    assert len(clip) == 4
    assert (clip.frames[3][clip.alpha[3] > 0.9][:, 2] > 150).all()
    with pytest.raises(UsageError, match="nothing but the white background in the box"):
        cutouts(tmp_path, CutoutConfig(box=(0.0, 0.0, 0.1, 0.2)), size=64)


@pytest.mark.parametrize("behind", [(255, 255, 255), (30, 160, 60), (128, 128, 128)])
def test_before_a_plain_background_edges_are_soft_and_keep_nothing_of_it(
    tmp_path: Path, behind: tuple[int, int, int]
) -> None:
    alpha = disc(70, 60, 35)
    found = cutouts(saved(tmp_path, over(alpha, behind)), THING, size=128)
    assert found.frames.shape == (1, 128, 128, 3)
    assert max(box_of(found.alpha[0])) == pytest.approx(FILL * 128, abs=2)
    left, top, side = found.crop
    assert (left + side / 2, top + side / 2) == pytest.approx((70, 60), abs=1)
    assert float(found.alpha.sum()) * (side / 128) ** 2 == pytest.approx(float(alpha.sum()), rel=0.01)
    assert ((found.alpha > 0.1) & (found.alpha < 0.9)).sum() > 50
    share = found.alpha[0][..., None]
    wanted = share * np.array(RED) + 255 * (1 - share)
    assert np.abs(found.frames[0] - wanted).max() < 30
    assert np.abs(found.frames[0] - wanted).mean() < 1
    assert "plain" in " ".join(found.notes)


def test_a_background_that_darkens_towards_its_corners_is_plain(tmp_path: Path) -> None:
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    behind = (220 - 25 * (x * x + y * y) + 12 * x)[..., None] * np.ones(3)
    alpha = disc(80, 60, 30)
    found = cutouts(saved(tmp_path, over(alpha, behind)), THING)
    assert float(found.alpha.sum()) * (found.crop[2] / 128) ** 2 == pytest.approx(float(alpha.sum()), rel=0.03)


def test_a_gap_shows_the_background_and_a_pale_belly_does_not(tmp_path: Path) -> None:
    ring = disc(80, 60, 45) - disc(80, 60, 15)
    through = cutouts(saved(tmp_path, over(ring, (255, 255, 255))), THING)
    assert through.alpha[0, 64, 64] == 0
    picture = over(ring, (255, 255, 255))
    rows, columns = np.nonzero(disc(80, 60, 15) > 0.9)
    picture[rows, columns] = 252
    belly = cutouts(saved(tmp_path, picture), THING)
    assert belly.alpha[0, 64, 64] == 1


def test_what_is_transparent_is_left_out(tmp_path: Path) -> None:
    alpha = disc(90, 50, 25)
    picture = np.dstack([over(np.ones_like(alpha), (0, 0, 0)), np.rint(alpha * 255).astype(np.uint8)])
    found = cutouts(saved(tmp_path, picture), THING)
    assert float(found.alpha.sum()) * (found.crop[2] / 128) ** 2 == pytest.approx(float(alpha.sum()), rel=0.01)
    assert (found.frames[0, 64, 64] == RED).all()
    assert (found.frames[0, 0, 0] == 255).all()


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.zeros((40, 40, 4), np.uint8), "transparent everywhere"),
        (np.full((40, 40, 3), 255, np.uint8), "nothing differs from the white background"),
        (over(disc(80, 60, 30), (255, 255, 255), (252, 253, 252)), "--mask"),
        (np.full((1, 1, 3), 9, np.uint8), "1x1"),
    ],
)
def test_pictures_without_a_subject_are_refused(tmp_path: Path, picture: np.ndarray, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        cutouts(saved(tmp_path, picture), THING)


def test_of_two_subjects_the_larger_is_taken_and_said(tmp_path: Path) -> None:
    alpha = np.maximum(disc(45, 60, 30), disc(130, 60, 20))
    found = cutouts(saved(tmp_path, over(alpha, (255, 255, 255))), THING)
    assert found.crop[0] + found.crop[2] / 2 == pytest.approx(45, abs=1)
    assert any("several" in note for note in found.notes)


def test_a_subject_cut_by_the_border_is_told(tmp_path: Path) -> None:
    found = cutouts(saved(tmp_path, over(disc(80, 105, 35), (255, 255, 255))), THING)
    assert any("border (bottom)" in note for note in found.notes)
    assert (found.frames[0, -1] == 255).all()


def test_a_subject_before_anything_stands_out(tmp_path: Path) -> None:
    alpha = disc(75, 62, 32)
    file = saved(tmp_path, over(alpha, texture()))
    found = cutouts(file, THING)
    assert overlap(found, alpha) > 0.93
    pair = np.maximum(disc(50, 60, 22), disc(125, 60, 18))
    chosen = cutouts(saved(tmp_path, over(pair, texture())), CutoutConfig(box=(0.65, 0.3, 0.92, 0.7)))
    assert overlap(chosen, disc(125, 60, 18)) > 0.85


def overlap(found: Cutouts, alpha: np.ndarray, frame: int = 0) -> float:
    """IoU against coverage in the picture's pixels."""
    left, top, side = found.crop
    scale = found.frames.shape[1] / side
    here = cv2.warpAffine(
        alpha, np.array([[scale, 0, (0.5 - left) * scale - 0.5], [0, scale, (0.5 - top) * scale - 0.5]]), (128, 128)
    )
    one, other = found.alpha[frame] >= 0.5, here >= 0.5
    return float((one & other).sum() / (one | other).sum())


def test_a_given_mask_is_believed_and_one_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    file = saved(tmp_path, over(disc(75, 62, 32), texture()))
    mask, empty, other = tmp_path / "mask.png", tmp_path / "empty.png", tmp_path / "other.png"
    alpha = disc(40, 30, 20)
    Image.fromarray(np.rint(255 * alpha).astype(np.uint8)).save(mask)
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(empty)
    Image.fromarray(np.full((HEIGHT, HEIGHT), 255, np.uint8)).save(other)
    assert overlap(cutouts(file, CutoutConfig(mask=str(mask))), alpha) > 0.97
    with pytest.raises(UsageError, match="an empty mask"):
        cutouts(file, CutoutConfig(mask=str(empty)))
    with pytest.raises(UsageError, match="120x120, expected the shape of 160x120"):
        cutouts(file, CutoutConfig(mask=str(other)))


def moving(count: int) -> list[np.ndarray]:
    """Coverage of a disc that crosses the picture."""
    return [disc(40 + 80 * i / (count - 1), 60, 20) for i in range(count)]


def test_a_moving_subject_is_framed_steadily_and_followed(tmp_path: Path) -> None:
    alphas = moving(12)
    (tmp_path / "clip").mkdir()
    clip = saved(tmp_path / "clip", *(over(alpha, texture()) for alpha in alphas))
    found = cutouts(clip, CutoutConfig(subject="object", frames=4, box=(0.1, 0.3, 0.4, 0.7)))
    assert len(found) == 4
    assert found.fps == pytest.approx(25 / 3)
    for place in range(4):
        assert overlap(found, alphas[3 * place], place) > 0.8
    Image.fromarray(np.rint(255 * alphas[0]).astype(np.uint8)).save(tmp_path / "first.png")
    led = cutouts(clip, CutoutConfig(mask=str(tmp_path / "first.png"), frames=4))
    assert overlap(led, alphas[9], 3) > 0.8


@pytest.mark.parametrize("shown", [slice(0, 3), slice(2, 6)])
def test_a_subject_that_leaves_a_plain_background_or_comes_later(tmp_path: Path, shown: slice) -> None:
    behind = (235, 235, 230)
    empty = over(np.zeros((HEIGHT, WIDTH), np.float32), behind)
    clip = [over(alpha, behind) if n in range(6)[shown] else empty for n, alpha in enumerate(moving(6))]
    found = cutouts(saved(tmp_path, *clip), THING)
    count = len(range(6)[shown])
    assert len(found) == count
    assert overlap(found, moving(6)[shown][-1], count - 1) > 0.95
    assert any(f"{count} of 6 frames" in note for note in found.notes)


def test_a_clip_of_a_plain_background_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing differs from the .* background.*--mask"):
        cutouts(saved(tmp_path, *[np.full((HEIGHT, WIDTH, 3), 240, np.uint8)] * 3), THING)


def test_a_subject_that_is_lost_is_told_from_the_first_frame_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = cutout.thing.next_held
    asked: list[int] = []

    def next_held(image: np.ndarray, state: Held) -> Held | None:
        asked.append(1)
        return None if len(asked) > 1 else follow(image, state)

    monkeypatch.setattr(cutout.thing, "next_held", next_held)
    found = cutouts(saved(tmp_path, *[over(disc(75, 62, 32), texture())] * 4), THING)
    assert len(found) == 2
    assert "the subject is lost from frame 2 on" in found.notes


def test_only_the_first_shot_is_used(tmp_path: Path) -> None:
    shot = [over(alpha, (235, 235, 230)) for alpha in moving(5)]
    stripes = np.where(np.arange(WIDTH) // 9 % 2, 20, 90)[None, :, None] * np.ones((HEIGHT, 1, 3))
    found = cutouts(saved(tmp_path, *shot, *[over(disc(60, 60, 30), stripes, (20, 60, 220))] * 4), THING)
    assert len(found) == 5
    assert any("scene cut after 0.2 s" in note for note in found.notes)


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "I;16"])
def test_pictures_of_every_kind_are_read(tmp_path: Path, mode: str) -> None:
    picture = over(disc(75, 62, 32), (255, 255, 255))
    if mode == "I;16":
        Image.fromarray(picture[..., 1].astype(np.uint16) * 257).save(tmp_path / "picture.png")
    else:
        Image.fromarray(picture).convert(mode).save(tmp_path / f"picture.{'tif' if mode == 'CMYK' else 'png'}")
    (file,) = tmp_path.iterdir()
    assert overlap(cutouts(file, THING), disc(75, 62, 32)) > 0.96


class Endless:
    """Frames made when read; counts those that are held."""

    def __init__(self) -> None:
        self.held: weakref.WeakSet[Frame] = weakref.WeakSet()
        self.most = 0

    def read(self, start: int, stop: int) -> Iterator[Frame]:
        """As `FrameSource`."""
        for index in range(start, stop):
            frame = Frame(np.full((16, 24, 3), 200, np.uint8), index, 1, index)
            self.held.add(frame)
            self.most = max(self.most, len(self.held))
            yield frame


def test_a_long_clip_is_not_held() -> None:
    gc.collect()
    source, pts = Endless(), np.arange(2_000, dtype=np.int64)
    video = Video(source, pts, np.ones_like(pts), Fraction(1, 25), 16, 24)
    clip = choose(OpenedVideo(video, Path("long.mp4")), CutoutConfig(frames=8), Silent())
    assert clip.picks == tuple(range(0, 2_000, 250))
    assert [view.index for view in clip.views(clip.picks)] == list(clip.picks)
    assert source.most <= 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": 0},
        {"frames": 10_000},
        {"seconds": float("nan")},
        {"fps": -1.0},
        {"person": 0},
        {"box": (0.5, 0.0, 0.4, 1.0)},
        {"box": (0.0, 0.0, 2.0, 1.0)},
        {"mask": "a.png", "person": 1},
        {"subject": "object", "person": 1},
        {"subject": "person", "box": (0.0, 0.0, 1.0, 1.0)},
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        CutoutConfig(**wrong)  # type: ignore[arg-type]


def test_colors_of_what_covers_are_told_from_those_behind() -> None:
    alpha = cv2.GaussianBlur(disc(80, 60, 30), (0, 0), 2)
    found = own_colors(over(alpha, (0, 0, 255)), alpha, WIDTH)
    edge = (alpha > 0.3) & (alpha < 0.9)
    assert np.abs(found[edge].astype(float) - RED).mean() < 16


@pytest.mark.skipif(not (available("mediapipe") and available("skimage")), reason="mediapipe and skimage")
def test_a_person_is_found_and_chosen_from_the_left(tmp_path: Path) -> None:
    from skimage.data import astronaut

    photo = cv2.resize(astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
    found = cutouts(saved(tmp_path, np.concatenate([photo, photo[:, ::-1]], axis=1)), CutoutConfig(person=2))
    assert found.crop[0] + found.crop[2] / 2 > 256
    assert any("person 2 of 2" in note for note in found.notes)
    with pytest.raises(UsageError, match="no person 3"):
        cutouts(tmp_path / "frame0000.png", CutoutConfig(person=3))
