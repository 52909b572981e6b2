"""Large holes of one picture: known pixels stay, textures go on, light goes on, nothing of the hole shows."""

import cv2
import numpy as np
import pytest

from diorama.errors import UsageError
from diorama.perception._completion_kernels import MOST, compare, match
from diorama.perception.background import invent
from diorama.perception.completion import completed

HEIGHT, WIDTH = 72, 96


def hole_in(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    hole[height // 4 :, width * 3 // 8 : width * 5 // 8] = True
    return hole


def tiles(height: int = HEIGHT, width: int = WIDTH, size: int = 6) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    light = ((y // size + x // size) % 2)[..., None]
    return np.where(light, np.uint8([200, 180, 140]), np.uint8([60, 70, 90])).astype(np.uint8)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(float(np.mean((one.astype(float) - other) ** 2)), 1e-9)))


def blanked(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return np.where(hole[..., None], np.uint8([255, 0, 255]), image).astype(np.uint8)


def test_tiles_go_on_and_what_is_known_stays() -> None:
    image, hole = tiles(), hole_in()
    out = completed(blanked(image, hole), hole)
    assert np.array_equal(out[~hole], image[~hole])
    assert psnr(out[hole], image[hole]) > 30
    assert psnr(out[hole], image[hole]) > psnr(invent(image, ~hole, hole)[hole], image[hole]) - 0.5


def test_what_was_in_the_hole_changes_nothing_and_the_seed_decides() -> None:
    image, hole = tiles(size=5), hole_in()
    image = np.clip(image + np.random.default_rng(0).integers(-20, 20, image.shape), 0, 255).astype(np.uint8)
    other = image.copy()
    other[hole] = np.random.default_rng(1).integers(0, 256, (int(hole.sum()), 3))
    assert np.array_equal(completed(image, hole), completed(other, hole))
    assert not np.array_equal(completed(image, hole, seed=-3), completed(image, hole, seed=1))


def test_light_goes_on_over_the_hole_without_a_seam() -> None:
    ramp = np.linspace(40, 220, WIDTH)[None, :, None] + np.linspace(0, 20, HEIGHT)[:, None, None]
    image, hole = np.broadcast_to(ramp, (HEIGHT, WIDTH, 3)).round().astype(np.uint8), hole_in()
    out = completed(blanked(image, hole), hole)
    assert np.abs(out.astype(int) - image)[hole].mean() < 8
    assert np.abs(np.diff(out.astype(int), axis=1)).max() < 16


def test_the_ring_around_the_hole_is_never_copied() -> None:
    image, hole = np.full((HEIGHT, WIDTH, 3), (90, 140, 90), np.uint8), hole_in()
    ring = (cv2.dilate(hole.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0) & ~hole
    image[ring] = (220, 30, 30)
    out = completed(image, hole)
    assert np.abs(out[hole].astype(int) - (90, 140, 90)).max() <= 1


def test_a_larger_picture_gets_its_details_back() -> None:
    image, hole = tiles(144, 192, size=12), hole_in(144, 192)
    fine = np.where((np.arange(192) % 2)[None, :, None], image, image // 2).astype(np.uint8)
    out = completed(blanked(fine, hole), hole, side=96)
    assert np.array_equal(out[~hole], fine[~hole])
    sharp = np.abs(np.diff(out.astype(int), axis=1))[hole[:, 1:]].mean()
    assert sharp > 0.6 * np.abs(np.diff(fine.astype(int), axis=1))[hole[:, 1:]].mean()


def test_no_hole_gives_a_copy() -> None:
    image = tiles()
    out = completed(image, np.zeros((HEIGHT, WIDTH), bool))
    assert np.array_equal(out, image)
    assert out is not image


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (1, 40), (9, 9), (7, 64), (40, 3)])
def test_small_and_narrow_pictures(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), (10, 200, 90), np.uint8)
    hole = np.zeros(shape, bool)
    hole[shape[0] // 2 :, shape[1] // 2 :] = True
    out = completed(blanked(image, hole), hole)
    assert np.abs(out.astype(int) - image).max() <= 1


@pytest.mark.parametrize(
    "known", [(slice(0, 1), slice(0, 1)), (slice(0, 9), slice(None)), (slice(30, 40), slice(0, 9))]
)
def test_hardly_anything_known(known: tuple[slice, slice]) -> None:
    image, hole = tiles(), np.ones((HEIGHT, WIDTH), bool)
    hole[known] = False
    out = completed(blanked(image, hole), hole)
    assert np.array_equal(out[known], image[known])
    assert not (out == (255, 0, 255)).all(axis=-1).any()


def test_what_cannot_be_done() -> None:
    image = tiles()
    with pytest.raises(UsageError, match="whole picture"):
        completed(image, np.ones((HEIGHT, WIDTH), bool))
    with pytest.raises(UsageError, match="whole picture"):
        completed(image[:1, :1], np.ones((1, 1), bool))
    with pytest.raises(UsageError, match="side"):
        completed(image, hole_in(), side=4)


def test_a_patch_costs_nothing_against_itself_and_little_in_other_light() -> None:
    picture = np.random.default_rng(0).uniform(50, 150, (20, 40, 3)).astype(np.float32)
    picture[:, 20:] = picture[:, :20] + 10
    done = np.ones((20, 40), bool)
    most = np.float32(np.inf)
    assert match(picture, done, 8, 8, 8, 8, np.float32(2), most) == 0
    cost, *bias = compare(picture, done, 8, 8, 8, 28, most)
    assert 0 < cost < 3 * 10**2
    assert all(-10 <= b < 0 and abs(b) <= MOST for b in bias)
    assert match(picture, done, 8, 8, 12, 28, np.float32(2), most) > 8**2
    assert match(picture, done, 8, 8, 12, 28, np.float32(2), np.float32(64)) == np.inf
