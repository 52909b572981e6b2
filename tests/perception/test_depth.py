"""Embedded depth: plain scenes come out right, maps are steady, repeatable and in range, and people stand in front."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from diorama.core.video import Frame
from diorama.perception import cardboard, cues
from diorama.perception.base import Tracked
from diorama.perception.depth import EmbeddedDepth
from diorama.perception.flow import pull
from diorama.perception.fuse import read_still
from diorama.perception.layout import ramp
from diorama.perception.lines import find_segments, vanishing_point
from diorama.perception.parallax import camera_motion, own_motion
from diorama.perception.shots import track


def outdoors(shift: int = 0, height: int = 216, width: int = 384) -> np.ndarray:
    """Sky, a textured ground, and a red post standing on it."""
    image = np.empty((height, width, 3), np.uint8)
    horizon = height * 45 // 100
    image[:horizon] = (150, 190, 235)
    noise = np.random.default_rng(0).integers(0, 50, (height - horizon, width, 3))
    image[horizon:] = np.uint8([70, 100, 50]) + cv2.GaussianBlur(noise.astype(np.uint8), (0, 0), 1.5)
    image[60:170, 180 + shift : 210 + shift] = (190, 40, 35)
    return image


def corridor() -> np.ndarray:
    """Four tiled planes that meet in the middle."""
    y, x = np.mgrid[-108:108, -192:192] + 0.5
    side, up = np.abs(x) / 150, np.abs(y) / 100
    depth = 1 / np.maximum(np.maximum(side, up), 0.05)
    across = np.where(side > up, y, x) * depth / 100
    tiles = (np.floor(across * 4) + np.floor(depth * 2)) % 2
    shade = np.where(side > up, 0.8, 1.0)[..., None] * np.where(tiles[..., None] > 0, 170.0, 90.0)
    return np.clip(shade * [1, 0.9, 0.8], 0, 255).astype(np.uint8)


def run(images: list[np.ndarray], people: object = None) -> tuple[list[Tracked], list[np.ndarray]]:
    tracked = list(track(Frame(image, i, 1, i) for i, image in enumerate(images)))
    return tracked, list(EmbeddedDepth(people)(tracked))  # type: ignore[arg-type]


def test_outdoors_sky_is_far_ground_rises_and_the_post_stands() -> None:
    near = run([outdoors()])[1][0]
    assert near.shape == (216, 384)
    assert near[:80, :150].max() < 0.05
    rows = near[105:, 40:150].mean(1)
    assert (np.diff(rows) > -0.01).all()
    assert rows[-1] > 0.6
    post, behind = near[80:160, 185:205], near[80:160, 120:160]
    assert np.median(post) > np.median(behind) + 0.1


def test_corridor_recedes_to_its_middle() -> None:
    point = vanishing_point(find_segments(cv2.cvtColor(corridor(), cv2.COLOR_RGB2GRAY)))
    assert point.confidence > 0.8
    assert abs(point.x) < 0.02
    assert abs(point.y) < 0.02
    near = read_still(corridor()).inverse_depth
    middle = near[40:50, 70:90].mean()
    for border in (near[30:60, :8], near[30:60, -8:], near[-6:, 60:100], near[:6, 60:100]):
        assert border.mean() > middle + 0.3


@pytest.mark.parametrize("size", [(16, 16), (31, 17), (90, 160), (384, 216), (1, 1), (40, 384)])
def test_any_size_gives_maps_in_range(size: tuple[int, int]) -> None:
    image = np.random.default_rng(3).integers(0, 256, (*size, 3)).astype(np.uint8)
    for near in run([image, image])[1]:
        assert near.shape == image.shape[:2]
        assert near.dtype == np.float32
        assert np.isfinite(near).all()
        assert near.min() >= 0
        assert near.max() <= 1


def test_flat_pictures_are_no_error() -> None:
    for level in (0, 128, 255):
        assert np.isfinite(run([np.full((90, 160, 3), level, np.uint8)])[1][0]).all()


def test_same_frames_same_maps_without_looking_ahead() -> None:
    images = [outdoors(2 * i) for i in range(7)]
    first, again, fewer = run(images)[1], run(images)[1], run(images[:4])[1]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(first[:4], fewer, strict=True))


def test_one_map_a_frame_and_no_frame_held() -> None:
    pulled = 0

    def frames() -> Iterator[Tracked]:
        nonlocal pulled
        for tracked in track(Frame(outdoors(2 * i), i, 1, i) for i in range(5)):
            pulled += 1
            yield tracked

    for done, _ in enumerate(EmbeddedDepth()(frames()), 1):
        assert pulled == done


def test_maps_are_steady_along_the_flow() -> None:
    tracked, maps = run([outdoors(i) for i in range(12)])
    steps = [
        float(np.abs(b - pull(a, t.flow)).mean())
        for a, b, t in zip(maps, maps[1:], tracked[1:], strict=False)
        if t.flow is not None
    ]
    assert len(steps) == 11
    assert max(steps) < 0.02


def test_camera_motion_is_what_an_affine_map_explains() -> None:
    y, x = np.mgrid[0:120, 0:200].astype(np.float32)
    flow = np.dstack([3 + 0.02 * x - 0.01 * y, -1 + 0.01 * x + 0.02 * y]).astype(np.float32)
    assert np.abs(camera_motion(flow) - flow).max() < 1e-3
    assert own_motion(flow).max() == 0
    moved = flow.copy()
    moved[40:80, 80:120] += (6, 0)
    own = own_motion(moved)
    assert own[50:70, 90:110].min() > 0.9
    assert own[:, :60].max() < 0.1


class Someone:
    """Finds the red post."""

    name = "someone"

    def __call__(self, tracked: Tracked) -> np.ndarray | None:
        mask = (tracked.small[..., 0] > 150) & (tracked.small[..., 1] < 80)
        return mask if mask.any() else None


def test_a_person_stands_in_front_and_is_nearly_flat() -> None:
    tracked, maps = run([outdoors(2 * i) for i in range(4)], Someone())
    for t, near in zip(tracked, maps, strict=True):
        mask = Someone()(t)
        assert mask is not None
        assert np.median(near[mask]) > np.median(near[cardboard.surroundings(mask)])
        inside = cv2.erode(mask.astype(np.uint8), np.ones((5, 5))) > 0
        assert np.ptp(near[inside]) < 0.1
        assert near.max() <= 1


def test_a_person_stands_at_the_depth_of_the_ground_at_the_feet() -> None:
    ground = np.tile(np.linspace(0, 1, 100, dtype=np.float32)[:, None], (1, 160))
    mask = np.zeros((100, 160), bool)
    mask[10:80, 70:90] = True
    standing = cardboard.place(mask, ground)
    assert standing.inverse_depth == pytest.approx(ground[78, 0], abs=0.04)
    mask[10:, 70:90] = True
    assert cardboard.place(mask, ground).inverse_depth > np.percentile(ground[cardboard.surroundings(mask)], 60)


def test_ramp_is_positive_part_with_a_rounded_corner() -> None:
    x = np.linspace(-1, 1, 41)
    assert np.allclose(ramp(x, 0.0), np.maximum(x, 0))
    assert (ramp(x, 0.2) >= np.maximum(x, 0)).all()
    assert (np.diff(ramp(x, 0.2)) > 0).all()


def test_contact_is_the_ground_below() -> None:
    y = np.tile(np.arange(6.0)[:, None], (1, 3))
    is_ground = np.zeros((6, 3))
    is_ground[4:, 0] = 1
    is_ground[5, 1] = 1
    at, seen = cues.contact(is_ground, y)
    assert at[:, 0].tolist() == [4, 4, 4, 4, 4, 5]
    assert at[:, 1].tolist() == [5] * 6
    assert seen[0].tolist() == [1, 1, 0]
