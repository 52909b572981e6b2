"""Painting a frame matrix: what is known stays, and the laws of s2vg.md 6 (10, 12, 13, 18, 19, 20)."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest
import torch

from diorama.diffusion.denoise import Denoiser
from diorama.diffusion.levels import Level, schedule
from diorama.diffusion.noise import FrameNoise
from diorama.diffusion.prior import Prior, Rung, trained_ladder
from diorama.errors import ModelError, OutOfMemoryError, UsageError
from diorama.geometry.multiplane import multiplane_shift
from diorama.pipelines.matrix_config import QUALITIES, RELEASE, Generative, Layout, MatrixSettings
from diorama.pipelines.matrix_fill import Painter
from diorama.pipelines.matrix_mask import eroded, latent_mask, per_latent_frame, rectangles, unknown_shares
from diorama.pipelines.matrix_steady import steadied
from diorama.pipelines.matrix_views import camera_shares, motions_of, warp_views

TRAINED = schedule()
BOLD = replace(QUALITIES["balanced"], num_inference_steps=3, crops=False)
V, T, H, W = 3, 4, 32, 48


@dataclass
class Folded:
    """A prior whose codec folds pixels into channels, and which looks at each position by itself."""

    say: Callable[[torch.Tensor, Level], torch.Tensor] = lambda x, level: 0.4 * torch.tanh(x)
    reads_guess: bool = False
    rows: bool = True
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    name = "folded"
    size = (H, W)
    multiple = 8
    shortest = 1
    longest = 64
    device = torch.device("cpu")

    def fitting(self, count: int) -> int:
        return count

    def ladder(self, steps: int) -> list[Rung]:
        return trained_ladder(TRAINED, steps)

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pixel_unshuffle(frames * 2 - 1, 8).transpose(0, 1)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return (torch.nn.functional.pixel_shuffle(latents.transpose(0, 1), 8) + 1) / 2

    def denoiser(self, guess: torch.Tensor, unknown: torch.Tensor) -> Denoiser:
        def denoise(x: torch.Tensor, level: Level) -> torch.Tensor:
            self.shapes.append(tuple(x.shape))
            return self.say(x, level)

        return denoise


def matrix(seed: int = 0, frames: int = T) -> tuple[np.ndarray, np.ndarray]:
    """Pictures, and what is known of them: the first view whole, holes in the others."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, (V, frames, H, W, 3)).astype(np.uint8)
    known = np.ones((V, frames, H, W), bool)
    known[1:, :, 8:24, 16:33] = False
    return pictures, known


def paint(prior: Folded, settings: MatrixSettings = BOLD, frames: int = T, **more: object) -> np.ndarray:
    pictures, known = matrix(frames=frames)
    return Painter(prior, settings, kept="all", **more).paint(pictures, known, source=0, numbers=range(frames))


def test_the_protocol_is_kept() -> None:
    assert isinstance(Folded(), Prior)


@pytest.mark.parametrize("settings", [BOLD, replace(RELEASE, num_inference_steps=3), QUALITIES["draft"]])
def test_known_pixels_stay_bit_for_bit_and_holes_are_painted(settings: MatrixSettings) -> None:
    pictures, known = matrix()
    out = paint(Folded(), settings)
    assert np.array_equal(out[known], pictures[known])
    assert np.array_equal(out[0], pictures[0])
    assert (out[~known] != pictures[~known]).mean() > 0.9


def test_where_all_is_known_nothing_is_asked() -> None:
    pictures, known = matrix()
    prior = Folded()
    out = Painter(prior, BOLD).paint(pictures, np.ones_like(known), source=0, numbers=range(T))
    assert np.array_equal(out, pictures)
    assert not prior.shapes


def test_the_same_seed_gives_the_same_bytes_however_many_videos_run_at_once() -> None:
    first, again = paint(Folded()), paint(Folded())
    assert np.array_equal(first, again)
    one = Painter(Folded(), BOLD, kept="all")
    one.counted.at_once = 1
    pictures, known = matrix()
    alone = one.paint(pictures, known, source=0, numbers=range(T))
    assert np.abs(alone.astype(int) - first).max() <= 1
    assert not np.array_equal(paint(Folded(), seed=7), first)


