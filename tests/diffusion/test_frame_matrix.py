"""The frame matrix: the passes and counts of the released schedule, and exact where the answer is known (s2vg.md 6)."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from diorama.diffusion.denoise import Denoiser, from_eps, keep
from diorama.diffusion.frame_matrix import SPATIAL, MatrixConfig, both_ways, matrix_plan
from diorama.diffusion.levels import CLEAN, Level, levels, schedule, timesteps
from diorama.diffusion.noise import Noise, generators
from diorama.diffusion.prior import trained_ladder
from diorama.diffusion.sample import Step, sample
from diorama.errors import UsageError

TRAINED = schedule()
TIMES = timesteps(1000, 50, "leading")
V, T = 8, 16
ALL = torch.ones(1, 1, 1, 1, 1)
SHORT = MatrixConfig()
SHORT_SPATIAL = MatrixConfig(frame_matrix_end=0)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def smooth(x: torch.Tensor, level: Level) -> torch.Tensor:
    """A video network whose frames see each other, and which knows past from future."""
    return level.alpha * torch.tanh(x + 0.3 * x.cumsum(dim=2) / x.shape[2])


def filled(
    config: MatrixConfig,
    denoise: Denoiser,
    *,
    known: torch.Tensor,
    mask: torch.Tensor,
    draw: Any = None,
    steps: int = 50,
    at_once: int = 0,
) -> torch.Tensor:
    """The matrix that comes out, from noise of each view's own generator."""
    start = Noise(generators(len(known), "start"))(known)
    source = draw or Noise(generators(len(known), "draw"))
    passes, ladder = both_ways(denoise, at_once=at_once), trained_ladder(TRAINED, steps)
    plan = matrix_plan(config, ladder, passes, known=known, mask=mask, draw=source)
    return sample(plan, start, solver="ddpm", draw=source)


def some_mask(*shape: int) -> torch.Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(5)) > 0.3).float()


