"""Fitting: kernels equal plain torch, tracks find the camera's motion, and a small moving scene is found again."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from diorama.core.camera import Cameras, line
from diorama.core.gaussians import Gaussians, MovingGaussians
from diorama.core.progress import Silent
from diorama.core.rotations import from_axis_angle, to_matrix
from diorama.errors import UsageError
from diorama.geometry import _fit_loop, _fit_ops, _splat_torch
from diorama.geometry._fit_mlp import MlpMotion
from diorama.geometry._fit_model import Still
from diorama.geometry._fit_motion import NodeMotion
from diorama.geometry._fit_nodes import Nodes, to_moving
from diorama.geometry._fit_ops import Follow, Goal, Shares, Unlike
from diorama.geometry._fit_seeds import joined
from diorama.geometry._fit_tracks import Reference, reference, tracks
from diorama.geometry._splat_twin import matrices
from diorama.geometry.fit import FitConfig, PosedFrames, fit
from diorama.geometry.splat import splat

HEIGHT, WIDTH, FRAMES, FPS = 40, 56, 5, 10
FAR, NEAR, SIDE = 4.0, 2.0, 12
QUICK = FitConfig(iterations=120, nodes=60, gaussians=2500)
SHORT = FitConfig(iterations=50, nodes=60, gaussians=2500)


def wall(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A soft pattern in pixels of the far plane."""
    waves = [np.sin(x / 5) + np.cos(y / 6), np.sin((x + y) / 8), np.cos(x / 9 - y / 5)]
    return np.stack([0.5 + 0.2 * wave for wave in waves], axis=-1)


