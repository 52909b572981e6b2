"""Motion capture from part maps, against creatures whose motion is known."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from diorama.core.camera import Cameras
from diorama.core.figure import Figure
from diorama.core.progress import Silent
from diorama.core.rotations import to_axis_angle
from diorama.errors import UsageError
from diorama.figures.pose import Bones, animate, global_transforms, joint_positions
from diorama.rigging._capture_fit import Fit
from diorama.rigging._capture_model import Model, Pose
from diorama.rigging._capture_smooth import smoothed
from diorama.rigging.assemble import rigged
from diorama.rigging.capture import Captured, captured
from diorama.rigging.lift import lifted, votes
from diorama.rigging.surface import Surface
from diorama.theatre.menagerie import random_creature, random_motion
from diorama.theatre.turntable import film

torch = pytest.importorskip("torch")


@dataclass(frozen=True, eq=False)
class Clip:
    """A creature in the axes of its film, at rest as in the first frame, and the truth of all frames."""

    figure: Figure
    labels: np.ndarray
    cameras: Cameras
    places: np.ndarray
    joints: np.ndarray

    def far(self, figure: Figure, found: Captured) -> float:
        """How far the surface is off on average, sides of the box."""
        return float(np.linalg.norm(animate(figure, found.motion) - self.places, axis=-1).mean()) / self.size

    def joints_far(self, found: Captured) -> float:
        return float(np.linalg.norm(joint_positions(found.motion) - self.joints, axis=-1).mean()) / self.size

    @property
    def size(self) -> float:
        return float(np.ptp(self.places[0], axis=0).max())

    @property
    def moved(self) -> float:
        """The surface's error of a figure that stands still."""
        return float(np.linalg.norm(self.places - self.places[0], axis=-1).mean()) / self.size


def _clip(family: str, seed: int, *, frames: int = 5, views: int = 4, size: int = 160) -> Clip:
    rng = np.random.default_rng(seed)
    creature = random_creature(rng, family)
    figure, motion = creature.figure, random_motion(rng, creature, frames=frames)
    table = film(figure, motion, views=views, size=size)
    places = animate(figure, motion)
    low, high = places.min(axis=(0, 1)), places.max(axis=(0, 1))
    scale, middle = float((high - low).max()), (low + high) / 2
    first = torch.from_numpy(motion.rotations[:1]), torch.from_numpy(motion.root[:1])
    rest = global_transforms(Bones.of(motion.skeleton), *first).numpy()[0]
    rest[:, :3, 3] = (rest[:, :3, 3] - middle) / scale
    places = ((places - middle) / scale).astype(np.float32)
    own = replace(
        figure, skeleton=replace(figure.skeleton, rest=rest), mesh=replace(figure.mesh, vertices=places[0].copy())
    )
    joints = (joint_positions(motion) - middle) / scale
    return Clip(own, table.parts.astype(np.int16), table.cameras, places, joints)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return _clip("quadruped", 6)


@pytest.fixture(scope="module")
def found(clip: Clip) -> Captured:
    return captured(clip.figure, clip.labels, clip.cameras, fps=12)


def test_moments_change_as_their_slopes_say(clip: Clip) -> None:
    fine = clip.cameras[:2].scaled(512, 512)
    model = Model.of(clip.figure, np.arange(len(clip.figure.parts)), fine)
    rest, rng = Pose.rest(len(clip.figure.skeleton)), np.random.default_rng(0)
    slopes = model.slopes(model.drawn(rest))
    for _ in range(2):
        step = 0.02 * rng.normal(size=model.unknowns)
        step[:3] *= 0.2
        there, back = (model.drawn(rest.stepped(sign * step)).moments for sign in (1, -1))
        told, true = slopes @ step, (there - back) / 2
        for moment in range(6):
            off = np.linalg.norm(told[..., moment] - true[..., moment]) / np.linalg.norm(true[..., moment])
            assert off < 0.25  # of sums that jump pixel by pixel, and of what is hidden on the way


