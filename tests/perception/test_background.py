"""The scene behind people: found where another frame shows it, made up once where none does, untouched elsewhere."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from diorama.core.video import Frame
from diorama.errors import DamagedMediaError, MediaError, UsageError
from diorama.perception._background_box import boxes_of, either, spread
from diorama.perception._background_invent import invent
from diorama.perception._background_join import join
from diorama.perception.background import HELD, Background, KeyFrames, open_keys
from diorama.perception.shots import track

HEIGHT, WIDTH = 96, 144


def textured(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    low, high = smooth.min(), smooth.max()
    return ((smooth - low) / (high - low) * 200 + 20).astype(np.uint8)


class Scene:
    """Somebody walks (or stands) before a textured wall that a camera passes, with a ball that nobody masks."""

    def __init__(
        self, frames: int = 15, *, walk: float = 5, pan: float = 0, ball: bool = False, noise: int = 0
    ) -> None:
        rng, world = np.random.default_rng(2), textured(HEIGHT, WIDTH + int(abs(pan) * frames) + 4)
        self.images, self.truth, self.masks = [], [], []
        for t in range(frames):
            shift = np.array([[1, 0, pan * t], [0, 1, 0]], np.float32)
            truth = cv2.warpAffine(world, shift, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
            image, mask = truth.copy(), np.zeros((HEIGHT, WIDTH), bool)
            left = int(20 + walk * t)
            mask[24:80, left : left + 24] = True
            if ball:
                cv2.circle(image, (130 - 8 * t, 40), 7, (255, 255, 255), -1)
            image[mask] = (200, 30, 30)
            image = (image.astype(int) + rng.integers(-noise, noise + 1, image.shape)).clip(0, 255).astype(np.uint8)
            self.images.append(image)
            self.truth.append(truth)
            self.masks.append(mask)

    def frames(self, deep: bool = False) -> list[Frame]:
        images = [i.astype(np.uint16) * 257 for i in self.images] if deep else self.images
        return [Frame(image, t, 1, t) for t, image in enumerate(images)]

    def hole(self, t: int) -> np.ndarray:
        return cv2.dilate(self.masks[t].astype(np.uint8), np.ones((5, 5), np.uint8)).view(bool)


def first_pass(scene: Scene, folder: Path, *, deep: bool = False, every: int = 4) -> Background:
    keys = KeyFrames(folder, every=every)
    for tracked, mask in zip(track(scene.frames(deep)), scene.masks, strict=True):
        keys.see(tracked, mask)
    return Background(keys.finish())


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(float(np.mean((one.astype(float) - other) ** 2)), 1e-9)))


def test_a_standing_camera_gives_the_true_wall_without_flicker(tmp_path: Path) -> None:
    scene = Scene(noise=3)
    background, before = first_pass(scene, tmp_path), None
    for t in range(3, 12):
        image, hole = scene.images[t], scene.hole(t)
        filled, seen = background.behind(image, hole, t)
        assert np.array_equal(filled[~hole], image[~hole])
        assert np.array_equal(seen, hole)
        assert psnr(filled[hole], scene.truth[t][hole]) > 38
        if before is not None:
            both = before[1] & hole
            assert np.abs(filled[both].astype(int) - before[0][both]).mean() <= 1
        before = filled, hole
    assert len(background._plates) <= HELD


def test_a_moving_camera_too(tmp_path: Path) -> None:
    scene = Scene(pan=2.3, walk=3)
    background = first_pass(scene, tmp_path)
    for t in (0, 6, 14):
        hole = scene.hole(t)
        filled, seen = background.behind(scene.images[t], hole, t)
        assert np.array_equal(filled[~hole], scene.images[t][~hole])
        assert psnr(filled[seen], scene.truth[t][seen]) > 30
        assert seen[hole].mean() > 0.9


def test_what_flies_by_leaves_no_ghost(tmp_path: Path) -> None:
    scene = Scene(ball=True)
    background = first_pass(scene, tmp_path, every=2)
    for t in range(0, 15, 4):
        hole = scene.hole(t)
        filled, _ = background.behind(scene.images[t], hole, t)
        inner = cv2.erode(hole.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0  # the ball itself may touch the rim
        assert np.abs(filled[inner].astype(int) - scene.truth[t][inner]).max() < 25


def test_what_nobody_sees_is_made_up_once(tmp_path: Path) -> None:
    scene = Scene(walk=0.4)
    background = first_pass(scene, tmp_path)
    found = [background.behind(scene.images[t], scene.hole(t), t) for t in range(0, 15, 2)]
    hidden = np.logical_and.reduce([scene.hole(2 * t) & ~seen for t, (_, seen) in enumerate(found)])
    assert hidden.sum() > 500
    assert not (found[0][0][hidden] == (200, 30, 30)).all(axis=-1).any()
    for (one, _), (two, _) in pairwise(found):
        assert np.abs(one[hidden].astype(int) - two[hidden]).mean() <= 1


def test_sixteen_bits_agree_with_eight(tmp_path: Path) -> None:
    scene = Scene(12)
    small, deep = first_pass(scene, tmp_path / "8"), first_pass(scene, tmp_path / "16", deep=True)
    hole = scene.hole(5)
    one, seen = small.behind(scene.images[5], hole, 5)
    two, also = deep.behind(scene.images[5].astype(np.uint16) * 257, hole, 5)
    assert two.dtype == np.uint16
    assert np.array_equal(seen, also)
    assert np.abs(two / 257 - one).max() < 1.6


def test_any_order_and_a_second_run_give_the_same(tmp_path: Path) -> None:
    scene = Scene(10, walk=1)
    one, two = first_pass(scene, tmp_path / "a"), first_pass(scene, tmp_path / "b")
    forth = {t: one.behind(scene.images[t], scene.hole(t), t) for t in (1, 5, 9)}
    back = {t: two.behind(scene.images[t], scene.hole(t), t) for t in (9, 5, 1)}
    again = Background(open_keys(tmp_path / "a"))
    for t, (image, seen) in forth.items():
        assert np.array_equal(image, back[t][0])
        assert np.array_equal(seen, back[t][1])
        assert np.array_equal(image, again.behind(scene.images[t], scene.hole(t), t)[0])


def test_nothing_is_borrowed_across_a_cut(tmp_path: Path) -> None:
    one, two = Scene(8), Scene(8, walk=0)
    two.images = [255 - image // 3 for image in two.images]
    keys = KeyFrames(tmp_path, every=4)
    frames = [Frame(image, t, 1, t) for t, image in enumerate([*one.images, *two.images])]
    tracked = list(track(frames))
    for item, mask in zip(tracked, [*one.masks, *two.masks], strict=True):
        keys.see(item, mask)
    assert tracked[8].first
    hole = two.masks[0]
    _, seen = Background(keys.finish()).behind(two.images[0], hole, 8)
    assert not seen.any()


def test_no_hole_and_all_hole(tmp_path: Path) -> None:
    scene = Scene(6)
    background = first_pass(scene, tmp_path)
    same, seen = background.behind(scene.images[3], np.zeros((HEIGHT, WIDTH), bool), 3)
    assert np.array_equal(same, scene.images[3])
    assert not seen.any()
    filled, _ = background.behind(scene.images[3], np.ones((HEIGHT, WIDTH), bool), 3)
    assert psnr(filled, scene.truth[3]) > 20


def test_nobody_in_the_clip(tmp_path: Path) -> None:
    scene = Scene(5)
    keys = KeyFrames(tmp_path)
    for tracked in track(scene.frames()):
        keys.see(tracked, None, np.eye(3))
    hole = scene.hole(2)
    _, seen = Background(keys.finish()).behind(scene.images[2], hole, 2)
    assert seen[hole].all()


def test_frames_of_another_clip_are_refused(tmp_path: Path) -> None:
    scene = Scene(5)
    background = first_pass(scene, tmp_path)
    hole = scene.hole(0)
    with pytest.raises(UsageError, match="the key frames are"):
        background.behind(scene.images[0][:-1], hole[:-1], 0)
    with pytest.raises(UsageError, match="the first pass saw 0 to 4"):
        background.behind(scene.images[0], hole, 5)
    with pytest.raises(UsageError, match="a hole of"):
        background.behind(scene.images[0], hole[:-1], 0)
    keys, tracked = KeyFrames(tmp_path / "more"), list(track(scene.frames()))
    with pytest.raises(UsageError, match="no frame was seen"):
        keys.finish()
    with pytest.raises(UsageError, match="does not start its shot"):
        keys.see(tracked[1])
    keys.see(tracked[0])
    with pytest.raises(UsageError, match="expected 1 of"):
        keys.see(tracked[2])
    with pytest.raises(UsageError, match="every 0 frames"):
        KeyFrames(tmp_path, every=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        KeyFrames(tmp_path / "file")


def test_a_damaged_work_folder_is_told(tmp_path: Path) -> None:
    scene = Scene(9)
    background = first_pass(scene, tmp_path)
    (tmp_path / "key-000001.npy").write_bytes(b"nothing")
    with pytest.raises(DamagedMediaError, match="no key frame"):
        background.behind(scene.images[0], scene.hole(0), 0)
    table = np.load(tmp_path / "frames.npy")
    for change in (lambda a: a[:, :5], lambda a: a * np.nan, lambda a: a * 0, lambda a: a[:0]):
        np.save(tmp_path / "frames.npy", change(table.copy()))
        with pytest.raises(DamagedMediaError):
            open_keys(tmp_path)
    (tmp_path / "frames.npy").unlink()
    with pytest.raises(MediaError):
        open_keys(tmp_path)


def test_a_damaged_plate_is_made_again(tmp_path: Path) -> None:
    scene = Scene(9)
    first, _ = first_pass(scene, tmp_path).behind(scene.images[2], scene.hole(2), 2)
    for file in tmp_path.glob("plate-*-state.npy"):
        np.save(file, np.full(40, 255, np.uint8))
    again, _ = Background(open_keys(tmp_path)).behind(scene.images[2], scene.hole(2), 2)
    assert np.array_equal(first, again)


def test_the_join_is_the_weighted_medoid() -> None:
    rng = np.random.default_rng(0)
    views = rng.integers(0, 256, (4, 5, 6, 3)).astype(np.uint8)
    views[1:3] = views[0]
    there = np.ones((4, 5, 6), bool)
    there[:, 0, 0] = False
    there[:3, 1, 1] = False
    out, seen = join(views, there, np.ones((4, 3), np.float32), np.array([1, 1, 1, 2], np.float32))
    assert not seen[0, 0]
    assert seen.sum() == 29
    assert np.array_equal(out[1, 1], views[3, 1, 1])
    assert np.array_equal(out[2:], views[0, 2:])


def test_boxes_cover_the_mask_and_do_not_overlap() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        mask = np.zeros((int(rng.integers(1, 300)), int(rng.integers(1, 300))), bool)
        for y, x in rng.integers(0, [max(1, s - 3) for s in mask.shape], (3, 2)):
            mask[y : y + 9, x : x + 9] = True
        count = np.zeros(mask.shape, int)
        for box in boxes_of(mask, margin=12):
            count[box.cut] += 1
        assert count.max() == 1
        wide = cv2.dilate(mask.view(np.uint8), np.ones((17, 17), np.uint8)) > 0
        assert (count[wide] == 1).all()
    assert boxes_of(np.zeros((40, 40), bool), margin=8) == []


def test_spread_keeps_a_constant_and_follows_the_nearer() -> None:
    values, weights = np.full((30, 40, 2), 7, np.float32), np.zeros((30, 40), np.float32)
    assert not spread(values, weights).any()
    weights[:, :3] = weights[:, -3:] = 1
    np.testing.assert_allclose(spread(values, weights), 7, rtol=1e-4)
    values[:, 20:] = 1
    smooth = spread(values, weights)[15, :, 0]
    assert smooth[4] > 6.5
    assert smooth[35] < 1.5


def test_made_up_pixels_continue_a_pattern_and_nothing_else_changes() -> None:
    stripes = (np.indices((96, 128))[1] // 8 % 2 * 150 + 50).astype(np.uint8)
    image, known = np.repeat(stripes[..., None], 3, axis=-1), np.ones((96, 128), bool)
    known[30:60, 50:75] = False
    damaged = either(known, image, np.zeros_like(image))
    filled = invent(damaged, known, ~known)
    assert np.array_equal(filled[known], image[known])
    assert np.abs(filled[~known].astype(int) - image[~known]).mean() < 12
    assert np.array_equal(invent(image, known, np.zeros_like(known)), image)