def scene(time: float, shift: float, focal: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture from `shift` metres to the right at a time in frames: a square that goes right before a wall.

    Also depth and flow to the next frame.
    """
    ys, xs = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    image = wall(xs + focal * shift / FAR, ys)
    left, top = 8 + 3 * time - focal * shift / NEAR, 14.0
    u, v = xs - left, ys - top
    inside = (u >= 0) & (u < SIDE) & (v >= 0) & (v < SIDE)
    square = np.stack([0.9 - u / 40, 0.2 + v / 40, 0.3 + 0 * u], axis=-1)
    image = np.where(inside[..., None], square, image)
    depth = np.where(inside, NEAR, FAR).astype(np.float32)
    flow = np.where(inside[..., None], [3.0, 0.0], [0.0, 0.0]).astype(np.float32)
    return np.round(255 * image).astype(np.uint8), depth, flow


def posed(views: int = 3, frames: int = FRAMES, flow: bool = True) -> PosedFrames:
    """The scene from cameras 4 cm apart."""
    cameras = line(views, 0.04 * (views - 1), height=HEIGHT, width=WIDTH)
    focal = float(cameras.Ks[0, 0, 0])
    shots = [[scene(t, 0.04 * v, focal) for t in range(frames)] for v in range(views)]
    return PosedFrames(
        np.array([[image for image, _, _ in row] for row in shots]),
        cameras,
        (np.arange(frames) / FPS).astype(np.float32),
        np.stack([depth for _, depth, _ in shots[0]]),
        flow=np.stack([f for _, _, f in shots[0][:-1]]) if flow and frames > 1 else None,
    )


def seen(found: MovingGaussians, time: float, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Colour of 0 to 255 and depth from `shift` metres to the right at a time in frames."""
    cameras = line(2, max(shift, 0.01), height=HEIGHT, width=WIDTH)
    number = 1 if shift else 0
    drawn = splat(found.at(time / FPS), cameras[number : number + 1])
    return 255 * drawn.color.clip(0, 1), drawn.depth


def psnr(found: MovingGaussians, time: float, shift: float) -> float:
    """Against the truth, decibels."""
    focal = float(line(1, 0.0, height=HEIGHT, width=WIDTH).Ks[0, 0, 0])
    error = (seen(found, time, shift)[0] - scene(time, shift, focal)[0].astype(float)) ** 2
    return float(10 * np.log10(255**2 / error.mean()))


@pytest.fixture(scope="module")
def fitted() -> MovingGaussians:
    return fit(posed(), QUICK)


def test_views_and_times_that_were_not_given_are_found(fitted: MovingGaussians) -> None:
    assert min(psnr(fitted, t, 0.04 * v) for t in range(FRAMES) for v in range(3)) > 31
    assert min(psnr(fitted, t, 0.06) for t in range(FRAMES)) > 30
    assert min(psnr(fitted, t + 0.5, 0.02) for t in range(FRAMES - 1)) > 29


def test_depth_is_found(fitted: MovingGaussians) -> None:
    depth = seen(fitted, 2, 0.0)[1]
    true = scene(2, 0, 1.0)[1]
    assert np.median(np.abs(depth / true - 1)) < 0.01
    assert (np.abs(depth / true - 1) < 0.05).mean() > 0.9


def test_what_moves_is_moved_and_what_stands_stays(fitted: MovingGaussians) -> None:
    first, last = fitted.at(0.0), fitted.at((FRAMES - 1) / FPS)
    away = np.linalg.norm(last.means - first.means, axis=1)
    there = np.minimum(first.opacities, last.opacities) > 0.3
    square = there & (np.abs(first.means[:, 2] - NEAR) < 0.2)
    back = there & (np.abs(first.means[:, 2] - FAR) < 0.2)
    metres = 3 * (FRAMES - 1) * NEAR / float(line(1, 0.0, height=HEIGHT, width=WIDTH).Ks[0, 0, 0])
    assert np.median(away[square]) == pytest.approx(metres, rel=0.1)
    assert np.median(away[back]) < 0.05 * metres


def test_the_same_seed_gives_the_same_scene() -> None:
    small = replace(QUICK, iterations=24)
    one, two = fit(posed(), small), fit(posed(), small)
    assert np.array_equal(one.rest.means, two.rest.means)
    assert np.array_equal(one.shifts, two.shifts)
    assert not np.array_equal(one.rest.means, fit(posed(), replace(small, seed=1)).rest.means)


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(QUICK, iterations=12)
    many = fit(posed(), small)
    for module in (_fit_ops, _splat_torch):
        monkeypatch.setattr(module, "bands", lambda rows, work, *, least=1: work(0, rows))
    one = fit(posed(), small)
    assert np.array_equal(many.rest.means, one.rest.means)
    assert np.array_equal(many.turns, one.turns)


def test_flow_is_measured_where_it_is_not_given() -> None:
    found = fit(posed(flow=False), SHORT)
    assert min(psnr(found, t, 0.04) for t in range(FRAMES)) > 26


def test_one_frame_stands_still() -> None:
    found = fit(posed(frames=1), SHORT)
    assert len(found.times) == 1
    assert psnr(found, 0, 0.02) > 27
    assert np.array_equal(found.at(0.0).means, found.at(5.0).means)


def test_one_view_is_enough() -> None:
    found = fit(posed(views=1), SHORT)
    assert min(psnr(found, t, 0.0) for t in range(FRAMES)) > 26


def test_pixels_of_no_weight_do_not_count() -> None:
    given = posed()
    frames, weights = given.frames.copy(), np.ones(given.frames.shape[:4], np.float32)
    frames[2, :, :, 30:], weights[2, :, :, 30:] = 0, 0
    found = fit(replace(given, frames=frames, weights=weights), SHORT)
    assert min(psnr(found, t, 0.08) for t in range(FRAMES)) > 22  # black would be below 10
    assert min(psnr(found, t, 0.04) for t in range(FRAMES)) > 26


def test_cameras_may_be_given_for_each_time() -> None:
    given = posed()
    each = replace(given, cameras=[given.cameras] * FRAMES)  # type: ignore[list-item]
    small = replace(QUICK, iterations=10)
    assert np.array_equal(fit(given, small).rest.means, fit(each, small).rest.means)


def test_holes_in_depth_are_taken_for_far() -> None:
    given = posed()
    depth = given.depth.copy()
    depth[:, :6], depth[:, 6:8] = np.nan, np.inf
    found = fit(replace(given, depth=depth), SHORT)
    assert np.isfinite(found.rest.means).all()
    assert seen(found, 2, 0.0)[1][:4].min() > 1.5 * FAR
    flat = fit(replace(given, depth=np.full_like(given.depth, 3.0)), replace(QUICK, iterations=10))
    assert len(flat) > 100


def test_noise_is_fitted_without_complaint() -> None:
    rng = np.random.default_rng(0)
    given = posed()
    frames = rng.integers(0, 256, given.frames.shape).astype(np.uint8)
    depth = rng.uniform(0.5, 50, given.depth.shape).astype(np.float32)
    flow = rng.normal(0, 20, (FRAMES - 1, HEIGHT, WIDTH, 2)).astype(np.float32)
    found = fit(replace(given, frames=frames, depth=depth, flow=flow), replace(SHORT, iterations=5))
    assert np.isfinite(found.at(0.15).means).all()


def test_a_network_may_move_them() -> None:
    found = fit(posed(), replace(QUICK, field="mlp", iterations=12))
    assert found.links.shape == (len(found), 1)
    assert psnr(found, 2, 0.0) > 18


def test_limits_are_kept_and_progress_is_told() -> None:
    class Counted(Silent):
        def __init__(self) -> None:
            super().__init__()
            self.stages: dict[str, list[int]] = {}

        def begin(self, stage: str, total: int | None) -> None:
            self.stages[stage] = [total or 0, 0]

        def advance(self, steps: int = 1) -> None:
            next(reversed(self.stages.values()))[1] += steps

    told = Counted()
    found = fit(posed(), replace(QUICK, iterations=2000, gaussians=500, seconds=0.5), told)
    assert all(done == total for total, done in told.stages.values())
    assert set(told.stages) == {"unproject", "fit"}
    assert len(found) < 3000
    with pytest.raises(UsageError, match="iterations 0"):
        FitConfig(iterations=0)
    with pytest.raises(UsageError, match="smooth"):
        FitConfig(smooth=float("nan"))


@pytest.mark.parametrize(("size", "spacing"), [((1, 1), 2), ((2, 2), 1), ((1, 9), 2), ((8, 12), 16)])
def test_pictures_of_few_pixels_are_fitted(size: tuple[int, int], spacing: int) -> None:
    (height, width), rng = size, np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 3, height, width, 3)).astype(np.uint8)
    depth, times = np.full((3, height, width), 2.0, np.float32), np.arange(3, dtype=np.float32)
    small = PosedFrames(frames, line(2, 0.01, height=height, width=width), times, depth)
    found = fit(small, replace(QUICK, iterations=5, spacing=spacing))
    assert len(found) >= 1
    assert np.isfinite(found.at(1.0).means).all()