def turns(config: MatrixConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The passes that s2vg.md 1.5 describes, and the views they are shown."""
    everyone = tuple(range(V))
    ends = (0, V - 1) if config.kept == "ends" else (V - 1,)
    rest = tuple(view for view in everyone if view not in ends)
    for time in TIMES:
        early = time > config.frame_matrix_end
        yield "T", everyone if early else ends
        if time == TIMES[-1]:
            return
        if config.frame_matrix_end <= 0 and time <= 600:
            yield from (("T", ends), ("T", ends))
            yield from (("S>", everyone), ("S<", everyone), ("T", rest), ("S<", everyone))  # the release: T of all
        elif early:
            yield from ((way, everyone) for way in ("T", "S>", "T", "S<", "T", "S>"))
        else:
            yield from (("T", ends), ("T", ends))


@pytest.mark.parametrize(
    ("config", "calls", "frames"),
    [
        # 25 steps above 500: 8 columns, then 3 x 8 columns and 3 x 16 rows; 24 below: 3 columns; the last: 1
        (MatrixConfig(), 25 * (8 + 24 + 48) + 24 * 3 + 1, 25 * 7 * 128 + (24 * 3 + 1) * 16),
        # 20 steps above 600 as before; 29 below: 8 columns, 2 of the last view, 3 x 16 rows, 7 columns; the last: 8
        (SPATIAL, 20 * 80 + 29 * (8 + 2 + 48 + 7) + 8, 20 * 7 * 128 + 29 * (128 + 32 + 4 * 128 - 16) + 128),
        (MatrixConfig(kept="ends"), 25 * 80 + 2 * (24 * 3 + 1), 25 * 7 * 128 + 2 * (24 * 3 + 1) * 16),
        (MatrixConfig(frame_matrix_end=1000), 49 * 3 + 1, (49 * 3 + 1) * 16),  # the right view alone
    ],
)
def test_the_network_is_called_as_often_as_the_release_calls_it(config: MatrixConfig, calls: int, frames: int) -> None:
    seen: list[tuple[int, ...]] = []

    def counting(x: torch.Tensor, level: Level) -> torch.Tensor:
        seen.append(tuple(x.shape))
        return 0.3 * x

    known = torch.zeros(V, 1, T, 1, 1)
    filled(config, counting, known=known, mask=torch.zeros_like(known), draw=torch.zeros_like, at_once=1)
    assert len(seen) == calls
    assert sum(shape[0] * shape[2] for shape in seen) == frames


def test_those_counts_are_the_published_ones() -> None:
    def work(config: MatrixConfig) -> tuple[int, int]:
        shown = [(T, len(views)) if way == "T" else (len(views), T) for way, views in turns(config)]
        return sum(videos for _, videos in shown), sum(length * videos for length, videos in shown)

    assert work(MatrixConfig()) == (2073, 23568)  # s2vg.md 1.9 and 6.14; a guided call counts once
    assert work(SPATIAL) == (3522 - 29, 37536 - 29 * 16)  # the last view, which stands still, is not denoised again
    assert work(MatrixConfig(frame_matrix_end=1000)) == (148, 2368)


@pytest.mark.parametrize("config", [MatrixConfig(), MatrixConfig(frame_matrix_end=0)])
def test_columns_and_rows_take_turns_as_in_the_release(config: MatrixConfig) -> None:
    # all is known and no noise is drawn: each cell of a pass is alpha times its known value, so its place can be read
    known = 1.0 + torch.arange(V)[:, None, None, None, None] + 100 * torch.arange(T)[:, None, None]
    seen: list[tuple[str, tuple[int, ...], float]] = []

    def reading(x: torch.Tensor, level: Level) -> torch.Tensor:
        columns, time = x.shape[2] == T, TRAINED.time(level)
        if not seen:  # the first pass sees pure noise
            seen.append(("T", tuple(range(len(x))), time))
            return x
        cells = (x[:, 0, :, 0, 0] / level.alpha).round()
        assert torch.allclose(x[:, 0, :, 0, 0] / level.alpha, cells, rtol=1e-5, atol=0)
        cells = cells.long() if columns else cells.long().T  # v t
        shown = cells[:, 0] % 100 - 1
        assert torch.equal(cells, 1 + shown[:, None] + 100 * torch.arange(T))
        way = "T" if columns else "S>" if shown[0] < shown[-1] else "S<"
        seen.append((way, tuple(sorted(shown.tolist())), time))
        return x / level.alpha

    out = filled(config, reading, known=known, mask=torch.ones_like(known), draw=torch.zeros_like)
    assert [each[:2] for each in seen] == list(turns(config))
    times = [each[2] for each in seen]
    assert times == sorted(times, reverse=True)
    assert sorted(set(times)) == sorted(TIMES)
    assert torch.equal(out, known)


@pytest.mark.parametrize("config", [MatrixConfig(), MatrixConfig(frame_matrix_end=0)])
def test_an_oracle_recovers_the_clean_matrix(config: MatrixConfig) -> None:
    clean, script = normal(V, 2, T, 3, 3), turns(config)

    def truth(x: torch.Tensor, time: float) -> torch.Tensor:  # the noise that is in x
        way, views = next(script)
        shown = clean[list(views)]
        shown = shown if way == "T" else (shown if way == "S>" else shown.flip(0)).transpose(0, 2)
        level = TRAINED.at(time)
        return (x - level.alpha * shown) / level.sigma

    mask = some_mask(V, 1, T, 3, 3)
    out = filled(config, from_eps(truth, TRAINED), known=clean * mask, mask=mask)
    assert next(script, None) is None
    assert float((out - clean).abs().max()) < 1e-4


@pytest.mark.parametrize("config", [SHORT, SHORT_SPATIAL, MatrixConfig(kept="ends")])
def test_what_is_known_ends_exact_in_every_view(config: MatrixConfig) -> None:
    known, mask = normal(V, 2, 6, 3, 3), some_mask(V, 1, 6, 3, 3)
    mask[:, :, 0] *= 0.5  # a soft border
    out = filled(config, smooth, known=known, mask=mask, steps=5)
    sure = mask.expand(known.shape) == 1
    assert torch.equal(out[sure], known[sure])
    assert not torch.isclose(out[~sure], known[~sure]).any()
    assert bool(torch.isfinite(out).all())


def test_the_same_seed_gives_the_same_bytes_and_columns_at_once_the_same_result() -> None:
    known, mask = normal(3, 2, 4, 2, 2), some_mask(3, 1, 4, 2, 2)
    for config in (SHORT, SHORT_SPATIAL):
        given = {"known": known, "mask": mask, "steps": 5}
        first = filled(config, smooth, **given)
        assert torch.equal(first, filled(config, smooth, **given))
        torch.testing.assert_close(filled(config, smooth, at_once=1, **given), first, rtol=1e-5, atol=1e-5)


def test_rows_that_run_backwards_are_rows_of_the_flipped_matrix() -> None:
    known, mask = normal(4, 2, 6, 3, 3), some_mask(4, 1, 6, 3, 3)

    def run(way: Any, flip: bool) -> torch.Tensor:
        config = MatrixConfig(frame_matrix_end=-1, fix_last_view_begin=-1, order=(way,))
        turned = (lambda x: x.flip(0)) if flip else (lambda x: x)
        draw = Noise([generators(4, "d")[i] for i in (range(3, -1, -1) if flip else range(4))])
        ladder, passes = trained_ladder(TRAINED, 4), both_ways(smooth, at_once=0)
        plan = matrix_plan(config, ladder, passes, known=turned(known), mask=turned(mask), draw=draw)
        return turned(sample(plan, turned(normal(4, 2, 6, 3, 3, seed=9)), solver="ddpm", draw=draw))

    torch.testing.assert_close(run("rows", flip=False), run("rows_back", flip=True))
    assert not torch.allclose(run("rows", flip=False), run("rows_back", flip=False))


def test_one_view_is_an_ordinary_video_and_one_moment_has_rows_only() -> None:
    known, mask = normal(1, 2, 6, 3, 3), some_mask(1, 1, 6, 3, 3).expand(1, 2, 6, 3, 3)
    draw = Noise(generators(1, "draw"))

    def back(x: torch.Tensor, level: Level) -> torch.Tensor:
        return keep(x, level, known=known, mask=mask, draw=draw)

    ladder = levels(TRAINED, 5, "leading")
    plan = []  # RePaint (Lugmayr et al. 2022, algorithm 1): down, and several times up and down again
    for time, level, after in zip(timesteps(1000, 5, "leading"), ladder, ladder[1:], strict=False):
        plan.append(Step(level, after, smooth))
        if after != CLEAN:
            plan += [Step(after, level, finish=back), Step(level, after, smooth)] * (6 if time > 500 else 2)
        plan.append(Step(after, after, finish=back))
    repaint = sample(plan, Noise(generators(1, "start"))(known), solver="ddpm", draw=draw)
    assert torch.equal(filled(SHORT, smooth, known=known, mask=mask, steps=5), repaint)

    seen = []

    def look(x: torch.Tensor, level: Level) -> torch.Tensor:
        seen.append(tuple(x.shape[:3]))
        return 0.3 * x

    filled(SHORT_SPATIAL, look, known=normal(4, 2, 1, 3, 3), mask=torch.zeros(4, 1, 1, 3, 3), steps=5)
    assert {shape for shape in seen if shape[2] != 1} == {(1, 2, 4)}
    assert sum(shape == (1, 2, 4) for shape in seen) == len(seen) - 2 * 2  # but for the kept view's own visits


def test_kept_views_stand_still_while_the_others_look_at_them() -> None:
    known, mask = normal(4, 2, 6, 3, 3), some_mask(4, 1, 6, 3, 3)

    def run(resamples: int, known: torch.Tensor) -> torch.Tensor:
        config = MatrixConfig(frame_matrix_end=0, fix_last_view_begin=1000, spatial_resamples=resamples)
        return filled(config, smooth, known=known, mask=mask, draw=torch.zeros_like, steps=4)

    alone, among = run(0, known), run(4, known)
    assert torch.equal(alone[-1], among[-1])
    assert not torch.isclose(alone[:-1], among[:-1])[mask.expand(known.shape)[:-1] == 0].all()
    other = known.clone()
    other[-1] += 1
    assert torch.equal(run(0, other)[:-1], alone[:-1])
    assert not torch.equal(run(4, other)[:-1], among[:-1])


def test_all_that_a_pass_is_shown_stands_at_its_level() -> None:
    known, mask = torch.zeros(3, 1, 2, 48, 48), torch.zeros(3, 1, 1, 1, 1)
    mask[1] = 1

    def empty(x: torch.Tensor, level: Level) -> torch.Tensor:  # all is 0: what it is shown is noise of that level
        spread = x.std(dim=(1, 3, 4))
        torch.testing.assert_close(spread, torch.full_like(spread, level.sigma), rtol=0.08, atol=0)
        return 0 * x

    for end in (0, 500):
        filled(MatrixConfig(frame_matrix_end=end), empty, known=known, mask=mask, steps=8)
        fixed = MatrixConfig(frame_matrix_end=end, fixed=(1,), spatial_order=("rows",), order=("rows_back",))
        filled(fixed, empty, known=known, mask=mask, steps=8)


def test_what_is_known_is_renewed_from_the_main_pass() -> None:
    known, mask = normal(4, 2, 6, 3, 3), some_mask(4, 1, 6, 3, 3)
    hole = mask.expand(known.shape) == 0
    config = MatrixConfig(update_source_latent_end=300)
    ladder, passes = trained_ladder(TRAINED, 10), both_ways(smooth, at_once=0)
    asked: list[tuple[int, ...]] = []
    renewed = known.clone()

    def inject(x0: torch.Tensor, views: tuple[int, ...]) -> torch.Tensor:  # an identity codec
        asked.append(views)
        renewed[list(views)] = torch.where(hole[list(views)], x0, known[list(views)])
        return renewed[list(views)]

    source = Noise(generators(4, "draw"))
    plan = matrix_plan(config, ladder, passes, known=known, mask=mask, draw=source, inject=inject)
    out = sample(plan, normal(4, 2, 6, 3, 3, seed=3), solver="ddpm", draw=source)
    assert asked == [(0, 1, 2, 3)] * 5 + [(3,)] * 2  # 901, 801, ... 501; 401, 301; not 201, 101, 1
    assert torch.equal(out[~hole], known[~hole])

    soft = torch.full_like(mask, 0.5)
    plan = matrix_plan(config, ladder, passes, known=known, mask=soft, draw=torch.zeros_like, inject=inject)
    twice = [sample(plan, known, solver="ddpm", draw=torch.zeros_like) for _ in range(2)]
    assert torch.equal(*twice)  # walked again, a plan begins with what was given
    plain = matrix_plan(config, ladder, passes, known=known, mask=soft, draw=torch.zeros_like)
    assert not torch.equal(twice[0], sample(plain, known, solver="ddpm", draw=torch.zeros_like))


@pytest.mark.parametrize(
    "bad",
    [
        lambda: MatrixConfig(inject_every=0),
        lambda: MatrixConfig(resamples=-1),
        lambda: filled(
            MatrixConfig(fixed=(0, 1)), smooth, known=torch.zeros(2, 1, 3, 2, 2), mask=torch.ones(1, 1, 1, 1, 1)
        ),
        lambda: filled(
            MatrixConfig(fixed=(2,)), smooth, known=torch.zeros(2, 1, 3, 2, 2), mask=torch.ones(1, 1, 1, 1, 1)
        ),
        lambda: MatrixConfig(order=()),
        lambda: filled(SHORT, smooth, known=torch.zeros(2, 1, 3, 2, 2), mask=torch.full((2, 1, 3, 2, 2), 1.5)),
        lambda: filled(SHORT, smooth, known=torch.zeros(2, 1, 3, 2, 2), mask=torch.full((2, 1, 3, 2, 2), torch.nan)),
        lambda: filled(SHORT, smooth, known=torch.zeros(2, 1, 3, 2, 2), mask=torch.ones(2, 1, 3, 2, 2), steps=1001),
    ],
)
def test_matrices_that_cannot_be_filled_are_refused(bad: Any) -> None:
    with pytest.raises(UsageError):
        bad()


@pytest.mark.parametrize("shape", [(3, 1, 3, 2, 2), (2, 1, 3, 2, 5)])
def test_a_mask_of_another_matrix_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises((UsageError, TypeError)):  # under pytest, the types say it first
        filled(SHORT, smooth, known=torch.zeros(2, 1, 3, 2, 2), mask=torch.ones(shape))


def test_a_view_that_is_known_whole_is_seen_and_costs_nothing() -> None:
    known, mask = normal(4, 2, 6, 3, 3), some_mask(4, 1, 6, 3, 3)
    mask[1] = 1
    for config in (MatrixConfig(fixed=(1,)), MatrixConfig(frame_matrix_end=0, fixed=(1,))):
        seen: list[tuple[int, int]] = []

        def counting(x: torch.Tensor, level: Level, seen: list[tuple[int, int]] = seen) -> torch.Tensor:
            seen.append((len(x), x.shape[2]))
            return smooth(x, level)

        out = filled(config, counting, known=known, mask=mask, steps=5)
        assert torch.equal(out[1], known[1])
        assert max(count for count, length in seen if length == 6) == 3
        assert {shape for shape in seen if shape[1] != 6} == {(6, 4)}
        other = known.clone()
        other[1] += 1
        assert not torch.isclose(filled(config, smooth, known=other, mask=mask, steps=5)[2], out[2]).all()


def test_columns_and_rows_may_speak_at_once() -> None:
    known, mask = normal(3, 2, 4, 2, 2), torch.zeros(3, 1, 4, 2, 2)
    mask[0] = 1
    config = MatrixConfig(frame_matrix_end=0, fixed=(0,), main="both")
    ladder, seen = trained_ladder(TRAINED, 1), []

    def passes(way: Any, views: tuple[int, ...]) -> Denoiser:
        def run(x: torch.Tensor, level: Level) -> torch.Tensor:
            seen.append((way, views))
            return torch.full_like(x, 1.0 if way == "columns" else 3.0)

        return run

    plan = matrix_plan(config, ladder, passes, known=known, mask=mask, draw=torch.zeros_like)
    out = sample(plan, known, solver="ddpm", draw=torch.zeros_like)
    assert sorted(seen) == [("columns", (1, 2)), ("rows", (0, 1, 2))]
    assert torch.equal(out[0], known[0])
    assert torch.equal(out[1:], torch.full_like(out[1:], 2.0))
