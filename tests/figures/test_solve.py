"""Bodies fitted to what is seen of people: laws, on people of the cast whose motion is known."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from diorama.core.camera import Cameras
from diorama.core.figure import Figure, Motion
from diorama.errors import UsageError
from diorama.figures._solve_energy import linearised, moved_points
from diorama.figures._solve_newton import solve_five_wide
from diorama.figures._solve_seen import Edges, Surface, feet_of, outline_of, seen_of
from diorama.figures._solve_values import Pose, Problem, Weights
from diorama.figures.cast import load_cast
from diorama.figures.clean import mirrored
from diorama.figures.fit_body import FitBody, Rig
from diorama.figures.landmarks import POINT_NAMES, cast_places, smpl_places
from diorama.figures.limits import limits_of
from diorama.figures.observation import Observation, guessed_camera
from diorama.figures.pose import animate, joint_positions
from diorama.figures.smpl import SmplBody, pose_smpl
from diorama.figures.solve import FitConfig, fit
from diorama.geometry.raster import rasterize
from diorama.media.motion import smpl_parents, smpl_skeleton
from diorama.theatre.choreography import Dance, perform
from diorama.theatre.style import random_style

SIZE, FPS = 256, 12.0
FEET = ("left_heel", "left_big_toe", "right_heel", "right_big_toe")


@dataclass(frozen=True)
class Truth:
    figure: Figure
    motion: Motion
    vertices: np.ndarray
    joints: np.ndarray


def camera() -> Cameras:
    """Level, a metre high, four metres before the origin of a world with y up."""
    viewmat = np.diag([1.0, -1.0, -1.0, 1.0])
    viewmat[:3, 3] = (0, 1.0, 4.0)
    K = np.array([[320.0, 0, SIZE / 2], [0, 320.0, SIZE / 2], [0, 0, 1]])
    return Cameras(viewmat[None], K[None], SIZE, SIZE)


def played(move: str = "walk", frames: int = 12, person: str = "Zeynep") -> Truth:
    figure = load_cast().figure(person)
    motion = perform(Dance((move,), (5.0,), random_style(np.random.default_rng(2))), figure, frames, FPS)
    motion = replace(motion, root=motion.root - motion.root.mean(axis=0) * np.array([1, 0, 1], np.float32))
    return Truth(figure, motion, animate(figure, motion), joint_positions(motion))


def marks_of(truth: Truth, table: str = "mediapipe33") -> np.ndarray:
    places = cast_places(load_cast())
    rows = [places[name] for name in POINT_NAMES[table]]
    return np.stack([np.einsum("tnc,n->tc", truth.vertices[:, row.vertices], row.weights) for row in rows], axis=1)


def seen(marks: np.ndarray, noise: float = 0.0, table: str = "mediapipe33", **more: Any) -> Observation:
    rng, view = np.random.default_rng(0), camera()
    pixels = view.project(marks.reshape(-1, 3).astype(np.float64))[0].reshape(*marks.shape[:2], 2)
    local = marks @ view.viewmats[0, :3, :3].T
    hips = [POINT_NAMES[table].index(f"{side}_hip") for side in ("left", "right")]
    world = local - local[:, hips].mean(axis=1, keepdims=True)
    pixels = pixels + rng.normal(0, 1, pixels.shape) * noise
    world = world + rng.normal(0, 1, world.shape) * noise * 4 / 320
    points = np.concatenate([pixels, np.ones((*marks.shape[:2], 1))], axis=-1).astype(np.float32)
    given: dict[str, Any] = {"world": world.astype(np.float32), "floor": True}
    return Observation(points, table, view, FPS, **(given | more))


def off(motion: Motion, truth: Truth) -> float:
    """Mean distance of joints, metres."""
    return float(np.linalg.norm(joint_positions(motion) - truth.joints, axis=-1).mean())


def test_what_is_seen_perfectly_is_found() -> None:
    truth = played()
    found = fit(seen(marks_of(truth)), load_cast())
    assert off(found.motion, truth) < 0.015
    assert found.error.max() < 1.0
    assert not found.guessed.any()
    assert abs(np.ptp(found.figure.mesh.vertices[:, 1]) - np.ptp(truth.figure.mesh.vertices[:, 1])) < 0.02


def test_noise_gaps_and_liars_are_survived() -> None:
    truth = played()
    rng = np.random.default_rng(1)
    noisy = seen(marks_of(truth), 3.0)
    hidden = noisy.without(rng.random(noisy.points.shape[:2]) < 1 / 3)
    points = hidden.points.copy()
    points[:, 15, :2] = (10, 10)  # a wrist that is somewhere else, and sure of it
    found = fit(replace(hidden, points=points), load_cast())
    assert off(found.motion, truth) < 0.06
    assert np.isfinite(found.motion.rotations).all()


def test_a_picture_alone_is_enough_to_start() -> None:
    truth = played("wave", 5)
    found = fit(seen(marks_of(truth), world=None), load_cast(), shape=load_cast().person("Zeynep"))
    assert off(found.motion, truth) < 0.12
    assert np.nanmean(found.error) < 1.5


def test_who_stands_still_stays_still() -> None:
    truth = played("wave", 1)
    marks = np.repeat(marks_of(truth), 8, axis=0)
    calm = joint_positions(fit(seen(marks), load_cast()).motion)
    shaken = joint_positions(fit(seen(marks, 2.0), load_cast()).motion)
    assert np.abs(calm - calm.mean(axis=0)).max() < 1e-3
    assert np.linalg.norm(np.diff(shaken, axis=0), axis=-1).mean() < 0.008


def test_feet_that_stand_neither_slide_nor_sink() -> None:
    truth = played("wave", 8)
    found = fit(seen(marks_of(truth), 4.0), load_cast())
    surface = animate(found.figure, found.motion)
    places = cast_places(load_cast())
    points = np.stack([surface[:, places[name].vertices].mean(axis=1) for name in FEET], axis=1)
    slid = np.linalg.norm(np.diff(points, axis=0), axis=-1).reshape(-1, 2, 2).min(axis=-1)  # heel or toe may lift
    both = found.standing[1:] & found.standing[:-1]
    assert both.mean() > 0.8
    assert slid[both].max() < 0.01
    assert surface[..., 1].min() > -0.03


def test_a_mirror_shows_the_mirrored_motion() -> None:
    truth = played()
    names = POINT_NAMES["mediapipe33"]
    swap = {"left": "right", "right": "left"}
    twins = [names.index("_".join(swap.get(word, word) for word in name.split("_"))) for name in names]
    straight = seen(marks_of(truth), 1.0)
    assert straight.world is not None
    points, world = straight.points[:, twins].copy(), straight.world[:, twins] * np.array([-1, 1, 1], np.float32)
    points[..., 0] = SIZE - points[..., 0]
    there = fit(straight, load_cast())
    back = fit(replace(straight, points=points, world=world), load_cast())
    both = joint_positions(mirrored(there.motion)), joint_positions(back.motion)
    assert np.linalg.norm(both[0] - both[1], axis=-1).mean() < 0.012


def test_frames_that_show_nobody_are_led_over_and_flagged() -> None:
    truth = played("wave")
    gone = np.zeros((12, 33), bool)
    gone[5:8] = True
    found = fit(seen(marks_of(truth)).without(gone), load_cast())
    assert found.guessed.tolist() == gone[:, 0].tolist()
    assert np.isnan(found.error[5:8]).all()
    assert np.isfinite(found.error[:5]).all()
    assert off(found.motion, truth) < 0.04


def test_windows_give_what_the_whole_gives_and_runs_agree() -> None:
    truth = played("walk", 16)
    observation, person = seen(marks_of(truth), 1.0), load_cast().person("Zeynep")
    whole = fit(observation, load_cast(), shape=person)
    parts = fit(observation, load_cast(), FitConfig(window=10, overlap=4), shape=person)
    brief = FitConfig(iterations=2)
    once, again = (fit(observation, load_cast(), brief, shape=person).motion.rotations for _ in range(2))
    assert np.array_equal(once, again)
    apart = joint_positions(whole.motion) - joint_positions(parts.motion)
    assert np.linalg.norm(apart, axis=-1).mean() < 0.015


@pytest.mark.parametrize("table", ["coco17", "coco133"])
def test_other_sets_of_points_do(table: str) -> None:
    truth = played("wave", 4)
    found = fit(seen(marks_of(truth, table), table=table), load_cast(), shape=load_cast().person("Zeynep"))
    assert off(found.motion, truth) < (0.05 if table == "coco17" else 0.015)


def test_a_mask_pulls_the_body_under_it() -> None:
    truth = played("wave", 3)
    view = camera()
    faces = truth.figure.mesh.faces
    masks = np.stack([rasterize(v, faces, view).face_ids >= 0 for v in truth.vertices])
    problem, shape, pose = posed(truth, masks)
    assert problem.outline is not None
    moved = Pose(pose.quats, pose.root + np.array([0.05, 0, 0]))
    right, wrong = (linearised(problem, shape, p, slopes=False).price.sum() for p in (pose, moved))
    assert right < wrong
    person = load_cast().person("Zeynep")
    assert fit(seen(marks_of(truth), 2.0, masks=masks), load_cast(), shape=person).error.max() < 6


def posed(truth: Truth, masks: np.ndarray | None = None) -> tuple[Problem, Any, Pose]:
    """All terms of a cost, at the truth."""
    body = FitBody.of(load_cast())
    rig = Rig.of(body, (*POINT_NAMES["mediapipe33"], *FEET))
    weights = load_cast().person("Zeynep").astype(np.float64)
    shape = rig.shape(weights)
    observation = seen(marks_of(truth))
    quats = truth.motion.rotations[:, [chain[0] for chain in rig.chains]].astype(np.float64)
    pose = Pose(quats / np.linalg.norm(quats, axis=-1, keepdims=True), truth.joints[:, 0].astype(np.float64))
    feet = feet_of(body, rig, shape, len(pose), True)
    assert feet is not None
    feet = replace(feet, standing=np.ones_like(feet.standing))
    outline = None
    if masks is not None:
        frames = rig.frames(shape, pose.quats, pose.root)
        surface = Surface.of(body, rig, weights)
        outline = outline_of(surface, shape, frames, Edges.of(masks), observation.all_cameras, count=24, deviation=2.0)
    what = seen_of(observation, rig.known, 2.0, 0.05)
    return Problem(rig, limits_of(rig.roles[1:]), what, Weights(), feet, outline, smooth=False), shape, pose


def test_slopes_are_those_of_the_cost() -> None:
    truth = played("wave", 2)
    problem, shape, pose = posed(truth)
    rng = np.random.default_rng(0)
    problem = replace(problem, smooth=True)  # two frames: feet hold each other, accelerations are none
    pose = pose.stepped(rng.normal(0, 0.05, (2, 3 * len(problem.rig.roles) + 3)))
    slope = linearised(problem, shape, pose).slope
    for _ in range(6):
        way = rng.normal(0, 1, slope.shape)
        prices = [linearised(problem, shape, pose.stepped(h * way), slopes=False).price.sum() for h in (1e-6, -1e-6)]
        assert (prices[0] - prices[1]) / 2e-6 == pytest.approx((slope * way).sum(), rel=0.02)


def test_points_move_as_the_rig_says_also_with_the_shape() -> None:
    truth = played("walk", 2)
    problem, shape, pose = posed(truth)
    rig, weights = problem.rig, load_cast().person("Zeynep").astype(np.float64)
    frames = rig.frames(shape, pose.quats, pose.root)
    marks = rig.landmarks(shape, frames)
    motion = rig.motion(truth.figure, pose.quats, pose.root, FPS)
    skinned = replace(truth, vertices=animate(truth.figure, motion))
    assert np.allclose(marks[:, :33], marks_of(skinned), atol=1e-5)
    change = moved_points(rig, frames, shape.arms[None], rig.mass[None])
    step = np.random.default_rng(0).normal(0, 1e-5, (2, change.shape[-1]))
    after = pose.stepped(step)
    moved = rig.landmarks(shape, rig.frames(shape, after.quats, after.root)) - marks
    assert np.allclose(moved, np.einsum("tlad,td->tla", change, step), atol=1e-8)
    shaping = linearised(problem, shape, pose, shaping=True).slope[:, -len(weights) :].sum(axis=0)
    way = np.random.default_rng(1).normal(0, 1, len(weights))
    prices = [linearised(problem, rig.shape(weights + h * way), pose, slopes=False).price.sum() for h in (1e-5, -1e-5)]
    assert (prices[0] - prices[1]) / 2e-5 == pytest.approx(shaping @ way, rel=0.02, abs=0.5)


def test_five_blocks_wide_are_solved() -> None:
    rng = np.random.default_rng(0)
    frames, size = 5, 3
    whole = np.zeros((frames * size, frames * size))
    near, far = rng.normal(0, 0.3, (frames - 1, size, size)), rng.normal(0, 0.3, (frames - 2, size))
    blocks = np.stack([np.eye(size) * 4 + np.diag(rng.random(size)) for _ in range(frames)])
    for t in range(frames):
        rows = slice(size * t, size * t + size)
        whole[rows, rows] = blocks[t] / 2
        if t + 1 < frames:
            whole[rows, size * (t + 1) : size * (t + 2)] = near[t]
        if t + 2 < frames:
            whole[rows, size * (t + 2) : size * (t + 3)] = np.diag(far[t])
    right = rng.normal(size=(frames, size))
    expected = np.linalg.solve(whole + whole.T, right.ravel())
    assert np.allclose(solve_five_wide(blocks, near, far, right).ravel(), expected)


def smpl_body() -> SmplBody:
    """A body of SMPL's structure: pairs of vertices around the joints of the generic skeleton."""
    skeleton, rng = smpl_skeleton(24), np.random.default_rng(0)
    template = np.repeat(skeleton.joints, 8, axis=0) + np.tile(
        np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * 0.04, (24, 1)
    )
    weights = np.repeat(np.eye(24), 8, axis=0)
    dirs = template[..., None] * np.array([0.05, 0.02]) + rng.normal(0, 1e-3, (192, 3, 2))
    zeros = np.zeros((192, 3, 207))
    arrays = (a.astype(np.float32) for a in (template, dirs, zeros, np.repeat(np.eye(24), 8, axis=1) / 8, weights))
    faces = np.arange(192, dtype=np.int32).reshape(-1, 3)
    return SmplBody(skeleton.names, smpl_parents(24), *arrays, faces)