def test_gaussians_grow_in_number_though_the_clock_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = count()
    monkeypatch.setattr(_fit_loop, "clock", SimpleNamespace(monotonic=lambda: float(next(looks))))
    limited = replace(QUICK, iterations=100_000, gaussians=10_000, seconds=6.0)  # a look in 20 steps: 120 steps
    assert len(fit(posed(), limited)) > len(fit(posed(), replace(limited, iterations=1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: {"times": p.times[::-1].copy()}, "times"),
        (lambda p: {"times": p.times[:2]}, "times"),
        (lambda p: {"depth": np.zeros_like(p.depth)}, "no depth"),
        (lambda p: {"depth": p.depth[:, :9]}, "depth"),
        (lambda p: {"cameras": p.cameras[:2]}, "cameras"),
        (lambda p: {"cameras": [p.cameras] * 2}, "cameras"),
        (lambda p: {"reference": 3}, "reference"),
        (lambda p: {"weights": np.full(p.frames.shape[:4], np.nan, np.float32)}, "weights"),
        (lambda p: {"weights": np.full(p.frames.shape[:4], 1.5, np.float32)}, "weights"),
        (lambda p: {"weights": np.full(p.frames.shape[:4], -0.1, np.float32)}, "weights"),
        (lambda p: {"flow": p.flow[:1]}, "flow"),
        (lambda p: {"frames": p.frames[:0]}, "0 views"),
    ],
)
def test_what_does_not_fit_is_refused(change: Callable[[PosedFrames], dict[str, object]], message: str) -> None:
    given = posed()
    with pytest.raises(UsageError, match=message):
        replace(given, **change(given))