def test_windows_equal_the_whole_where_frames_are_told_by_themselves() -> None:
    pictures, known = matrix(frames=8)
    whole = Painter(Folded(), BOLD, kept="all").paint(pictures, known, source=0, numbers=range(8))
    painter = Painter(Folded(), BOLD, kept="all")
    first = painter.paint(pictures[:, :5], known[:, :5], source=0, numbers=range(5))
    later = np.concatenate([first[:, 3:], pictures[:, 5:]], axis=1)
    sure = known[:, 3:].copy()
    sure[:, :2] = True
    second = painter.paint(later, sure, source=0, numbers=range(3, 8))
    assert np.array_equal(first, whole[:, :5])
    assert np.array_equal(second[:, 2:], whole[:, 5:])


def test_the_source_costs_nothing_and_one_moment_or_one_view_has_one_kind_of_video() -> None:
    prior = Folded()
    paint(prior)
    assert {shape[0] for shape in prior.shapes if shape[2] == T} <= {1, 2}  # columns: two views at most
    moment = Folded()
    paint(moment, frames=1)
    assert all(shape[2] > 1 for shape in moment.shapes if shape[0] > 1 or shape[2] != 1)
    alone = Folded()
    pictures, known = matrix()
    Painter(alone, BOLD).paint(pictures[1:2], known[1:2], source=None, numbers=range(T))
    assert {shape[2] for shape in alone.shapes} == {T}


def test_a_prior_that_joins_pictures_in_time_gets_columns_alone() -> None:
    prior = Folded(rows=False)
    paint(prior)
    assert {shape[2] for shape in prior.shapes} == {T}


def test_the_release_asks_as_often_as_it_did_and_balanced_a_sixth_of_that() -> None:
    rng = np.random.default_rng(0)
    counts = {}
    for name, settings in (("svg-release", RELEASE), ("balanced", QUALITIES["balanced"])):
        pictures = rng.integers(0, 256, (settings.num_views, 16, 8, 8, 3)).astype(np.uint8)
        known = np.zeros(pictures.shape[:4], bool)
        known[0] = True
        painter = Painter(Folded(lambda x, level: 0 * x), settings)
        painter.paint(pictures, known, source=0, numbers=range(16))
        counts[name] = painter.counted.latent_frames
    assert counts["svg-release"] == 23568
    assert counts["balanced"] <= 23568 / 6


def test_only_what_is_around_holes_is_painted() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 2, 256, 512, 3)).astype(np.uint8)
    known = np.ones((2, 2, 256, 512), bool)
    known[1, :, 100:110, 100:120] = False
    prior = Folded()
    out = Painter(prior, replace(BOLD, crops=True)).paint(pictures, known, source=0, numbers=range(2))
    assert np.array_equal(out[known], pictures[known])
    assert not np.array_equal(out, pictures)
    assert max(shape[3] * shape[4] for shape in prior.shapes) <= (128 // 8) * (128 // 8)


def test_a_prior_that_gives_no_numbers_is_told() -> None:
    with pytest.raises(ModelError, match="not finite"):
        paint(Folded(lambda x, level: x * float("nan")))
    broken = Folded()
    broken.decode = lambda latents: torch.full((latents.shape[1], 3, H, W), float("nan"))  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="autoencoder"):
        paint(broken)


def test_little_memory_means_fewer_videos_at_once(caplog: pytest.LogCaptureFixture) -> None:
    def narrow(x: torch.Tensor, level: Level) -> torch.Tensor:
        if len(x) > 1:
            raise RuntimeError("can't allocate memory: you tried to allocate 99 bytes")
        return 0.4 * torch.tanh(x)

    with caplog.at_level(logging.WARNING):
        out = paint(Folded(narrow))
    assert np.abs(out.astype(int) - paint(Folded())).max() <= 1
    assert "out of memory" in caplog.text

    def full(x: torch.Tensor, level: Level) -> torch.Tensor:
        raise MemoryError

    with pytest.raises(OutOfMemoryError, match="one video"):
        paint(Folded(full))
    with pytest.raises(RuntimeError, match="something else"):
        paint(Folded(lambda x, level: (_ for _ in ()).throw(RuntimeError("something else"))))


def test_latents_are_known_only_where_their_pixels_are() -> None:
    rng = np.random.default_rng(3)
    for density in (0.0, 0.02, 0.3, 1.0):
        known = np.kron(rng.random((2, 8, 12)) >= density, np.ones((1, 8, 8), bool)) & (rng.random((2, 64, 96)) > 0.01)
        sure = eroded(known)
        hard, soft = latent_mask(sure, 8, soft=False), latent_mask(sure, 8)
        share = unknown_shares(sure, 8)
        assert bool((soft <= hard).all())
        assert bool((hard <= (share < 0.3 + 1e-6)).all())
        assert float(soft[hard == 0].abs().sum()) == 0