def test_a_body_of_smpl_is_fitted_in_its_own_rest_pose() -> None:
    truth, body = played("wave", 4), smpl_body()
    places = smpl_places(body)
    rig = Rig.of(FitBody.of(body), POINT_NAMES["mediapipe33"])
    hang = limits_of(rig.roles[1:])
    assert {"nose", "left_ear", "left_heel", "right_big_toe", "left_wrist"} <= set(places)
    assert len(hang.mean) == len(rig.roles) - 1
    found = fit(seen(marks_of(truth)), body, FitConfig(shape_iterations=5))
    assert np.nanmean(found.error) < 6  # another body, with the cast's landmarks
    assert found.motion.skeleton.names == body.names
    surface = pose_smpl(body, found.motion).numpy()
    assert np.abs(surface.mean(axis=(0, 1))[[0, 2]]).max() < 0.5
    wrist, shoulder = (joint_positions(found.motion)[:, body.names.index(f"left_{n}")] for n in ("wrist", "shoulder"))
    cast = truth.figure.skeleton
    seen_wrist, seen_shoulder = truth.joints[:, cast.index("wrist.L")], truth.joints[:, cast.index("upperarm01.L")]
    ways = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (wrist - shoulder, seen_wrist - seen_shoulder)]
    assert (ways[0] * ways[1]).sum(axis=1).min() > 0.9