def test_poses_and_moments_are_those_of_figures_and_films(clip: Clip) -> None:
    model = Model.of(clip.figure, np.arange(len(clip.figure.parts)), clip.cameras)
    seen, drawn = model.seen(clip.labels[:, 0]), model.drawn(Pose.rest(len(clip.figure.skeleton))).moments
    assert np.abs(seen - drawn).max() <= 1e-9
    rows, columns = np.nonzero(clip.labels[1, 0] == 3)
    assert seen[1, 3, 0] == len(rows)
    assert np.isclose(seen[1, 3, 4], ((columns + 0.5 - 80) * (rows + 0.5 - 80)).sum())


def test_the_motion_of_a_creature_is_found(clip: Clip, found: Captured) -> None:
    assert clip.moved > 0.05
    assert clip.joints_far(found) < 0.005
    assert clip.far(clip.figure, found) < 0.012
    assert not found.held.any()
    assert found.notes == ()
    assert found.error.shape == (5,)
    assert found.error.max() < 0.6
    assert found.motion.fps == 12.0
    assert np.abs(to_axis_angle(found.motion.rotations[0])).max() < 0.05  # the first frame is at rest


def test_the_same_clip_gives_the_same_bytes_and_progress_is_told(clip: Clip, found: Captured) -> None:
    told = Silent()
    steps: list[int] = []
    told.advance = lambda steps_=1: steps.append(steps_)  # type: ignore[method-assign]
    again = captured(clip.figure, clip.labels, clip.cameras, fps=12, progress=told)
    assert again.motion.rotations.tobytes() == found.motion.rotations.tobytes()
    assert again.motion.root.tobytes() == found.motion.root.tobytes()
    assert sum(steps) == 5


def test_size_is_of_no_matter(clip: Clip, found: Captured) -> None:
    rest, views = clip.figure.skeleton.rest.copy(), clip.cameras.viewmats.copy()
    rest[:, :3, 3] *= 100
    views[:, :3, 3] *= 100
    mesh = replace(clip.figure.mesh, vertices=clip.figure.mesh.vertices * 100)
    large = replace(clip.figure, skeleton=replace(clip.figure.skeleton, rest=rest), mesh=mesh)
    other = captured(large, clip.labels, replace(clip.cameras, viewmats=views), fps=12)
    gap = np.linalg.norm(animate(large, other.motion) / 100 - animate(clip.figure, found.motion), axis=-1).mean()
    assert gap < 0.004 * clip.size


def test_spoilt_part_maps_do_little_harm(clip: Clip) -> None:
    rng = np.random.default_rng(1)
    labels = clip.labels.copy()
    for axis in (2, 3):
        beside = np.roll(clip.labels, 1, axis)
        flipped = (beside != clip.labels) & (rng.random(labels.shape) < 0.1)
        labels[flipped] = beside[flipped]
    for part, views in ((3, slice(0, 2)), (8, slice(2, 4))):
        labels[views][labels[views] == part] = -1
    spoilt = captured(clip.figure, labels, clip.cameras, fps=12)
    assert clip.joints_far(spoilt) < 0.01


def test_numbers_may_be_others_lack_or_be_shared(clip: Clip) -> None:
    parts = len(clip.figure.parts)
    turned = np.where(clip.labels >= 0, parts - clip.labels, -1).astype(np.int16)
    numbers = [parts - part for part in range(parts)]
    turned[turned == numbers[5]] = numbers[4]
    turned[turned == numbers[9]] = -1
    numbers[5], numbers[9] = numbers[4], -1
    other = captured(clip.figure, turned, clip.cameras, fps=12, numbers=numbers)
    assert clip.joints_far(other) < 0.02


def test_one_view_holds_on() -> None:
    for family in ("furniture", "biped"):
        clip = _clip(family, 6, views=1)
        seen = captured(clip.figure, clip.labels, clip.cameras, fps=12)
        assert clip.far(clip.figure, seen) < 0.6 * clip.moved
        assert np.linalg.norm(seen.motion.root, axis=1).max() < 0.1