def test_latent_frames_that_stand_for_several_pictures_are_known_where_all_are() -> None:
    shares = torch.arange(9.0)[None, :, None, None]
    assert per_latent_frame(shares, 4, least=True).flatten().tolist() == [0, 1, 5]
    assert per_latent_frame(shares, 4, least=False).flatten().tolist() == [0, 4, 8]
    assert per_latent_frame(shares, 1, least=True) is shares


def test_rectangles_hold_every_hole_with_its_margin() -> None:
    rng = np.random.default_rng(0)
    for count, grid in ((1, 16), (3, 64), (12, 16)):
        holes = np.zeros((270, 500), bool)
        for y, x in zip(rng.integers(0, 265, count), rng.integers(0, 490, count), strict=True):
            holes[y : y + 5, x : x + 9] = True
        cover = np.zeros(holes.shape, bool)
        for rows, columns in rectangles(holes, margin=16, least=64, grid=grid):
            assert rows.stop - rows.start >= 64
            assert columns.stop - columns.start >= 64
            assert rows.stop == 270 or (rows.stop - rows.start) % grid == 0
            assert columns.stop == 500 or (columns.stop - columns.start) % grid == 0
            cover[rows, columns] = True
        assert cover[cv2.dilate(holes.view(np.uint8), np.ones((33, 33), np.uint8)) > 0].all()
    assert rectangles(np.zeros((20, 20), bool), margin=4, least=8, grid=4) == []


def test_no_opening_is_cut_or_painted_twice() -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        holes = np.zeros((320, 560), bool)
        for y, x, high, wide in zip(*rng.integers(0, (300, 540, 90, 60), (6, 4)).T, strict=True):
            holes[y : y + high + 1, x : x + wide + 1] = True
        painted = np.zeros(holes.shape, int)
        for rows, columns in rectangles(holes, margin=32, least=64, grid=16):
            painted[rows, columns] += 1
        assert (painted[holes] == 1).all()


def test_many_specks_are_told_apart_by_few_boxes_soon() -> None:
    holes = np.zeros((1080, 1920), bool)
    holes[20:500:36, 20:900:36] = True
    start = time.process_time()
    found = rectangles(holes, margin=32, least=64, grid=16)
    assert time.process_time() - start < 1
    assert sum((a.stop - a.start) * (b.stop - b.start) for a, b in found) < 0.5 * holes.size


def test_rectangles_are_fewer_pixels_than_the_picture_where_holes_are_apart() -> None:
    holes = np.zeros((256, 448), bool)
    holes[:, -6:], holes[60:200, 190:200], holes[60:200, 240:246] = True, True, True
    found = rectangles(holes, margin=32, least=64, grid=16)
    assert len(found) == 2  # the side, and both edges of somebody
    assert sum((a.stop - a.start) * (b.stop - b.start) for a, b in found) < 0.6 * holes.size
    holes[:, ::8] = True
    assert rectangles(holes, margin=32, least=64, grid=16) == [(slice(0, 256), slice(0, 448))]


def test_cameras_stand_as_published() -> None:
    assert camera_shares("right", 8)[0][:, 0].tolist() == pytest.approx(np.linspace(0, 1, 8).tolist())
    places, source = camera_shares("middle", 8)
    assert source == 4
    assert places[4].tolist() == [0, 0]
    assert (places[0, 0], places[-1, 0]) == (-0.5, 0.5)
    ring, source = camera_shares("circle", 16)
    assert source is None
    assert ring[4, 1] == pytest.approx(ring[0, 0] / 2)
    for layout, count in (("right", 1), ("middle", 2)):
        with pytest.raises(UsageError):
            camera_shares(layout, count)


def test_a_flat_clip_looks_the_same_from_everywhere() -> None:
    rng = np.random.default_rng(0)
    frames, flat = rng.integers(0, 256, (2, 40, 60, 3)).astype(np.uint8), np.zeros((2, 40, 60), np.float32)
    for layout in ("right", "circle"):
        shares, _ = camera_shares(layout, 4)
        for warp in ("subpixel", "multiplane", "points"):
            views = warp_views(frames, flat, flat, shares, warp=warp)
            assert views.known.all()
            assert all(np.array_equal(view, frames) for view in views.pictures)


