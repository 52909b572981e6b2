"""Cameras: projection and its inverse, the published paths, and what a stereo rig does to a point."""

import numpy as np
import pytest

from diorama.core.camera import FOCAL_WIDTHS, Cameras, StereoRig, circle, line, middle
from diorama.errors import UsageError

POINTS = np.random.default_rng(0).uniform([-1, -1, 2], [1, 1, 9], (40, 3))


def turned(num_views: int = 3) -> Cameras:
    """Cameras at different places that look different ways."""
    viewmats = np.tile(np.eye(4), (num_views, 1, 1))
    for i in range(num_views):
        c, s = np.cos(0.3 * i), np.sin(0.3 * i)
        viewmats[i, :3, :3] = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ [[1, 0, 0], [0, c, -s], [0, s, c]]
        viewmats[i, :3, 3] = [0.1 * i, -0.2, 0.3]
    K = np.array([[500.0, 0.5, 320], [0, 480, 180], [0, 0, 1]])
    return Cameras(viewmats, np.tile(K, (num_views, 1, 1)), 360, 640)


def test_unproject_undoes_project() -> None:
    cameras = turned()
    pixels, depth = cameras.project(POINTS)
    assert pixels.shape == (3, 40, 2)
    assert np.allclose(cameras.unproject(pixels, depth), POINTS)


def test_the_axis_goes_through_the_principal_point() -> None:
    cameras = line(1, 0.0, height=360, width=640)
    pixels, depth = cameras.project(np.array([[0.0, 0, 4], [0, 1, 4], [1, 0, 4]]))
    assert np.allclose(pixels[0, 0], [320, 180])
    assert pixels[0, 1, 1] > 180  # y points down
    assert pixels[0, 2, 0] > 320  # x points right
    assert np.allclose(depth, 4)


def test_scaling_scales_pixels() -> None:
    cameras = turned()
    half = cameras.scaled(180, 320)
    assert np.allclose(half.project(POINTS)[0] * 2, cameras.project(POINTS)[0])
    assert (half.height, half.width) == (180, 320)
    assert np.allclose(half.scaled(360, 640).Ks, cameras.Ks)


def test_centers_see_themselves_at_the_origin() -> None:
    cameras = turned()
    for i, center in enumerate(cameras.centers):
        assert np.allclose(cameras.viewmats[i] @ [*center, 1], [0, 0, 0, 1])


def test_line_is_the_published_one() -> None:
    """S2VG: 8 views over 0.08 m at 576 px, focal 800: 6.4 px (far, 10 m) in the last view."""
    cameras = line(8, 0.08, height=320, width=576)
    assert np.allclose(cameras.centers[:, 0], np.linspace(0, 0.08, 8))
    assert np.allclose(cameras.Ks[:, 0, 0], 800)
    far = cameras.project(np.array([[0.0, 0, 10]]))[0][:, 0, 0]
    assert far[0] - far[-1] == pytest.approx(6.4)
    assert np.allclose(line(8, -0.08, height=320, width=576).centers, -cameras.centers)


@pytest.mark.parametrize("num_views", [1, 2, 7, 8])
def test_middle_has_its_reference_at_zero(num_views: int) -> None:
    xs = middle(num_views, 0.08, height=320, width=576).centers[:, 0]
    assert xs[num_views // 2] == 0
    assert np.all(np.abs(xs) <= 0.04)
    assert num_views == 1 or xs[0] == -0.04


def test_circle_is_an_ellipse() -> None:
    centers = circle(0.075, 0.5, 16, height=320, width=576).centers
    assert np.allclose((centers[:, 0] / 0.0375) ** 2 + (centers[:, 1] / 0.01875) ** 2, 1)
    assert np.allclose(centers.mean(axis=0), 0)
    assert np.allclose(centers[:, 2], 0)


def test_views_can_be_sliced() -> None:
    cameras = line(4, 0.1, height=10, width=10)
    assert len(cameras[1:3]) == 2
    assert np.allclose(cameras[1:3].centers, cameras.centers[1:3])


def broken(part: str) -> tuple[np.ndarray, np.ndarray]:
    viewmat, K = np.eye(4), np.array([[500.0, 0, 320], [0, 500, 180], [0, 0, 1]])
    match part:
        case "viewmats.*not finite":
            viewmat[0, 3] = np.nan
        case "left-handed":
            viewmat[0, 0] = -1
        case "no rotation":
            viewmat[:3, :3] *= 2
        case "last row is not 0 0 0 1":
            viewmat[3, 0] = 1
        case "Ks.*not finite":
            K[0, 0] = np.inf
        case "singular":
            K[0, 0] = 0
        case "last row is not 0 0 1":
            K[2, 0] = 1
    return viewmat[None], K[None]


@pytest.mark.parametrize(
    "part",
    ["viewmats.*not finite", "left-handed", "no rotation", "last row is not 0 0 0 1", "Ks.*not finite", "singular",
     "last row is not 0 0 1"],
)  # fmt: skip
def test_bad_matrices_are_refused(part: str) -> None:
    expected = part.split(".*")[-1]
    with pytest.raises(UsageError, match=expected) as caught:
        Cameras(*broken(part), 360, 640)
    assert caught.value.exit_code == 2
    assert caught.value.where in ("viewmats[0]", "Ks[0]")


def test_no_pixels_and_no_views_are_refused() -> None:
    with pytest.raises(UsageError):
        Cameras(*broken(""), 0, 640)
    with pytest.raises(UsageError, match="0 views"):
        line(0, 0.1, height=10, width=10)


def test_divergence_is_the_range_of_parallax_in_percent() -> None:
    rig = StereoRig.from_divergence(2.5, 0.4, width=1920)
    ends = rig.disparity(np.array([0.0, 0.4, 1.0]))
    assert np.allclose(ends, [-0.4 * 48, 0, 0.6 * 48])  # 2.5 % of 1920 is 48
    assert rig.divergence(1920) == pytest.approx(2.5)
    assert rig.focal == pytest.approx(1920 * FOCAL_WIDTHS)
    metres = StereoRig.from_divergence(2.5, 0.4, width=1920, nearest=1.1, farthest=0.1)
    assert np.allclose(metres.disparity(np.array([0.1, 0.5, 1.1])), ends)


def test_a_rig_and_its_cameras_agree() -> None:
    rig = StereoRig(focal=900.0, baseline=0.065, convergence=0.25)
    pixels, depth = rig.cameras(720, 1280).project(POINTS)
    assert np.allclose(pixels[0, :, 0] - pixels[1, :, 0], rig.disparity(1 / depth[0]))
    assert np.allclose(pixels[0, :, 1], pixels[1, :, 1])
    assert np.allclose(rig.cameras(720, 1280).viewmats[:, :3, :3], np.eye(3))  # no toe-in


def test_no_divergence_is_no_parallax() -> None:
    rig = StereoRig.from_divergence(0.0, 0.5, width=640)
    assert rig.baseline == 0
    assert np.all(rig.disparity(np.linspace(0, 1, 5)) == 0)


@pytest.mark.parametrize(
    ("divergence", "convergence", "nearest"), [(-1.0, 0.5, 1.0), (np.nan, 0.5, 1.0), (1.0, -0.1, 1.0), (1.0, 1.1, 1.0),
                                               (1.0, np.nan, 1.0), (1.0, 0.5, 0.0), (np.inf, 0.5, 1.0)]
)  # fmt: skip
def test_bad_rigs_are_refused(divergence: float, convergence: float, nearest: float) -> None:
    with pytest.raises(UsageError):
        StereoRig.from_divergence(divergence, convergence, width=640, nearest=nearest)