def broken(what: str) -> dict[str, Any]:
    points = np.full((3, 33, 3), 0.5, np.float32)
    bad = points.copy()
    bad[0, 0, 2] = 7
    nobody = points.copy()
    nobody[..., 0] = np.nan
    good: dict[str, Any] = {"points": points, "table": "mediapipe33", "cameras": guessed_camera(64, 64), "fps": 12.0}
    changes: dict[str, dict[str, Any]] = {
        "no such table": {"table": "coco"},
        "too few points": {"points": points[:, :17]},
        "no frames": {"points": points[:0]},
        "unsure": {"points": bad},
        "nobody": {"points": nobody},
        "cameras": {"cameras": Cameras(*(np.tile(a, (2, 1, 1)) for a in (np.eye(4), np.eye(3))), 64, 64)},
        "rate": {"fps": float("nan")},
        "world": {"world": points[:2]},
        "masks": {"masks": np.zeros((3, 32, 64), bool)},
    }
    return good | changes[what]


@pytest.mark.parametrize(
    "what",
    ["no such table", "too few points", "no frames", "unsure", "nobody", "cameras", "rate", "world", "masks"],
)
def test_observations_that_do_not_fit_are_refused(what: str) -> None:
    with pytest.raises(UsageError):
        Observation(**broken(what))


def test_what_cannot_be_fitted_is_refused() -> None:
    truth = played("wave", 3)
    few = np.ones((3, 33), bool)
    few[:, :4] = False
    with pytest.raises(UsageError, match="points of the body"):
        fit(seen(marks_of(truth)).without(few), load_cast())
    with pytest.raises(UsageError, match="coefficients"):
        fit(seen(marks_of(truth)), load_cast(), shape=np.zeros(3, np.float32))
    for wrong in ({"iterations": 0}, {"window": 4, "overlap": 4}, {"pixel_deviation": -1.0}):
        with pytest.raises(UsageError):
            FitConfig(**wrong)
    with pytest.raises(UsageError, match="limits"):
        limits_of(["tail"])