def test_a_ring_of_cameras_sees_things_move_down_as_it_goes_up() -> None:
    frames = np.zeros((1, 40, 60, 3), np.uint8)
    frames[:, 18:24, 28:34] = 255
    near = np.where(frames[..., 0] > 0, np.float32(8), np.float32(0))
    shares = np.array([[0.0, -1.0], [0.0, 1.0]])
    views = warp_views(frames, near, (near > 0).astype(np.float32), shares, warp="multiplane")
    rows = [np.flatnonzero(view[0, :, 30, 0] > 128) for view in views.pictures]
    assert abs(rows[0].min() - 26) <= 1  # cracks are closed a pixel beyond borders
    assert abs(rows[1].min() - 10) <= 1


def test_fewer_than_no_planes_are_refused() -> None:
    image, flat = np.full((8, 12, 3), 200, np.uint8), np.ones((8, 12), np.float32)
    for planes in (0, 4):
        assert multiplane_shift(image, flat, flat.astype(float), share=(1, 0), num_planes=planes)[1].any()
    with pytest.raises(UsageError, match="num_planes"):
        multiplane_shift(image, flat, flat.astype(float), share=(1, 0), num_planes=-1)


def test_what_another_frame_shows_is_known() -> None:
    rng = np.random.default_rng(0)
    behind = np.kron(rng.integers(0, 256, (16, 24, 3)), np.ones((6, 6, 1))).astype(np.uint8)
    frames, near = np.repeat(behind[None], 10, 0), np.zeros((10, 96, 144), np.float32)
    for t in range(10):
        place = (slice(30, 70), slice(20 + 9 * t, 50 + 9 * t))
        frames[t][place] = (250, 20, 20)
        near[t][place] = 12
    shares, _ = camera_shares("right", 2)
    plain = warp_views(frames, near, near / 12, shares)
    borrowed = warp_views(frames, near, near / 12, shares, motions=motions_of(frames))
    more = borrowed.known[1] & ~plain.known[1]
    assert more.sum() > 0.15 * (~plain.known[1]).sum()
    error = np.abs(borrowed.pictures[1].astype(int) - behind)[more].mean()
    assert error < 15
    assert (borrowed.shown == plain.known).all()
    assert motions_of(frames[:1]).near(0) == []


@pytest.mark.parametrize("layout", ["right", "left", "middle"])
def test_paint_that_flickers_is_made_steady_along_the_background(layout: Layout) -> None:
    """Behind somebody who stands before a moving wall, what is painted with noise comes near the wall."""
    rng = np.random.default_rng(0)
    wall = np.kron(rng.integers(40, 216, (12, 40, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    frames, near = np.stack([wall[:, 3 * t : 3 * t + 192] for t in range(10)]), np.zeros((10, 96, 192), np.float32)
    frames[:, 20:76, 60:110], near[:, 20:76, 60:110] = (250, 20, 20), 14
    shares, _ = camera_shares(layout, 3)
    views, motions = warp_views(frames, near, near / 14, shares), motions_of(frames)
    hole = ~views.shown
    hole[..., :40], hole[..., 150:] = False, False  # beside the person alone
    truth = np.repeat(np.stack([wall[:, 3 * t : 3 * t + 192] for t in range(10)])[None], 3, axis=0)
    noise = rng.normal(0, 25, truth.shape)
    paint = np.where(views.shown[..., None], views.pictures, np.clip(truth + noise, 0, 255)).astype(np.uint8)
    made = steadied(paint, views, motions, near, fixed=2)
    assert (made[views.shown] == paint[views.shown]).all()
    assert (made[:, :2] == paint[:, :2]).all()
    before, after = (np.abs(each.astype(float) - truth)[:, 2:][hole[:, 2:]].mean() for each in (paint, made))
    assert after < 0.75 * before
    assert (steadied(paint, views, motions_of(frames[:1]), near) == paint).all()


@pytest.mark.parametrize(
    "bad",
    [{"window": 1}, {"overlap": 16}, {"seed": -1}, {"working_width": 8}, {"guidance_scale": 0.0}],
)
def test_options_that_make_no_sense_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Generative(**bad)


def test_noise_belongs_to_a_frame() -> None:
    def draw(frames: range, views: int) -> torch.Tensor:
        noise = FrameNoise([[torch.Generator().manual_seed(100 * v + t) for t in frames] for v in range(views)])
        return noise(torch.zeros(views, 2, len(frames), 3, 3))

    assert torch.equal(draw(range(5), 2)[:, :, 2:], draw(range(2, 5), 2))
    with pytest.raises(UsageError):
        FrameNoise([[torch.Generator()]])(torch.zeros(1, 2, 3, 4, 4))
