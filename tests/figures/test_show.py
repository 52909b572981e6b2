"""Characters drawn: soft edges over any background, one frame at a time, canonical pictures as in the theatre."""

from collections.abc import Iterator

import numpy as np
import pytest

from diorama.core.camera import Cameras
from diorama.core.figure import Motion
from diorama.errors import UsageError
from diorama.figures.canonical import canonical_pictures, canonical_view
from diorama.figures.cast import load_cast
from diorama.figures.show import posed, show, show_one
from diorama.figures.texels import texels_of
from diorama.figures.texture import Character
from diorama.geometry.raster import rasterize
from diorama.theatre import actor, dressing, lesson

FIGURE = load_cast().figure(load_cast().names[0])
TEXELS = texels_of(FIGURE.mesh, 0.03)
OFFSET = np.zeros(len(FIGURE.mesh.vertices), np.float32)
WHO = Character(FIGURE, OFFSET, TEXELS, np.full((len(TEXELS), 3), 140, np.float32), np.ones(len(TEXELS), np.float32))
VERTICES = FIGURE.mesh.vertices


def camera(count: int = 1) -> Cameras:
    viewmat = np.diag([1.0, -1, -1, 1])
    viewmat[:3, 3] = [0, 0.85, 4]
    K = np.array([[300.0, 0, 80], [0, 300, 90], [0, 0, 1]])
    return Cameras(np.repeat(viewmat[None], count, 0), np.repeat(K[None], count, 0), 180, 160)


def still(count: int) -> Motion:
    rotations = np.zeros((count, len(FIGURE.skeleton), 4), np.float32)
    rotations[..., 0] = 1
    return Motion(FIGURE.skeleton, rotations, np.zeros((count, 3), np.float32), 10.0)


def test_alpha_is_coverage_and_the_background_stays() -> None:
    shown = show_one(WHO, VERTICES, camera())
    hard = rasterize(VERTICES, FIGURE.mesh.faces, camera())
    assert set(np.unique(shown.alpha)) == {0, 0.25, 0.5, 0.75, 1}
    assert ((shown.alpha > 0.5) != (hard.face_ids >= 0)).sum() < 0.05 * (hard.face_ids >= 0).sum()
    assert (shown.image[shown.alpha > 0] == 140).all()  # no dark rim
    back = np.random.default_rng(0).integers(0, 255, (180, 160, 3)).astype(np.uint8)
    assert (shown.over(back)[shown.alpha == 0] == back[shown.alpha == 0]).all()
    inside = shown.alpha == 1
    np.testing.assert_allclose(shown.depth[inside], hard.depth[inside], atol=0.1)
    assert np.isinf(shown.depth[shown.alpha == 0]).all()


def test_a_crop_is_part_of_the_whole() -> None:
    whole = show_one(WHO, VERTICES, camera())
    K = camera().Ks - np.array([[0, 0, 75.0], [0, 0, 60], [0, 0, 0]])
    part = show_one(WHO, VERTICES, Cameras(camera().viewmats, K, 80, 60))
    assert (part.image == whole.image[60:140, 75:135]).mean() > 0.999


def test_who_is_out_of_sight_is_nowhere() -> None:
    for shift in ([9, 0, 0], [0, 0, 9]):
        shown = show_one(WHO, VERTICES + np.array(shift, np.float32), camera())
        assert not shown.alpha.any()
    near = show_one(WHO, VERTICES + np.array([0, 0, 4], np.float32), camera())  # the camera is within
    assert np.isfinite(near.image).all()


def test_frames_come_one_by_one() -> None:
    asked = 0

    def places() -> Iterator[np.ndarray]:
        nonlocal asked
        for _ in range(1000):
            asked += 1
            yield VERTICES

    frames = show(WHO, places(), camera())
    first, second = next(frames), next(frames)
    assert asked == 2
    assert (first.image == second.image).all()


def test_rest_is_identity_and_stands_where_it_is_put() -> None:
    poses = list(posed(FIGURE, still(5), chunk=2))
    assert len(poses) == 5
    np.testing.assert_allclose(poses[4], VERTICES, atol=1e-5)
    frame = np.eye(4)
    frame[:3, 3] = [1, 2, 3]
    np.testing.assert_allclose(next(posed(FIGURE, still(1), frame)) - frame[:3, 3], VERTICES, atol=1e-5)


def test_canonical_pictures_are_laid_out_as_the_theatres() -> None:
    pictures, codes = canonical_pictures(WHO, 128)
    dressed = dressing.Dressed(FIGURE, ())
    true, true_codes, _ = lesson.canonical_of(dressed, 128)
    assert pictures.shape == true.shape
    assert (codes == true_codes).all()
    for side in ("front", "back"):
        ours, theirs = canonical_view(VERTICES, 128, side), actor.canonical_camera(dressed, 128, side)
        np.testing.assert_allclose(ours.viewmats, theirs.viewmats)
        np.testing.assert_allclose(ours.Ks, theirs.Ks)
    assert (pictures[:, :, [0, -1]] == 255).all()
    person = (true < 250).all(axis=-1)
    assert np.corrcoef(pictures[person][:, 0], true[person][:, 0])[0, 1] > 0.9  # the same light


def test_refusals() -> None:
    with pytest.raises(UsageError, match="posed ones"):
        show_one(WHO, VERTICES[:-1], camera())
    with pytest.raises(UsageError, match="posed ones"):
        show_one(WHO, np.full_like(VERTICES, np.inf), camera())
    with pytest.raises(UsageError, match="1 to 4"):
        next(show(WHO, [VERTICES], camera(), samples=0))
    with pytest.raises(UsageError, match="one a frame"):
        list(show(WHO, [VERTICES] * 3, camera(2)))
    with pytest.raises(UsageError, match="background"):
        show_one(WHO, VERTICES, camera()).over(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(UsageError, match="32 or more"):
        canonical_pictures(WHO, 8)
