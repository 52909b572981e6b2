"""Names of joints, motions on other bodies, and motions from points."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.core.figure import Motion, Skeleton
from diorama.core.rotations import from_axis_angle
from diorama.errors import UsageError
from diorama.figures.cast import load_cast
from diorama.figures.frames import changes_of, places_of, with_changes
from diorama.figures.names import ANNY, COCO_WHOLEBODY, LANDMARKS_33, MIXAMO, NEEDED, SMPL, roles_of
from diorama.figures.pose import joint_positions
from diorama.figures.retarget import BONES, fit_keypoints, retarget
from diorama.media.motion import smpl_skeleton


def cast_skeleton(age: str = "adult") -> Skeleton:
    cast = load_cast()
    return cast.figure(next(p.name for p in cast.people if p.age == age)).skeleton


def wild(skeleton: Skeleton, size: float = 0.35, frames: int = 6, seed: int = 0) -> Motion:
    rng = np.random.default_rng(seed)
    turns = from_axis_angle(rng.normal(0, size, (frames, len(skeleton), 3)))
    return Motion(skeleton, turns.astype(np.float32), rng.normal(size=(frames, 3)).astype(np.float32), 24.0)


def mixamo_like() -> Skeleton:
    """The SMPL skeleton under Mixamo's names."""
    skeleton = smpl_skeleton(52)
    other = {SMPL[role][i]: MIXAMO[role][i] for role in SMPL for i in range(len(SMPL[role]))}
    return replace(skeleton, names=tuple(f"mixamorig:{other.get(name, name)}" for name in skeleton.names))


def directions(motion: Motion) -> dict[str, np.ndarray]:
    roles, places = roles_of(motion.skeleton), joint_positions(motion)
    found = {}
    for side in ("left", "right"):
        for limb, end in BONES.items():
            along = places[:, roles[f"{side}_{end}"][0]] - places[:, roles[f"{side}_{limb}"][0]]
            found[f"{side}_{limb}"] = along / np.linalg.norm(along, axis=1, keepdims=True)
    return found


@pytest.mark.parametrize("count", [24, 52, 55])
def test_names_of_smpl(count: int) -> None:
    skeleton = smpl_skeleton(count)
    roles = roles_of(skeleton)
    assert skeleton.names[roles["left_forearm"][0]] == "left_elbow"
    assert set(NEEDED) <= set(roles)
    assert ("left_index_1" in roles) == (count > 24)


def test_names_of_others() -> None:
    cast = roles_of(cast_skeleton())
    assert set(cast) == set(ANNY)
    assert len(cast["spine"]) == 5
    found = roles_of(mixamo_like())
    assert mixamo_like().names[found["right_shin"][0]] == "mixamorig:RightLeg"
    with pytest.raises(UsageError, match="hips"):
        roles_of(replace(smpl_skeleton(24), names=tuple(f"bone{i}" for i in range(24))))
    assert LANDMARKS_33["right_ankle"] == (28,)
    assert COCO_WHOLEBODY["left_toes"] == (17, 18)


@pytest.mark.parametrize("skeleton", [smpl_skeleton(52), cast_skeleton(), mixamo_like()], ids=["smpl", "cast", "mix"])
def test_onto_itself_nothing_changes(skeleton: Skeleton) -> None:
    known = sorted({joint for chain in roles_of(skeleton).values() if len(chain) == 1 for joint in chain})
    motion = wild(skeleton)
    turns = np.tile(np.float32([1, 0, 0, 0]), (len(motion), len(skeleton), 1))
    turns[:, known] = motion.rotations[:, known]
    motion = replace(motion, rotations=turns)
    back = retarget(motion, skeleton)
    assert np.abs((back.rotations * motion.rotations).sum(-1)) == pytest.approx(1, abs=1e-4)
    assert np.abs(back.root - motion.root).max() < 1e-4


@pytest.mark.parametrize("source", [smpl_skeleton(24), mixamo_like(), cast_skeleton()], ids=["smpl", "mixamo", "cast"])
@pytest.mark.parametrize("target", [cast_skeleton("child"), smpl_skeleton(55)], ids=["child", "smplx"])
def test_limbs_point_the_same_way(source: Skeleton, target: Skeleton) -> None:
    motion = wild(source)
    found = retarget(motion, target)
    assert found.fps == motion.fps
    wanted = directions(motion)
    for role, along in directions(found).items():
        assert np.degrees(np.arccos((along * wanted[role]).sum(-1).clip(-1, 1))).max() < 1, role


def test_paths_fit_the_legs() -> None:
    motion = wild(smpl_skeleton(24))
    child = retarget(motion, cast_skeleton("child"))
    assert np.linalg.norm(child.root) < 0.9 * np.linalg.norm(motion.root)


def test_frames_undo_each_other() -> None:
    motion = wild(mixamo_like())
    changes = changes_of(motion)
    back = with_changes(motion.skeleton, changes, motion.root, motion.fps)
    assert np.abs(np.abs((back.rotations * motion.rotations).sum(-1)) - 1).max() < 1e-5
    assert np.abs(places_of(motion.skeleton, changes, motion.root) - joint_positions(motion)).max() < 1e-5


