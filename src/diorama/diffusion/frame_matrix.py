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

from diorama.diffusion.denoise import Denoiser, Draw, along, keep
from diorama.diffusion.levels import CLEAN, Level, Schedule, levels, timesteps
from diorama.diffusion.noise import only
from diorama.diffusion.sample import Finish, Step, risen
from diorama.errors import UsageError

Matrix = Float[torch.Tensor, "v c t h w"]
Mask = Float[torch.Tensor, "#v #c #t #h #w"]
Pass = Literal["columns", "rows", "rows_back"]
Some = Float[torch.Tensor, "n c t h w"]
Inject = Callable[[Some, tuple[int, ...]], Some]
"""x0 of some views and which views they are -> their new known latents (disocclusion-boundary re-injection)."""


@dataclass(frozen=True)
class MatrixConfig:
    """How a frame matrix is denoised; the defaults are the released ones for a stereo pair.

    Attributes:
        num_inference_steps: with leading spacing and offset 1, so 981, 961, ... 21, 1 of 1,000 timesteps.
        frame_matrix_end: above this timestep all views move, below only those kept. 0 keeps all views to the end
            (the spatial mode).
        update_source_latent_end: above this timestep what is known is renewed by `inject`.
        resamples: visits of the whole matrix at each level; 0 or more.
        order: what they denoise along, in turn; "rows_back" is a row from the last view to the first.
        late_resamples: visits of the kept views alone.
        kept: the views finished after the matrix: the last (the other eye), or both ends (reference in the middle).
        fix_last_view_begin: spatial mode: from this timestep down the kept views go first and then stand still.
        spatial_resamples: spatial mode: visits of the matrix around them.
        spatial_order: what those denoise along, in turn.
        at_once: columns or rows in one call of the network; 0 for all.
    """

    num_inference_steps: int = 50
    frame_matrix_end: int = 500
    update_source_latent_end: int = 0
    resamples: int = 6
    order: tuple[Pass, ...] = ("columns", "rows", "columns", "rows_back")
    late_resamples: int = 2
    kept: Literal["last", "ends"] = "last"
    fix_last_view_begin: int = 600
    spatial_resamples: int = 4
    spatial_order: tuple[Pass, ...] = ("rows", "rows_back", "columns", "rows_back", "rows", "columns")
    at_once: int = 1

    def __post_init__(self) -> None:
        counts = (self.resamples, self.late_resamples, self.spatial_resamples, self.at_once)
        if self.num_inference_steps < 1 or min(counts) < 0:
            given = f"{self.num_inference_steps} steps, counts {counts}"
            raise UsageError(given, "frame matrix", "give 1 step or more, and counts of 0 or more")
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


