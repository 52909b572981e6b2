"""A frame matrix of pictures with holes -> the same, painted by a video prior (S2VG; s2vg.md 1.5, 1.6)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from diorama.diffusion.frame_matrix import SPATIAL, MatrixConfig, Pass, matrix_plan
from diorama.diffusion.matrix_passes import Counted, PriorPasses
from diorama.diffusion.noise import FrameNoise, seed_of
from diorama.diffusion.pictures import to_frames, to_pictures
from diorama.diffusion.prior import Prior
from diorama.diffusion.sample import sample
from diorama.errors import ModelError
from diorama.pipelines.matrix_config import MatrixSettings
from diorama.pipelines.matrix_mask import eroded, latent_mask, per_latent_frame, rectangles, unknown_shares

MARGIN = 32
"""Pixels around holes that a prior sees."""
SURE = 2.0
"""Pixels inside a hole from which on the embedded prior tells more than the guess does."""
LEAST = 64
"""Pixels a side of what is painted at once, at least."""
GRID = 16
"""Its sides are multiples of this, or of what the prior asks for."""
RELEASED = MatrixConfig().order
Pictures = UInt8[np.ndarray, "v t h w 3"]
Known = Bool[np.ndarray, "v t h w"]


@dataclass(frozen=True, eq=False)
class Painter:
    """What paints, and how.

    Attributes:
        prior: the video network.
        settings: of the quality.
        seed: of the noise.
        kept: which views are finished: the last, both ends, or all.
        counted: what the prior was asked.
    """

    prior: Prior
    settings: MatrixSettings
    seed: int = 42
    kept: Literal["last", "ends", "all"] = "last"
    counted: Counted = field(default_factory=Counted)

    def paint(
        self,
        pictures: Pictures,
        known: Known,
        *,
        source: int | None,
        numbers: Sequence[int],
    ) -> Pictures:
        """The pictures with their holes painted; what is known comes back bit for bit.

        Args:
            pictures: holes filled by guess.
            known: what is not to be painted.
            source: the view that is known whole.
            numbers: of the frames in the clip: noise belongs to a frame, whatever window it is in.

        Raises:
            ModelError: the prior gives numbers that are not finite.
            OutOfMemoryError: one video alone does not fit.
        """
        out = pictures.copy()
        if known.all():
            return out
        for rows, columns in self._pieces(known):
            place = (slice(None), slice(None), rows, columns)
            piece, sure = pictures[place], known[place]
            corner = (rows.start, columns.start)
            made = self._painted(piece, sure, source, numbers, corner)
            if self.prior.reads_guess:
                made = _setting_in(piece, made, sure)
            out[place] = np.where(sure[..., None], piece, made)
        return out

    def _pieces(self, known: Known) -> list[tuple[slice, slice]]:
        height, width = known.shape[2:]
        if not self.settings.crops:
            return [(slice(0, height), slice(0, width))]
        grid = max(GRID, self.prior.multiple)
        return rectangles(np.asarray(~known.all(axis=(0, 1))), margin=MARGIN, least=LEAST, grid=grid)

    @torch.no_grad()
    def _painted(
        self,
        pictures: Pictures,
        known: Known,
        source: int | None,
        numbers: Sequence[int],
        corner: tuple[int, int],
    ) -> Pictures:
        """One piece: to latents, through the matrix, and back."""
        prior, asked = self.prior, pictures.shape[1:4]
        pictures, known, numbers = _fitting(prior, pictures, known, numbers)
        sure = known if prior.reads_guess else np.stack([eroded(view) for view in known])
        shown = pictures if self.settings.guesses else np.where(sure[..., None], pictures, 0).astype(np.uint8)
        latents = torch.stack([self._encoded(view) for view in shown])
        factor, every = pictures.shape[2] // latents.shape[3], _every(prior, len(numbers), latents.shape[2])
        mask = torch.stack(
            [per_latent_frame(latent_mask(v, factor, soft=not prior.reads_guess), every, least=True) for v in sure]
        ).to(latents)
        unknown = torch.stack([per_latent_frame(unknown_shares(v, factor), every, least=False) for v in sure])
        passes = PriorPasses(prior, latents, unknown.to(latents), self.counted)
        keys = [numbers[min(i * every, len(numbers) - 1)] for i in range(latents.shape[2])]
        draw = self._noise("step", len(latents), keys, corner)
        plan = matrix_plan(
            self._config(source, len(latents)),
            prior.ladder(self.settings.num_inference_steps),
            passes,
            known=latents,
            mask=mask,
            draw=draw,
            inject=self._injection(pictures, sure, latents)
            if self.settings.inject_every and not prior.reads_guess
            else None,
        )
        start = self._noise("start", len(latents), keys, corner)(latents)
        made = sample(plan, start, solver="ddpm", draw=draw)
        return np.stack([self._decoded(view) for view in made])[:, : asked[0], : asked[1], : asked[2]]

    def _encoded(self, view: UInt8[np.ndarray, "t h w 3"]) -> Float[torch.Tensor, "c _ y x"]:
        return self._sound(self.prior.encode(to_frames(view).to(self.prior.device)))

    def _decoded(self, latents: Float[torch.Tensor, "c _ y x"]) -> UInt8[np.ndarray, "t h w 3"]:
        return to_pictures(self._sound(self.prior.decode(latents)).cpu())

    def _sound(self, numbers: torch.Tensor) -> torch.Tensor:
        if not bool(torch.isfinite(numbers).all()):
            what = f"the autoencoder of {self.prior.name} gave numbers that are not finite"
            raise ModelError(what, "frame matrix", "check its weights, or run it in float32")
        return numbers

    def _config(self, source: int | None, views: int) -> MatrixConfig:
        settings = self.settings
        order: tuple[Pass, ...] = ("rows", "columns", "rows_back", "columns") if settings.fixes_source else RELEASED
        return MatrixConfig(
            frame_matrix_end=0 if self.kept == "all" else settings.matrix_end,
            inject_every=max(settings.inject_every, 1),
            resamples=settings.resamples,
            late_resamples=settings.late_resamples,
            spatial_resamples=settings.spatial_resamples,
            kept="ends" if self.kept == "ends" else "last",
            rows=self.prior.rows,
            main="both" if settings.mixes and self.prior.rows else "columns",
            order=order if self.prior.rows and views > 1 else ("columns",),
            spatial_order=SPATIAL.spatial_order if self.prior.rows and views > 1 else ("columns",),
            fixed=(source,) if settings.fixes_source and source is not None and views > 1 else (),
        )

    def _noise(self, what: str, views: int, keys: Sequence[int], corner: tuple[int, int]) -> FrameNoise:
        still = what == "start" and self.prior.reads_guess  # noise that stands still flickers less

        def generator(view: int, key: int) -> torch.Generator:
            place = () if still else (view, key)
            return torch.Generator().manual_seed(seed_of("matrix", what, self.seed, *place, corner))

        return FrameNoise([[generator(view, key) for key in keys] for view in range(views)])

    def _injection(
        self, pictures: Pictures, known: Known, latents: Float[torch.Tensor, "v c t y x"]
    ) -> Callable[[Float[torch.Tensor, "n c t y x"], tuple[int, ...]], Float[torch.Tensor, "n c t y x"]]:
        """What is known, encoded anew with what was painted beside it (s2vg.md 1.6)."""

        def inject(x0: Float[torch.Tensor, "n c t y x"], views: tuple[int, ...]) -> Float[torch.Tensor, "n c t y x"]:
            renewed = []
            for made, view in zip(x0, views, strict=True):
                if known[view].all():  # nothing was painted beside what is known
                    renewed.append(latents[view])
                    continue
                painted = np.where(known[view][..., None], pictures[view], self._decoded(made))
                renewed.append(self._encoded(painted))
            return torch.stack(renewed)

        return inject


def _setting_in(guess: Pictures, made: Pictures, known: Known) -> Pictures:
    """The guess at the border of a hole, where the background beside it still tells, and paint from `SURE` on."""
    out = guess.copy()
    for view, t in zip(*np.nonzero(~known.all(axis=(2, 3))), strict=True):
        inside = cv2.distanceTransform((~known[view, t]).astype(np.uint8), cv2.DIST_L2, 5)
        share = np.clip(inside / SURE, 0, 1)[..., None]
        out[view, t] = np.rint(guess[view, t] * (1 - share) + made[view, t] * share).astype(np.uint8)
    return out


def _every(prior: Prior, frames: int, latent_frames: int) -> int:
    """Pictures that a latent frame stands for, but for the first."""
    return 1 if latent_frames <= 1 or prior.rows else (frames - 1) // (latent_frames - 1)


def _fitting(
    prior: Prior, pictures: Pictures, known: Known, numbers: Sequence[int]
) -> tuple[Pictures, Known, list[int]]:
    """As many frames and pixels as the prior takes: the last ones repeat."""
    more = max(prior.fitting(max(len(numbers), prior.shortest)) - len(numbers), 0)
    down, right = (-side % prior.multiple for side in pictures.shape[2:4])
    wide = [(0, 0), (0, more), (0, down), (0, right)]
    return (
        np.pad(pictures, [*wide, (0, 0)], mode="edge"),
        np.pad(known, wide, mode="edge"),
        [*numbers, *[numbers[-1] + 1 + i for i in range(more)]],
    )
