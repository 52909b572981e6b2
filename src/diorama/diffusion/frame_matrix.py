"""The frame matrix of S2VG (s2vg.md 1.5) as a plan: views x frames are denoised along time and along views in turn.

A matrix ``x "v c t h w"`` has a column for each camera (a video over time) and a row for each moment (a video over
cameras), and one video network serves both. At each noise level the columns are denoised once; then, several times,
noise is added back, what is known is put back, and columns or rows are denoised again. So holes are filled alike in all
views.

The order, the counts and what is frozen when are those of the released code (Dai et al. 2024, arXiv 2407.00367; a
guided call counts once). It works on latents alone; decoding and warped pixels stay behind a function (s2vg.md 1.6).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float

from diorama.diffusion.denoise import Denoiser, Draw, along, keep, noised
from diorama.diffusion.levels import CLEAN, Level
from diorama.diffusion.noise import only
from diorama.diffusion.prior import Rung
from diorama.diffusion.sample import Finish, Step, risen
from diorama.errors import UsageError

Matrix = Float[torch.Tensor, "v c t h w"]
Mask = Float[torch.Tensor, "#v #c #t #h #w"]
Pass = Literal["columns", "rows", "rows_back"]
Some = Float[torch.Tensor, "n c t h w"]
Inject = Callable[[Some, tuple[int, ...]], Some]
"""x0 of some views and which views they are -> their new known latents (disocclusion-boundary re-injection)."""
Passes = Callable[[Pass, tuple[int, ...]], Denoiser]
"""Along what, and which views -> a denoiser of these views "v c t h w"."""


@dataclass(frozen=True)
class MatrixConfig:
    """How a frame matrix is denoised; the defaults are the released ones for a stereo pair.

    Times are those of the rungs of a ladder, 1000 to 0.

    Attributes:
        frame_matrix_end: above this time all views move, below only those kept. 0 keeps all views to the end (the
            spatial mode).
        update_source_latent_end: above this time what is known is renewed by `inject`.
        inject_every: at each so many steps, counted from the first.
        resamples: visits of the whole matrix at each level; 0 or more.
        order: what they denoise along, in turn; "rows_back" is a row from the last view to the first.
        late_resamples: visits of the kept views alone.
        kept: the views finished after the matrix: the last (the other eye), or both ends (reference in the middle).
        fix_last_view_begin: spatial mode: from this time down the kept views go first and then stand still.
        spatial_resamples: spatial mode: visits of the matrix around them.
        spatial_order: what those denoise along, in turn.
        fixed: views that are known whole: rows see them, but nothing is spent on them. The release spends it.
        rows: whether rows are videos to the network; of one moment, columns are then taken for rows.
        main: what the main pass denoises along; "both" takes the mean of what columns and rows say, which ties views
            together where there are too few levels for turns.
    """

    frame_matrix_end: int = 500
    update_source_latent_end: int = 0
    inject_every: int = 1
    resamples: int = 6
    order: tuple[Pass, ...] = ("columns", "rows", "columns", "rows_back")
    late_resamples: int = 2
    kept: Literal["last", "ends"] = "last"
    fix_last_view_begin: int = 600
    spatial_resamples: int = 4
    spatial_order: tuple[Pass, ...] = ("rows", "rows_back", "columns", "rows_back", "rows", "columns")
    fixed: tuple[int, ...] = ()
    rows: bool = True
    main: Literal["columns", "both"] = "columns"

    def __post_init__(self) -> None:
        counts = (self.resamples, self.late_resamples, self.spatial_resamples)
        if min(counts) < 0 or self.inject_every < 1:
            given = f"counts {counts}, injection at every {self.inject_every} steps"
            raise UsageError(given, "frame matrix", "give counts of 0 or more, and every step or fewer")
        for order in (self.order, self.spatial_order):
            if not order or not set(order) <= {"columns", "rows", "rows_back"}:
                raise UsageError(f"an order of {list(order)}", "frame matrix", "known: columns, rows, rows_back")
        if self.kept not in ("last", "ends"):
            raise UsageError(f"kept views {self.kept!r}", "frame matrix", "known: last, ends")

    @property
    def spatial(self) -> bool:
        """Whether all views are made to the end."""
        return self.frame_matrix_end <= 0


SPATIAL = MatrixConfig(frame_matrix_end=0)
"""The released settings where all views are wanted."""


def both_ways(denoise: Denoiser, *, at_once: int = 1) -> Passes:
    """Passes of a network that is told nothing about which videos it sees.

    Args:
        denoise: of videos "b c t h w", guidance and text included.
        at_once: columns or rows in one call; 0 for all.
    """
    ways = {
        "columns": along(denoise, "columns", at_once=at_once),
        "rows": along(denoise, "rows", at_once=at_once),
        "rows_back": along(denoise, "rows", reverse=True, at_once=at_once),
    }
    return lambda way, views: ways[way]


def matrix_plan(
    config: MatrixConfig,
    ladder: Sequence[Rung],
    passes: Passes,
    *,
    known: Matrix,
    mask: Mask,
    draw: Draw,
    inject: Inject | None = None,
) -> list[Step]:
    """The steps that fill a frame matrix, for ``sample(plan, noise, solver="ddpm", draw=draw)``.

    After the last step x equals what is known where the mask is 1. Views that are not kept get the last x0 that the
    matrix had for them, at no further call of the network.

    Args:
        ladder: the levels to visit, from noise downwards; the clean end follows.
        passes: asked for columns with the views that move, for rows with all.
        known: clean latents of the warped views.
        mask: 1 where they are known, 0 in holes, between the two at soft borders; broadcasts to `known`.
        draw: source of noise; of a ``Noise`` with one generator a view, each view uses its own.
        inject: renews what is known from the x0 of the main pass; nothing is renewed where None. The plan remembers
            what it gave until it gives anew, at the first step of the next walk.

    Raises:
        UsageError: a mask outside [0, 1] or of another shape, an empty ladder, or no view that is not fixed.
    """
    if not ladder:
        raise UsageError("a ladder of 0 levels", "num_inference_steps", "give 1 or more")
    matrix = _Matrix(config, passes, known=known, mask=_checked(known, mask), draw=draw, inject=inject)
    plan: list[Step] = []
    for index, (time, level) in enumerate(ladder):
        left = time <= config.frame_matrix_end and (index == 0 or ladder[index - 1].time > config.frame_matrix_end)
        after = ladder[index + 1].level if index + 1 < len(ladder) else CLEAN
        renews = time > config.update_source_latent_end and index % config.inject_every == 0
        plan += _visits(matrix, time, level, after, leaves=left, renews=renews)
    return [*plan, *matrix.finished()]


def _checked(known: Matrix, mask: Mask) -> Matrix:
    if not all(given in (1, wanted) for given, wanted in zip(mask.shape, known.shape, strict=True)):
        given = f"a mask {tuple(mask.shape)} for a matrix {tuple(known.shape)}"
        raise UsageError(given, "mask", "give one value for each view, frame and cell, or 1 where they are alike")
    if not bool(((mask >= 0) & (mask <= 1)).all()):
        raise UsageError(f"a mask from {float(mask.min()):g} to {float(mask.max()):g}", "mask", "give 0 to 1")
    return mask.expand(known.shape)


def _visits(matrix: "_Matrix", time: float, level: Level, after: Level, *, leaves: bool, renews: bool) -> list[Step]:
    """All that happens at one level: the main pass, views that leave, visits, and what is known put back below."""
    config, moving, ends = matrix.config, matrix.moving, matrix.kept
    early = time > config.frame_matrix_end
    views = moving if early else ends
    plan = [matrix.main(views, level, after, renews=renews)]
    if leaves and matrix.others:
        others = matrix.others
        plan.append(Step(level, CLEAN, matrix.guessed(others), matrix.put_back(others), items=others))
    if after != CLEAN:
        if config.spatial and time <= config.fix_last_view_begin:
            plan += _again(matrix, ends, level, after, ["columns"] * config.late_resamples)
            plan += _again(
                matrix, matrix.others, level, after, matrix.turns(config.spatial_order, config.spatial_resamples)
            )
        elif early:
            plan += _again(matrix, moving, level, after, matrix.turns(config.order, config.resamples))
        else:
            plan += _again(matrix, ends, level, after, ["columns"] * config.late_resamples)
    return [*plan, Step(after, after, finish=matrix.put_back(views), items=views)]


def _again(matrix: "_Matrix", views: tuple[int, ...], level: Level, after: Level, passes: Sequence[Pass]) -> list[Step]:
    """Back up to `level`, the known put back, and down again; views that stand still below are seen brought up."""
    plan = []
    for each in passes if views else ():
        plan.append(Step(after, level, finish=matrix.put_back(views), items=views))
        plan.append(matrix.step(each, views, level, after))
    return plan


class _Matrix:
    """What the steps share: the passes, and what is known and guessed so far."""

    def __init__(
        self,
        config: MatrixConfig,
        passes: Passes,
        *,
        known: Matrix,
        mask: Matrix,
        draw: Draw,
        inject: Inject | None,
    ) -> None:
        self.config, self.inject = config, inject
        self._mask, self._draw, self._passes = mask, draw, passes
        self._known, self._guess = known, known
        views = known.shape[0]
        self._everyone, self._frames = tuple(range(views)), known.shape[2]
        self.moving = tuple(view for view in self._everyone if view not in config.fixed)
        if not self.moving or not set(config.fixed) <= set(self._everyone):
            raise UsageError(f"views {list(config.fixed)} of {views} fixed", "frame matrix", "leave one to be made")
        self.kept = tuple(sorted({self.moving[0], self.moving[-1]})) if config.kept == "ends" else self.moving[-1:]
        self.others = tuple(view for view in self.moving if view not in self.kept)

    def turns(self, order: Sequence[Pass], count: int) -> list[Pass]:
        """The first `count` ways of an order; a video network is not asked about videos of one frame."""
        ways = [order[i % len(order)] for i in range(count)]
        return ["rows" if way == "columns" and self._one_moment else way for way in ways]

    @property
    def _one_moment(self) -> bool:
        return self._frames == 1 and self.config.rows

    def step(self, way: Pass, views: tuple[int, ...], level: Level, after: Level, *, renews: bool = False) -> Step:
        """One pass in which `views` move from a level to the next."""
        across = way != "columns" and len(self._everyone) > 1
        work = self._row(way, views, after) if across else self._column(views, renews=renews)
        return Step(level, after, work, items=views, sees_all=across)

    def main(self, views: tuple[int, ...], level: Level, after: Level, *, renews: bool) -> Step:
        """The first pass at a level."""
        everyone_moves = views == self.moving and len(self._everyone) > 1
        if everyone_moves and self._one_moment and self.inject is None:
            return self.step("rows", views, level, after)
        if self.config.main == "columns" or not everyone_moves or self._frames < 2:
            return self.step("columns", views, level, after, renews=renews)
        columns, rows = self._column(views, renews=renews), self._row("rows", views, level)

        def run(x: Matrix, level: Level) -> Matrix:
            x0 = rows(x, level)
            mean = (x0[list(views)] + columns(x[list(views)], level)) / 2
            self._guess = _with(self._guess, views, mean)
            return _with(x0, views, mean)

        return Step(level, after, run, items=views, sees_all=True)

    def _column(self, views: tuple[int, ...], *, renews: bool) -> Denoiser:
        way: Pass = "rows" if self._one_moment else "columns"

        def run(x: Some, level: Level) -> Some:
            x0 = self._passes(way, views)(x, level)
            self._guess = _with(self._guess, views, x0)
            if renews and self.inject is not None:
                self._known = _with(self._known, views, self.inject(x0, views))
            return x0

        return run

    def _row(self, way: Pass, views: tuple[int, ...], stands: Level) -> Denoiser:
        def run(x: Matrix, level: Level) -> Matrix:
            x0 = self._passes(way, self._everyone)(self._lifted(x, level, stands, views), level)
            self._guess = _with(self._guess, views, x0[list(views)])
            return x0

        return run

    def _lifted(self, x: Matrix, level: Level, stands: Level, moving: tuple[int, ...]) -> Matrix:
        """All views at one level: the fixed under noise, those that stand at the lower level `stands` brought up."""
        fixed = self.config.fixed
        if fixed:
            x = _with(x, fixed, noised(self._known[list(fixed)], level, only(self._draw, fixed)))
        below = tuple(view for view in self.moving if view not in moving)
        if not below:
            return x
        up = risen(x[list(below)], stands, level, only(self._draw, below))
        return _with(x, below, self.put_back(below)(up, level))

    def guessed(self, views: tuple[int, ...]) -> Denoiser:
        """The x0 that was remembered."""
        return lambda x, level: self._guess[list(views)]

    def put_back(self, views: tuple[int, ...]) -> Finish:
        """What is known, at the level that x has reached, under fresh noise for every view."""
        chosen, draw = list(views), only(self._draw, views)
        return lambda x, level: keep(x, level, known=self._known[chosen], mask=self._mask[chosen], draw=draw)

    def finished(self) -> list[Step]:
        """Fixed views as they are."""
        fixed = self.config.fixed
        return [Step(CLEAN, CLEAN, finish=lambda x, level: self._known[list(fixed)], items=fixed)] if fixed else []


def _with(matrix: Matrix, views: tuple[int, ...], new: Some) -> Matrix:
    return matrix.index_copy(0, torch.tensor(views, device=matrix.device), new)