def matrix_plan(
    config: MatrixConfig,
    trained: Schedule,
    denoise: Denoiser,
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
        trained: the schedule of the network.
        denoise: a denoiser of videos "b c t h w", guidance and text included; called with columns and with rows.
        known: clean latents of the warped views.
        mask: 1 where they are known, 0 in holes, between the two at soft borders; broadcasts to `known`.
        draw: source of noise; of a ``Noise`` with one generator a view, each view uses its own.
        inject: renews what is known from the x0 of the main pass; nothing is renewed where None. The plan remembers
            what it gave until it gives anew, at the first step of the next walk.

    Raises:
        UsageError: a mask outside [0, 1] or of another shape, or more steps than `trained` allows.
    """
    matrix = _Matrix(config, denoise, known=known, mask=_checked(known, mask), draw=draw, inject=inject)
    times = timesteps(len(trained), config.num_inference_steps, "leading", offset=1)
    heights = levels(trained, config.num_inference_steps, "leading", offset=1)
    plan: list[Step] = []
    for index, time in enumerate(times):
        left = time <= config.frame_matrix_end and (index == 0 or times[index - 1] > config.frame_matrix_end)
        plan += _visits(matrix, time, heights[index], heights[index + 1], leaves=left)
    return plan


def _checked(known: Matrix, mask: Mask) -> Matrix:
    if not all(given in (1, wanted) for given, wanted in zip(mask.shape, known.shape, strict=True)):
        given = f"a mask {tuple(mask.shape)} for a matrix {tuple(known.shape)}"
        raise UsageError(given, "mask", "give one value for each view, frame and cell, or 1 where they are alike")
    if not bool(((mask >= 0) & (mask <= 1)).all()):
        raise UsageError(f"a mask from {float(mask.min()):g} to {float(mask.max()):g}", "mask", "give 0 to 1")
    return mask.expand(known.shape)


def _visits(matrix: "_Matrix", time: float, level: Level, after: Level, *, leaves: bool) -> list[Step]:
    """All that happens at one level: the main pass, views that leave, visits, and what is known put back below."""
    config, everyone, ends = matrix.config, matrix.everyone, matrix.kept
    early = time > config.frame_matrix_end
    views = everyone if early else ends
    renews = matrix.inject is not None and time > config.update_source_latent_end
    plan = [Step(level, after, matrix.main(views, renews=renews), items=views)]
    if leaves and matrix.others:
        others = matrix.others
        plan.append(Step(level, CLEAN, matrix.guessed(others), matrix.put_back(others), items=others))
    if after != CLEAN:
        if config.spatial and time <= config.fix_last_view_begin:
            plan += _again(matrix, ends, level, after, ["columns"] * config.late_resamples)
            plan += _around(matrix, level, after, _turns(config.spatial_order, config.spatial_resamples))
        elif early:
            plan += _again(matrix, everyone, level, after, _turns(config.order, config.resamples))
        else:
            plan += _again(matrix, ends, level, after, ["columns"] * config.late_resamples)
    return [*plan, Step(after, after, finish=matrix.put_back(views), items=views)]


def _turns(order: Sequence[Pass], count: int) -> list[Pass]:
    return [order[i % len(order)] for i in range(count)]


def _again(matrix: "_Matrix", views: tuple[int, ...], level: Level, after: Level, passes: Sequence[Pass]) -> list[Step]:
    """Back up to `level`, the known put back, and down again."""
    plan = []
    for each in passes:
        plan.append(Step(after, level, finish=matrix.put_back(views), items=views))
        plan.append(Step(level, after, matrix.visit(each, views), items=views))
    return plan


def _around(matrix: "_Matrix", level: Level, after: Level, passes: Sequence[Pass]) -> list[Step]:
    """The same for the views that are not kept; the kept are seen, under noise of the same level, and stand still."""
    plan, others = [], matrix.others
    for each in passes if others else ():
        plan.append(Step(after, level, finish=matrix.put_back(others), items=others))
        plan.append(Step(level, after, matrix.among(each, after), items=others, sees_all=True))
    return plan


class _Matrix:
    """What the steps share: the passes, and what is known and guessed so far."""

    def __init__(
        self,
        config: MatrixConfig,
        denoise: Denoiser,
        *,
        known: Matrix,
        mask: Matrix,
        draw: Draw,
        inject: Inject | None,
    ) -> None:
        self.config, self.inject = config, inject
        self._mask, self._draw = mask, draw
        self._known, self._guess = known, known
        views, frames = known.shape[0], known.shape[2]
        self.everyone = tuple(range(views))
        self.kept = tuple(sorted({0, views - 1})) if config.kept == "ends" else (views - 1,)
        self.others = tuple(view for view in self.everyone if view not in self.kept)
        columns = along(denoise, "columns", at_once=config.at_once)
        rows = along(denoise, "rows", at_once=config.at_once)
        back = along(denoise, "rows", reverse=True, at_once=config.at_once)
        # a video network is not asked about videos of one frame where there is another way
        self._passes: dict[Pass, Denoiser] = {
            "columns": rows if frames == 1 else columns,
            "rows": columns if views == 1 else rows,
            "rows_back": columns if views == 1 else back,
        }

    def main(self, views: tuple[int, ...], *, renews: bool) -> Denoiser:
        """The columns of `views`; what is known is renewed from their x0."""
        return lambda x, level: self._main(x, level, views, renews=renews)

    def _main(self, x: Some, level: Level, views: tuple[int, ...], *, renews: bool) -> Some:
        x0 = self._visit(x, level, "columns", views)
        if renews and self.inject is not None:
            self._known = _with(self._known, views, self.inject(x0, views))
        return x0

    def visit(self, each: Pass, views: tuple[int, ...]) -> Denoiser:
        """One pass over `views`; its x0 is remembered."""
        return lambda x, level: self._visit(x, level, each, views)

    def _visit(self, x: Some, level: Level, each: Pass, views: tuple[int, ...]) -> Some:
        x0 = self._passes[each](x, level)
        self._guess = _with(self._guess, views, x0)
        return x0

    def among(self, each: Pass, stands: Level) -> Denoiser:
        """One pass over all; the kept views, which still stand at the lower level `stands`, are seen brought up."""
        return lambda x, level: self._visit(self._lifted(x, level, stands), level, each, self.everyone)

    def _lifted(self, x: Matrix, level: Level, stands: Level) -> Matrix:
        up = risen(x[list(self.kept)], stands, level, only(self._draw, self.kept))
        return _with(x, self.kept, self.put_back(self.kept)(up, level))

    def guessed(self, views: tuple[int, ...]) -> Denoiser:
        """The x0 that was remembered."""
        return lambda x, level: self._guess[list(views)]

    def put_back(self, views: tuple[int, ...]) -> Finish:
        """What is known, at the level that x has reached, under fresh noise for every view."""
        chosen, draw = list(views), only(self._draw, views)
        return lambda x, level: keep(x, level, known=self._known[chosen], mask=self._mask[chosen], draw=draw)


def _with(matrix: Matrix, views: tuple[int, ...], new: Some) -> Matrix:
    return matrix.index_copy(0, torch.tensor(views, device=matrix.device), new)
