"""Splatting: kernels equal the twin, forward and backward; parallax, order, edges and threads keep their laws."""

import importlib.util
import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from diorama.core.camera import Cameras, line
from diorama.core.gaussians import Gaussians
from diorama.errors import UsageError
from diorama.geometry import _splat_torch
from diorama.geometry._splat_twin import splat_reference, splat_tiles
from diorama.geometry.splat import SoftTensors, _on_cuda, splat, splat_torch

BACKGROUND = (0.2, 0.5, 0.9)
NAMES = ("means", "quats", "scales", "opacities", "colors")


def camera(turn: float = 0.0, height: int = 40, width: int = 54) -> Cameras:
    """Looks along z, turned about y; its principal point is off the middle."""
    c, s = np.cos(turn), np.sin(turn)
    viewmat = np.eye(4)
    viewmat[:3, :3] = [[c, 0, -s], [0, 1, 0], [s, 0, c]]
    viewmat[:3, 3] = [0.1, -0.05, 0.2]
    K = np.array([[50.0, 0, width / 2 + 2], [0, 55, height / 2 - 3], [0, 0, 1]])
    return Cameras(viewmat[None], K[None], height, width)


def soup(seed: int, count: int = 60) -> Gaussians:
    """Round and flat ones, faint and solid, most before the camera and some behind or far beside it."""
    rng = np.random.default_rng(seed)
    means = rng.uniform([-1.5, -1.2, -0.5], [1.5, 1.2, 4], (count, 3))
    quats = rng.normal(size=(count, 4))
    return Gaussians(
        means.astype(np.float32),
        (quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        np.exp(rng.uniform(-4.5, -1, (count, 3))).astype(np.float32),
        rng.uniform(0, 1, count).astype(np.float32),
        rng.uniform(0, 1, (count, 3)).astype(np.float32),
    )


def one(mean: tuple[float, float, float], scale: float = 0.05, opacity: float = 0.9) -> Gaussians:
    """A white ball."""
    return Gaussians(
        np.array([mean], np.float32),
        np.array([[1, 0, 0, 0]], np.float32),
        np.full((1, 3), scale, np.float32),
        np.array([opacity], np.float32),
        np.ones((1, 3), np.float32),
    )


def leaves(gaussians: Gaussians, dtype: torch.dtype = torch.float32) -> SoftTensors:
    """Tensors that want gradients."""
    soft = SoftTensors.of(gaussians)
    return SoftTensors(*(getattr(soft, name).to(dtype).requires_grad_() for name in NAMES))


@pytest.mark.parametrize("seed", range(4))
def test_kernels_equal_the_twin(seed: int) -> None:
    gaussians, view = soup(seed), camera(0.3 * seed)
    found = splat(gaussians, view, background=BACKGROUND)
    soft = SoftTensors.of(gaussians)
    color, alpha, depth = splat_reference(soft, view, torch.tensor(BACKGROUND))
    assert np.abs(found.color - color.numpy()).max() < 2e-4
    assert np.abs(found.alpha - alpha.numpy()).max() < 2e-4
    clear = found.alpha > 0.1
    assert np.abs(found.depth - (depth / alpha).numpy())[clear].max() < 2e-3
    assert 0 <= found.alpha.min() <= found.alpha.max() <= 1
    for part, other in zip((color, alpha, depth), splat_tiles(soft, view, torch.tensor(BACKGROUND), 16), strict=True):
        assert (part - other).abs().mean() < 2e-3  # which leaves out what is beyond 3 sigma


@pytest.mark.parametrize("seed", range(4))
def test_gradients_equal_those_of_the_twin(seed: int) -> None:
    gaussians, view = soup(seed), camera(-0.2 * seed)
    rng = np.random.default_rng(seed)
    wanted = [torch.from_numpy(rng.normal(size=shape)) for shape in ((40, 54, 3), (40, 54), (40, 54))]
    fast, slow = leaves(gaussians), leaves(gaussians, torch.float64)
    found = splat_torch(fast, view, background=BACKGROUND)
    pictures = (found.color[0], found.alpha[0], found.depth[0])
    sum((p * w.float()).sum() for p, w in zip(pictures, wanted, strict=True)).backward()
    pictures = splat_reference(slow, view, torch.tensor(BACKGROUND, dtype=torch.float64))
    sum((p * w).sum() for p, w in zip(pictures, wanted, strict=True)).backward()
    for name in NAMES:
        near, true = getattr(fast, name).grad.double(), getattr(slow, name).grad
        off = (near - true).abs() / (0.02 * true.abs() + 2e-3 * true.abs().amax())
        # A pixel at the edge of visibility may count in one and not in the other.
        assert (off <= 1).double().mean() > 0.97, name
        assert torch.nn.functional.cosine_similarity(near.flatten(), true.flatten(), dim=0) > 0.9995, name


def test_a_step_along_the_gradient_does_what_it_says() -> None:
    soft, view = leaves(soup(5)), camera()
    target = torch.zeros(1, 40, 54, 3)

    def loss() -> torch.Tensor:
        return (splat_torch(soft, view).color - target).square().mean()

    before = loss()
    before.backward()
    for name in NAMES:
        value = getattr(soft, name)
        step = 1e-4 * value.grad / value.grad.norm()
        with torch.no_grad():
            value -= step
            after = loss()
            value += step
        assert float((before - after).detach()) == pytest.approx(float((value.grad * step).sum()), rel=0.05), name


@pytest.mark.parametrize("shift", [0.05, -0.2])
def test_a_camera_moved_sideways_moves_a_ball_by_its_parallax(shift: float) -> None:
    cameras = line(2, shift, height=64, width=96) if shift > 0 else line(2, -shift, height=64, width=96)
    ball = one((0.1, 0.05, 3.0))
    middles = []
    for i in range(2):
        alpha = splat(ball, cameras[i : i + 1]).alpha
        middles.append((alpha * (np.arange(96) + 0.5)).sum() / alpha.sum())
    assert middles[0] - middles[1] == pytest.approx(cameras.Ks[0, 0, 0] * abs(shift) / 3.0, abs=2e-2)


def test_a_ball_is_where_and_as_far_as_it_should_be() -> None:
    view = line(1, 0.0, height=65, width=97)
    found = splat(one((0, 0, 2.5), opacity=1.0), view)
    assert np.unravel_index(found.alpha.argmax(), found.alpha.shape) == (32, 48)
    assert found.alpha.max() == pytest.approx(0.99, abs=1e-4)
    assert found.depth[32, 48] == pytest.approx(2.5, abs=1e-4)
    assert np.isinf(found.depth[0, 0])
    assert np.allclose(found.alpha, found.alpha[::-1, ::-1], atol=1e-5)


def test_the_nearer_one_is_before_the_other_whatever_their_order() -> None:
    near, far = one((0, 0, 2), scale=0.2, opacity=0.95), one((0, 0, 4), scale=0.4, opacity=0.95)
    joined = [np.concatenate([getattr(a, n) for a in pair]) for n in NAMES for pair in ((near, far),)]
    both = Gaussians(*joined)
    both.colors[1] = 0
    view = line(1, 0.0, height=33, width=33)
    a, b = splat(both, view), splat(both[::-1], view)
    assert np.array_equal(a.color, b.color)
    assert a.color[16, 16, 0] > 0.94


@pytest.mark.parametrize("mean", [(0.0, 0.0, -2.0), (0.0, 0.0, 0.0), (50.0, 0.0, 2.0), (0.0, 0.0, 0.005)])
def test_what_is_not_in_the_picture_costs_nothing_and_has_no_gradient(mean: tuple[float, float, float]) -> None:
    soft = leaves(one(mean))
    found = splat_torch(soft, line(2, 0.1, height=32, width=48), background=BACKGROUND)
    assert torch.equal(found.color, torch.tensor(BACKGROUND).expand_as(found.color))
    assert not found.radii.any()
    assert not found.alpha.any()
    (found.color.sum() + found.depth.sum()).backward()
    assert not any(getattr(soft, name).grad.any() for name in NAMES)


def test_no_gaussians_show_the_background() -> None:
    none = soup(0)[:0]
    found = splat(none, camera(), background=BACKGROUND)
    assert np.array_equal(found.color, np.broadcast_to(np.array(BACKGROUND, np.float32), found.color.shape))
    assert np.isinf(found.depth).all()
    soft = leaves(none)
    splat_torch(soft, camera()).color.sum().backward()
    assert soft.means.grad.shape == (0, 3)


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(bands: Callable[..., None]) -> list[np.ndarray]:
        monkeypatch.setattr(_splat_torch, "bands", bands)
        soft = leaves(soup(3, 400))
        found = splat_torch(soft, camera(), background=BACKGROUND)
        (found.color.square().sum() + found.depth.sum()).backward()
        return [found.color.detach().numpy(), *(getattr(soft, name).grad.numpy() for name in NAMES)]

    def pieces(rows: int, work: Callable[[int, int], None], *, least: int = 1) -> None:
        edges = [rows * i // 5 for i in range(6)]
        for first, last in reversed(list(itertools.pairwise(edges))):
            work(first, last)

    results = [run(_splat_torch.bands), run(lambda rows, work, least=1: work(0, rows)), run(pieces)]
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_views_are_drawn_as_if_alone_and_pull_where_they_want_gaussians() -> None:
    soft, cameras = leaves(one((0.1, 0, 3.0))), line(3, 0.2, height=48, width=64)
    found = splat_torch(soft, cameras)
    for i in range(3):
        alone = splat_torch(soft, cameras[i : i + 1])
        assert torch.equal(found.color[i], alone.color[0])
    assert (found.radii > 0).all()
    ramp = torch.arange(64.0)  # brightness counts more to the right: the loss falls when the ball goes left
    (found.color[:2].sum(dim=-1) * ramp).sum().backward()
    assert (found.pull[:2, 0, 0] > 0).all()
    assert not found.pull[2].any()
    focal = cameras.Ks[0, 0, 0]
    assert float(soft.means.grad[0, 0]) == pytest.approx(float(found.pull[:2, 0, 0].sum()) * focal / 3, rel=1e-2)


def test_lengths_of_quaternions_do_not_matter() -> None:
    soft = SoftTensors.of(soup(1))
    longer = SoftTensors(soft.means, soft.quats * 3, soft.scales, soft.opacities, soft.colors)
    assert torch.allclose(splat_torch(soft, camera()).color, splat_torch(longer, camera()).color, atol=1e-5)


def test_broken_numbers_are_left_out() -> None:
    soft = SoftTensors.of(soup(1, 8))
    clean = splat_torch(SoftTensors(*(getattr(soft, name)[2:] for name in NAMES)), camera())
    soft.means[0] = torch.nan
    soft.scales[1] = torch.inf
    assert torch.equal(splat_torch(soft, camera()).color, clean.color)


def test_cameras_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(UsageError, match="2 views"):
        splat(soup(0), line(2, 0.1, height=8, width=8))
    Ks = camera().Ks.copy()
    Ks[0, 0, 1] = 0.5
    with pytest.raises(UsageError, match="skew"):
        splat(soup(0), Cameras(camera().viewmats, Ks, 40, 54))


class Drawer:
    """Stands in for gsplat: a picture whose colour is the sum of places on the screen."""

    def rasterization(self, means: torch.Tensor, *arrays: object, **options: object) -> tuple[Any, ...]:
        screen = 2 * means[None, :, :2]
        drawn = screen.sum() * torch.ones(1, 4, 6, 4)
        return drawn, torch.ones(1, 4, 6, 1), {"means2d": screen, "radii": torch.ones(1, len(means), 2)}


def test_on_cuda_the_pull_is_gathered_and_gradients_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diorama.geometry.splat.need", lambda name: Drawer())
    soft = leaves(soup(0, 3))
    found = _on_cuda(soft, camera(height=4, width=6), BACKGROUND)
    loss = found.depth.sum()
    loss.backward(retain_graph=True)
    pull, gradient = found.pull.clone(), soft.means.grad.clone()
    assert (pull == 24).all()
    loss.backward()
    assert torch.equal(found.pull, 2 * pull)
    assert torch.equal(soft.means.grad, 2 * gradient)


@pytest.mark.skipif(
    not torch.cuda.is_available() or importlib.util.find_spec("gsplat") is None, reason="needs CUDA and gsplat"
)
@pytest.mark.parametrize("seed", range(4))
def test_kernels_equal_gsplat(seed: int) -> None:
    gaussians, view = soup(seed), camera(0.3 * seed)
    near, far = (splat_torch(SoftTensors.of(gaussians, d), view, background=BACKGROUND) for d in ("cpu", "cuda"))
    for name in ("color", "alpha", "depth"):
        off = (getattr(near, name) - getattr(far, name).cpu()).abs()
        assert off.mean() < 1e-3, name
        assert (off < 1e-3).double().mean() > 0.97, name  # at the edge of visibility one may skip what the other draws


def test_kernels_are_much_faster_than_torch_in_tiles() -> None:
    rng = np.random.default_rng(0)
    view = line(1, 0.0, height=64, width=64)
    pixels, z = rng.uniform(0, 64, (1, 800, 2)), rng.uniform(2, 6, (1, 800))
    base = soup(0, 800)
    means = view.unproject(pixels, z)[0].astype(np.float32)
    scales = (base.scales / base.scales.max() + 0.3) * (z[0] / view.Ks[0, 0, 0])[:, None]
    crowd = Gaussians(means, base.quats, scales.astype(np.float32), base.opacities, base.colors)

    def seconds(draw: Callable[[SoftTensors], torch.Tensor]) -> float:
        soft, start = leaves(crowd), time.process_time()
        draw(soft).square().mean().backward()
        return time.process_time() - start

    own = min(seconds(lambda soft: splat_torch(soft, view).color) for _ in range(5))
    assert seconds(lambda soft: splat_tiles(soft, view, torch.zeros(3))[0]) > 3 * own  # about 100 times