def seen_points(motion: Motion, table: dict[str, tuple[int, ...]], count: int) -> np.ndarray:
    """What a perfect keypoint network would say of a motion."""
    roles, places = roles_of(motion.skeleton), joint_positions(motion)
    points = np.full((len(motion), count, 3), np.nan)
    names = {"shoulder": "upper_arm", "elbow": "forearm", "wrist": "hand", "hip": "thigh", "knee": "shin"}
    names |= {"ankle": "foot", "toes": "toes"}
    for name, numbers in table.items():
        side, _, point = name.partition("_")
        if point in names:
            points[:, list(numbers)] = places[:, roles[f"{side}_{names[point]}"][0], None]
    return points


@pytest.mark.parametrize(("table", "count"), [(COCO_WHOLEBODY, 133), (LANDMARKS_33, 33)])
def test_motions_from_points(table: dict[str, tuple[int, ...]], count: int) -> None:
    motion = wild(cast_skeleton(), 0.15)
    points = seen_points(motion, table, count)
    points[2, table["left_wrist"][0]] = np.nan
    found = fit_keypoints(points, table, cast_skeleton(), 24.0)
    wanted = directions(motion)
    for role, along in directions(found).items():
        frames = [t for t in range(len(motion)) if not (t == 2 and role == "left_forearm")]
        off = np.degrees(np.arccos((along * wanted[role]).sum(-1).clip(-1, 1)))
        assert off[frames].max() < 1, role
    hips = found.skeleton.index("root")
    gap = joint_positions(found)[:, hips] - joint_positions(motion)[:, hips]
    assert np.ptp(gap, axis=0).max() < 0.05
    points[:, table["left_hip"][0]] = np.nan
    with pytest.raises(UsageError, match="left_hip"):
        fit_keypoints(points, table, cast_skeleton(), 24.0)
    with pytest.raises(UsageError, match="too few"):
        fit_keypoints(points[:, :5], table, cast_skeleton(), 24.0)


@pytest.mark.parametrize("skeleton", [smpl_skeleton(55), cast_skeleton()], ids=["smplx", "cast"])
def test_onto_itself_all_joints_stay(skeleton: Skeleton) -> None:
    motion = wild(skeleton)
    assert np.abs((retarget(motion, skeleton).rotations * motion.rotations).sum(-1)) == pytest.approx(1, abs=1e-4)
    twin = replace(skeleton, names=tuple(f"man:{name}" for name in skeleton.names))  # not recognised as the same
    roles = roles_of(skeleton)
    spine = list(roles["spine"])
    assert np.abs((retarget(motion, twin).rotations * motion.rotations)[:, spine].sum(-1)) == pytest.approx(1, abs=1e-4)


def test_rests_at_the_origin_stand_where_others_do() -> None:
    skeleton = smpl_skeleton(24)
    rest = skeleton.rest.copy()
    rest[:, 1, 3] -= skeleton.joints[0, 1]
    centred = replace(skeleton, rest=rest)
    turns = np.tile(np.float32([1, 0, 0, 0]), (3, 24, 1))
    lifted = Motion(centred, turns, np.tile(np.float32([0, skeleton.joints[0, 1], 0]), (3, 1)), 24.0)
    child = cast_skeleton("child")
    ankle = child.index("foot.L")
    assert joint_positions(retarget(lifted, child))[:, ankle, 1] == pytest.approx(child.joints[ankle, 1], abs=0.03)
    back = retarget(retarget(lifted, child), centred)
    assert np.abs(joint_positions(back) - joint_positions(lifted)).max() < 0.03


def test_arms_overhead_do_not_flip() -> None:
    skeleton = cast_skeleton()
    shoulder, frames = roles_of(skeleton)["left_upper_arm"][0], 90
    vectors = np.zeros((frames, len(skeleton), 3))
    vectors[:, shoulder, 2] = np.linspace(-0.6, 3.6, frames)  # from the side up and over the head
    vectors[:, shoulder, 0] = 0.02 * np.sin(np.arange(frames))
    motion = Motion(skeleton, from_axis_angle(vectors).astype(np.float32), np.zeros((frames, 3), np.float32), 30.0)
    found = fit_keypoints(seen_points(motion, LANDMARKS_33, 33), LANDMARKS_33, skeleton, 30.0)
    arm = changes_of(found)[:, shoulder]
    steps = np.degrees(2 * np.arccos(np.abs((arm[1:] * arm[:-1]).sum(-1)).clip(0, 1)))
    assert steps.max() < 15
    along, wanted = directions(found)["left_upper_arm"], directions(motion)["left_upper_arm"]
    assert np.degrees(np.arccos((along * wanted).sum(-1).clip(-1, 1))).max() < 1


def test_points_fit_skeletons_without_toes() -> None:
    skeleton = smpl_skeleton(24)
    kept = [i for i, name in enumerate(skeleton.names) if not name.endswith("_foot")]
    parents = np.array([kept.index(p) if p >= 0 else -1 for p in skeleton.parents[kept]], np.int32)
    bare = Skeleton(tuple(skeleton.names[i] for i in kept), parents, skeleton.rest[kept])
    motion = wild(skeleton, 0.1)
    found = fit_keypoints(seen_points(motion, COCO_WHOLEBODY, 133), COCO_WHOLEBODY, bare, 24.0)
    gap = joint_positions(found)[:, 0] - joint_positions(motion)[:, 0]
    assert np.ptp(gap, axis=0).max() < 0.02  # points do not tell how the pelvis tilts under a bent spine