def test_a_rig_that_was_made_from_the_labels_moves_too(clip: Clip) -> None:
    mesh = replace(clip.figure.mesh, vertices=clip.places[0].copy())
    surface = Surface.of(mesh.vertices, mesh.faces)
    said = votes(mesh.vertices, mesh.faces, clip.labels[:, 0], clip.cameras, len(clip.figure.parts))
    rig = rigged(mesh, lifted(surface, said)[surface.of_vertex])
    numbers = [int(name.removeprefix("part")) - 1 for name in rig.figure.parts]
    seen = captured(rig.figure, clip.labels, clip.cameras, fps=12, numbers=numbers)
    assert clip.far(rig.figure, seen) < 0.25 * clip.moved


def test_what_is_off_at_rest_is_no_pose_unless_the_rest_is_another(clip: Clip) -> None:
    late = clip.labels[:, 3:]  # begins in another pose than the figure's rest
    own = captured(clip.figure, late, clip.cameras, fps=12, at_rest=False)
    gap = np.linalg.norm(animate(clip.figure, own.motion) - clip.places[3:], axis=-1).mean() / clip.size
    assert gap < 0.3 * np.linalg.norm(clip.places[3:] - clip.places[0], axis=-1).mean() / clip.size


def test_frames_that_show_nothing_hold_the_pose_before(clip: Clip) -> None:
    labels = clip.labels.copy()
    labels[:, [0, 3, 4]] = -1
    gaps = captured(clip.figure, labels, clip.cameras, fps=12)
    assert gaps.held.tolist() == [True, False, False, True, True]
    assert np.isnan(gaps.error).tolist() == gaps.held.tolist()
    assert "3 frames (0, 3, 4)" in gaps.notes[0]
    assert np.array_equal(gaps.motion.rotations[3:], np.repeat(gaps.motion.rotations[2:3], 2, axis=0))
    assert np.array_equal(gaps.motion.rotations[0, :, 0], np.ones(len(clip.figure.skeleton), np.float32))


def test_one_frame_is_enough(clip: Clip) -> None:
    one = captured(clip.figure, clip.labels[:, :1], clip.cameras, fps=12)
    assert len(one.motion) == 1
    assert float(one.error[0]) < 0.2


def test_smoothing_moves_what_is_unsure() -> None:
    turned = np.array([0.0, 0.2, 0.9, 0.6, 0.8, 1.0])  # the third is off
    fits = []
    for number, angle in enumerate(turned):
        pose = Pose.rest(1).stepped(np.array([0, 0, 0, angle, 0, 0]))
        fits.append(Fit(pose, np.eye(6) * (1.0 if number == 2 else 1e5)))
    angles = [to_axis_angle(pose.quats)[0, 0] for pose in smoothed(fits, 1.0)]
    assert abs(angles[2] - 0.4) < 0.02
    assert np.abs(np.delete(angles, 2) - np.delete(turned, 2)).max() < 0.02
    long = [fits[0]] * 130
    assert len(smoothed(long, 1.0)) == 130
    assert len(smoothed(long[:2], 1.0)) == 2


def test_what_does_not_fit_is_refused(clip: Clip) -> None:
    figure, labels, cameras = clip.figure, clip.labels, clip.cameras
    with pytest.raises(UsageError, match="4 part maps of 160x160, 3 cameras"):
        captured(figure, labels, cameras[:3], fps=12)
    with pytest.raises(UsageError, match="a camera of the same size"):
        captured(figure, labels[:, :, 1:], cameras, fps=12)
    with pytest.raises(UsageError, match="4 views of 0 frames"):
        captured(figure, labels[:, :0], cameras, fps=12)
    with pytest.raises(UsageError, match="no part of the figure is seen"):
        captured(figure, np.full_like(labels, -1), cameras, fps=12)
    with pytest.raises(UsageError, match="no part of the figure is seen"):
        captured(figure, labels, cameras, fps=12, numbers=[-1] * len(figure.parts))
    with pytest.raises(UsageError, match="2 numbers from 0 to 1"):
        captured(figure, labels, cameras, fps=12, numbers=[0, 1])
    for fps in (0, float("nan"), -3.0):
        with pytest.raises(UsageError, match="frames a second"):
            captured(figure, labels, cameras, fps=fps)
