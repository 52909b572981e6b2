"""Whole clips: the truth about them agrees with their pictures."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from diorama.errors import UsageError
from diorama.geometry.orbit import look_at
from diorama.theatre.actor import Actor, canonical_picture
from diorama.theatre.clip import Clip, Script, random_clip
from diorama.theatre.render import SKY, FrameView
from diorama.theatre.stage import check_cameras, random_stage
from diorama.theatre.truth import BEHIND, OUTSIDE, SEEN, TAGS, joints_of, tags_of

SMALL = Script(frames=5, fps=8.0, height=80, width=112)


@cache
def clip(seed: int) -> Clip:
    return random_clip(seed, SMALL)


@cache
def frames(seed: int) -> list[FrameView]:
    return [clip(seed).frame(t) for t in range(len(clip(seed)))]


SEEDS = (0, 1, 2, 5)


@pytest.mark.parametrize("seed", SEEDS)
def test_layers_put_together_are_the_frame(seed: int) -> None:
    for view in frames(seed):
        whole, depth = np.zeros_like(view.image), np.full(view.depth.shape, np.inf, np.float32)
        for number, layer in enumerate(view.layers):
            assert (np.isfinite(layer.depth) == layer.alpha).all()
            mine = view.visible(number)
            assert (layer.alpha | ~mine).all()
            whole[mine] = layer.image[mine]
            depth = np.minimum(depth, layer.depth)
        empty = view.owner == SKY
        whole[empty] = view.image[empty]
        assert np.array_equal(whole, view.image)
        assert np.array_equal(depth, view.depth)


@pytest.mark.parametrize("seed", SEEDS)
def test_flow_and_depth_agree_with_the_cameras(seed: int) -> None:
    cameras = clip(seed).views[0]
    for t, view in enumerate(frames(seed)[:-1]):
        scene = view.layers[0]
        y, x = np.nonzero(scene.alpha)
        pixels = np.stack([x, y], axis=1) + 0.5
        world = cameras[t : t + 1].unproject(pixels[None], scene.depth[y, x].astype(float)[None])[0]
        after, depth = cameras[t + 1 : t + 2].project(world)
        flow = scene.flow[y, x]
        known = np.isfinite(flow).all(axis=1) & (depth[0] > 0.3)
        off = np.abs(after[0] - pixels - flow)[known]
        # Barycentrics of slivers seen edge-on lose digits.
        assert (off < 0.02).mean() > 0.999


@pytest.mark.parametrize("seed", SEEDS)
def test_the_background_is_the_scene_alone(seed: int) -> None:
    for view in frames(seed):
        lit = np.abs(view.background.astype(int) - view.image) > 0
        shadowless = view.visible(0) & lit.any(axis=2)
        # Where the scene is seen the bare one is as bright or brighter: only shadows are missing.
        assert (view.background[shadowless].astype(int).sum(-1) >= view.image[shadowless].astype(int).sum(-1)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_joints_are_where_the_actors_are(seed: int) -> None:
    here, seen = clip(seed), frames(seed)
    joints = joints_of(here, seen)
    for a, number in enumerate(here.of_role("actor")):
        for t, view in enumerate(seen):
            for (x, y), visible in zip(joints.pixels[a, t], joints.visibility[a, t], strict=True):
                if visible == SEEN:
                    near = view.layers[number].alpha[max(int(y) - 2, 0) : int(y) + 3, max(int(x) - 2, 0) : int(x) + 3]
                    assert near.any() or view.depth[int(y), int(x)] >= joints.depth[a, t].min()
                elif visible == BEHIND:
                    assert view.owner[int(y), int(x)] != number
                elif visible == OUTSIDE:
                    assert not (0 <= x < 112 and 0 <= y < 80)
    assert set(tags_of(here, seen, joints)) <= set(TAGS)


def test_cameras_are_never_inside_of_something() -> None:
    for seed in SEEDS:
        stage = random_stage(np.random.default_rng(seed))
        check_cameras(stage, clip(seed).views[0])
        low, high = stage.solids[0]
        inside = np.array([(np.array(low) + np.array(high)) / 2])
        with pytest.raises(UsageError, match="frame 0"):
            check_cameras(stage, look_at(inside, np.zeros((1, 3)), height=8, width=8, focal=8.0))


def test_the_same_seed_gives_the_same_bytes() -> None:
    again = random_clip(1, SMALL)
    assert np.array_equal(again.frame(3).image, frames(1)[3].image)
    assert np.array_equal(again.frame(3).flow, frames(1)[3].flow, equal_nan=True)
    other = random_clip(11, SMALL)
    assert not np.array_equal(other.frame(3).image, frames(1)[3].image)


def test_two_eyes_agree_with_depth() -> None:
    here = random_clip(3, replace(SMALL, stereo=0.065, actors=(1, 2)))
    left, right = here.frame(2, 0), here.frame(2, 1)
    disparity = here.views[0].Ks[0, 0, 0] * 0.065 / left.depth
    y, x = np.nonzero(np.isfinite(left.depth))
    target = np.floor(x + 0.5 - disparity[y, x]).astype(int)
    inside = target >= 0
    there = right.depth[y[inside], target[inside]]
    # The right eye sees the same depth there, or something nearer.
    assert (there < left.depth[y, x][inside] * 1.12 + 0.05).mean() > 0.98
    assert (np.abs(there / left.depth[y, x][inside] - 1) < 0.1).mean() > 0.9


def test_the_canonical_picture_knows_no_pose() -> None:
    actor = clip(2).actors[0]
    front, back = (canonical_picture(actor.dressed, 96, side)[0] for side in ("front", "back"))
    other = Actor("b", actor.dressed, clip(2).actors[0].motion[1:2], (3.0, 1.0), 2.0)
    assert np.array_equal(canonical_picture(other.dressed, 96, "front")[0], front)
    assert not np.array_equal(front, back)


def test_scripts_are_kept() -> None:
    script = replace(SMALL, actors=(2, 2), kind="room", cameras=("orbit",), moves=("walk",), occluders=0.0, objects=0.0)
    here = random_clip(7, script)
    assert len(here.actors) == 2
    assert here.stage == "room"
    assert here.moves == (("walk",), ("walk",))
    assert [layer.role for layer in here.layers] == ["scene", "actor", "actor"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 0}, "0 frames"),
        ({"fps": float("nan")}, "nan"),
        ({"height": 4}, "x4"),
        ({"actors": (2, 9)}, "2 to 9 actors"),
        ({"moves": ("fly",)}, "fly"),
        ({"cameras": ()}, "no camera"),
    ],
)
def test_bad_scripts(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(SMALL, **change)


def test_negative_seeds() -> None:
    with pytest.raises(UsageError, match="seed -1"):
        random_clip(-1)