def moving(seed: int, count: int = 40, nodes: int = 7, keys: int = 3) -> MovingGaussians:
    """Gaussians that follow nodes at random."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    def unit(quats: np.ndarray) -> np.ndarray:
        return quats / np.linalg.norm(quats, axis=-1, keepdims=True)

    weights = rng.uniform(0.1, 1, (count, 4)).astype(np.float32)
    return MovingGaussians(
        Gaussians(
            normal(count, 3),
            unit(normal(count, 4)),
            np.full((count, 3), 0.1, np.float32),
            np.full(count, 0.5, np.float32),
            np.full((count, 3), 0.5, np.float32),
        ),
        np.arange(keys, dtype=np.float32),
        normal(nodes, 3),
        normal(keys, nodes, 3),
        unit(normal(keys, nodes, 4) * 0.3 + np.array([1, 0, 0, 0], np.float32)),
        rng.integers(0, nodes, (count, 4)).astype(np.int32),
        weights / weights.sum(axis=1, keepdims=True),
        np.tile(np.array([1, 2], np.float32), (count, 1)),
    )


def test_led_gaussians_equal_the_values_and_gradients_those_of_torch() -> None:
    value = moving(0)
    sides = np.where(np.arange(len(value.nodes)) % 2, -1, 1).astype(np.float32)[:, None]
    value = replace(value, turns=value.turns * sides)  # q and -q turn alike, but sum to nothing
    arrays = (value.rest.means, value.rest.quats, value.shifts[1], value.turns[1])
    fast = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    means, quats = Follow.apply(*fast, torch.from_numpy(value.nodes), (value.links, value.weights))
    true = value.at(1.0)
    assert np.allclose(means.detach().numpy(), true.means, atol=1e-5)
    assert np.allclose(quats.detach().numpy(), true.quats, atol=1e-5)
    slow = [torch.from_numpy(a.astype(np.float64)).requires_grad_() for a in arrays]
    links, weights = torch.from_numpy(value.links).long(), torch.from_numpy(value.weights).double()[..., None]
    nodes = torch.from_numpy(value.nodes).double()
    away = slow[0][:, None] - nodes[links]
    led = (weights * ((matrices(slow[3])[links] @ away[..., None])[..., 0] + (nodes + slow[2])[links])).sum(dim=1)
    linked = slow[3][links]
    most = torch.take_along_dim(linked, weights.argmax(dim=1)[:, None], dim=1)
    flips = torch.where((linked * most).sum(dim=-1, keepdim=True) < 0, -1.0, 1.0)
    turn = functional.normalize((weights * flips * linked).sum(dim=1), dim=1)
    w, x, y, z = turn.unbind(dim=1)
    left = torch.stack([w, -x, -y, -z, x, w, -z, y, y, z, w, -x, z, -y, x, w], dim=1).view(-1, 4, 4)
    turned = (left @ slow[1][..., None])[..., 0]
    rng = np.random.default_rng(1)
    wanted = [torch.from_numpy(rng.normal(size=(len(value), c))) for c in (3, 4)]
    ((means * wanted[0].float()).sum() + (quats * wanted[1].float()).sum()).backward()
    ((led * wanted[0]).sum() + (turned * wanted[1]).sum()).backward()
    for near, far in zip(fast, slow, strict=True):
        assert torch.allclose(near.grad.double(), far.grad, atol=1e-4)


def test_unlikeness_equals_plain_torch() -> None:
    rng = np.random.default_rng(0)
    shape = (21, 34)

    def random(*more: int) -> np.ndarray:
        return rng.random((*shape, *more), dtype=np.float32)

    goal = Goal(random(3), random(), random() * (random() > 0.3))
    fast = [torch.from_numpy(a).requires_grad_() for a in (random(3), random(), random())]
    slow = [t.detach().double().requires_grad_() for t in fast]
    found = Unlike.apply(*fast, goal, Shares(0.2, 0.1))
    found.backward()
    tap = torch.exp(-0.5 * ((torch.arange(11) - 5) / 1.5) ** 2).double()
    window = (tap[:, None] * tap / tap.sum() ** 2).expand(3, 1, 11, 11)
    x, y = slow[0].permute(2, 0, 1), torch.from_numpy(goal.color).double().permute(2, 0, 1)
    a, b, xx, yy, xy = (functional.conv2d(m[None], window, padding=5, groups=3)[0] for m in (x, y, x * x, y * y, x * y))
    alike = (2 * a * b + 1e-4) * (2 * (xy - a * b) + 9e-4) / ((a * a + b * b + 1e-4) * (xx - a * a + yy - b * b + 9e-4))
    weight = torch.from_numpy(goal.weight).double() / float(goal.weight.sum())
    inverse = torch.from_numpy(goal.inverse).double()
    true = 0.8 * ((x - y).abs() * weight / 3).sum() + 0.2 * (1 - (alike * weight / 3).sum())
    true = true + 0.1 * ((slow[2] * inverse - slow[1] * (inverse > 0)).abs() * weight).sum()
    true.backward()
    assert float(found.detach()) == pytest.approx(float(true.detach()), rel=1e-5)
    for near, far in zip(fast, slow, strict=True):
        assert torch.allclose(near.grad.double(), far.grad, atol=1e-7)


def test_learned_motion_begins_as_it_was_given_and_a_new_network_moves_nothing() -> None:
    value = moving(2)
    still = Still.of(value, np.full(len(value), 0.01, np.float32))
    told = NodeMotion.of(value, np.full(7, 0.01, np.float32), value.nodes).told(still)
    motion = NodeMotion.of(value, np.full(7, 0.01, np.float32), value.nodes)
    for time in (0.0, 0.7, 2.0):
        for found, true in zip(motion.at(time), value.nodes_at(time), strict=True):
            assert np.allclose(found.detach().numpy(), true, atol=1e-5)
        assert np.allclose(told.at(time).means, value.at(time).means, atol=1e-4)
        assert np.allclose(told.at(time).opacities, value.at(time).opacities, atol=1e-4)
    network = MlpMotion.of(value, 0).told(still)
    assert np.array_equal(network.at(0.0).means, network.at(1.3).means)
    assert np.allclose(network.at(0.4).means, value.rest.means, atol=1e-6)


def test_signs_of_turns_say_nothing() -> None:
    value = moving(6)
    other = replace(value, turns=value.turns * np.where(np.arange(7) % 2, -1, 1).astype(np.float32)[:, None])
    for time in (0.0, 0.6, 2.0):
        one, two = value.at(time), other.at(time)
        assert np.allclose(one.means, two.means, atol=1e-5)
        assert np.allclose(np.abs((one.quats * two.quats).sum(axis=1)), 1, atol=1e-5)
        led = []
        for each in (value, other):
            arrays = (each.rest.means, each.rest.quats, *each.nodes_at(time), each.nodes)
            led.append(Follow.apply(*map(torch.from_numpy, arrays), (each.links, each.weights)))
        assert torch.allclose(led[0][0], led[1][0], atol=1e-5)
        assert torch.allclose((led[0][1] * led[1][1]).sum(dim=1).abs(), torch.ones(len(value)), atol=1e-5)


def test_turns_told_keep_to_one_side() -> None:
    value = moving(3)
    turns = np.zeros_like(value.turns)
    turns[..., 0] = 1
    turns[1:] = np.array([np.cos(1.5), 0, 0, np.sin(1.5)], np.float32)
    value = replace(value, turns=turns)
    still = Still.of(value, np.full(len(value), 0.01, np.float32))
    motion = NodeMotion.of(value, np.full(7, 0.01, np.float32), value.nodes)
    with torch.no_grad():
        motion.free["spins"][1:, :, 2] = 0.5  # beyond half a turn
    told = motion.told(still).turns
    assert (told[1:] * told[:-1]).sum(axis=-1).min() > 0
    network = MlpMotion.of(value, 0)
    with torch.no_grad():
        network.net.turns.weight.normal_(std=50, generator=torch.Generator().manual_seed(0))
    turns = network.told(still).turns
    assert (turns[1:] * turns[:-1]).sum(axis=-1).min() >= -1e-3


def test_a_shared_motion_beyond_half_a_turn_keeps_to_one_side() -> None:
    angles = np.radians(np.arange(6) * 60.0)
    poses = np.tile(np.eye(4), (6, 1, 1))
    poses[:, :3, :3] = to_matrix(from_axis_angle(np.stack([0 * angles, angles, 0 * angles], axis=1)))
    camera, times = line(1, 0.0, height=4, width=6), np.arange(6, dtype=np.float32)
    flat, flow = np.zeros((6, 4, 6), np.float32), np.zeros((5, 4, 6, 2), np.float32)
    soft = np.zeros((6, 4, 6, 3), np.float32)
    ref = Reference(times, flat + 1, soft, flat, (camera,) * 6, flow, flow, np.linalg.inv(poses), 3)
    nodes = Nodes(np.tile(np.array([0.0, 0, 2]), (1, 6, 1)), 4.0)
    found = to_moving(ref, nodes, times, np.arange(6, dtype=np.int32))
    assert (found.turns[1:] * found.turns[:-1]).sum(axis=-1).min() > 0.8
    assert np.allclose(to_matrix(found.turns[:, 0]), poses[:, :3, :3], atol=1e-5)


def test_without_presence_nothing_is_learned() -> None:
    value = replace(moving(4), presence=None)
    with pytest.raises(UsageError, match="presence"):
        Still.of(value, np.full(len(value), 0.01, np.float32))
    with pytest.raises(UsageError, match="presence"):
        joined(value, value.rest, value.links, value.weights, moving(4).presence)


def test_the_motion_that_all_share_is_that_of_the_camera() -> None:
    rng = np.random.default_rng(0)
    camera = line(1, 0.0, height=48, width=64)
    c, s = np.cos(0.01), np.sin(0.01)
    step = np.eye(4)  # of the world before a camera that stands
    step[:3, :3], step[:3, 3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]], [0.02, -0.01, 0.03]
    plane = np.array([0.2, -0.3, 1.0]) / np.linalg.norm([0.2, -0.3, 1.0])
    ys, xs = np.mgrid[:48, :64] + 0.5
    pixels = np.stack([xs, ys], axis=-1).reshape(1, -1, 2)
    rays = camera.unproject(pixels, np.ones((1, 48 * 64)))[0]
    poses, depths, flows = [np.linalg.matrix_power(step, t) for t in range(4)], [], []
    for t in range(3):
        normal = poses[t][:3, :3] @ plane
        distance = 3 + normal @ poses[t][:3, 3]
        z = distance / (rays @ normal)
        depths.append(z.reshape(48, 64).astype(np.float32))
        after = rays * z[:, None] @ step[:3, :3].T + step[:3, 3]
        flow = (camera.project(after)[0][0] - pixels[0]).reshape(48, 64, 2)
        flow[10:20, 10:20] += rng.normal(0, 3, (10, 10, 2))  # something else moves
        flows.append(flow.astype(np.float32))
    frames, times = np.zeros((3, 48, 64, 3), np.uint8), np.arange(3, dtype=np.float32)
    ref = reference(frames, times, np.stack(depths), (camera,) * 3, np.stack(flows[:2]))
    for t, pose in enumerate(poses[:3]):
        assert np.allclose(ref.steady[t] @ pose @ np.linalg.inv(poses[1]), np.eye(4), atol=2e-3)
    places, known = tracks(ref, np.array([[40.5, 30.5], [50.5, 12.5]]), 1)
    assert known.all()
    assert np.allclose(places, places[:, 1:2], atol=0.02)


def test_a_view_of_another_size_is_refused() -> None:
    given = posed()
    with pytest.raises(UsageError, match="cameras"):
        replace(given, cameras=Cameras(given.cameras.viewmats, given.cameras.Ks, 10, 10))
