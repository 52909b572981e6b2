"""Fitting moving Gaussians to theatre scenes with truth: views and times that were not given, depth, flicker, time.

Run: ``OMP_NUM_THREADS=1 python benchmarks/spatial.py [iterations [numbers of scenes]]``. Sixteen frames at 12 a second
from eight cameras over 7.5 cm are given, with the depth of the first; the truth between them is rendered too. "still"
tells the fit nothing of how the camera moved: the scene moves before cameras that stand, which is how a real clip is
fitted.
"""

import sys
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from diorama.core.camera import Cameras
from diorama.core.gaussians import MovingGaussians
from diorama.core.memory import keep_freed_memory
from diorama.geometry.fit import FitConfig, PosedFrames, fit
from diorama.geometry.splat import Splatted, splat
from diorama.theatre.cameras import Kind, beside
from diorama.theatre.clip import Clip, Script, random_clip
from diorama.theatre.render import FrameView, render
from diorama.theatre.sky import sky_picture
from table import show

HEIGHT, WIDTH, FRAMES, FPS, VIEWS, BASELINE = 160, 288, 31, 24.0, 8, 0.075
GIVEN = range(0, FRAMES, 2)
XS = np.linspace(0, BASELINE, VIEWS)
HELD = (XS[:-1] + XS[1:])[[0, 3, 6]] / 2
SCENES: tuple[tuple[int, Kind, bool, bool], ...] = (
    (1, "static", True, False),
    (3, "orbit", True, True),
    (4, "dolly", False, True),
    (5, "handheld", False, False),
)
"""Seed, how it is filmed, whether the true cameras are given, whether the true flow is."""


@dataclass(frozen=True, eq=False)
class Truth:
    """A clip seen from anywhere beside its camera.

    Attributes:
        clip: of the theatre.
        known: whether the fit is told how the camera moves.
    """

    clip: Clip
    known: bool

    def frame(self, number: int, x: float) -> FrameView:
        """What is seen `x` metres to the right; flow leads two frames on."""
        cameras = beside(self.clip.views[0], float(x))
        sky = sky_picture(self.clip.sky, cameras[number : number + 1])
        later = min(number + 2, FRAMES - 1)
        return render(self.clip.layers, cameras, number, light=self.clip.light, sky=sky, after=later)

    def cameras(self, number: int, xs: np.ndarray) -> Cameras:
        """As the fit knows them."""
        number = number if self.known else FRAMES // 2
        one = self.clip.views[0][number : number + 1]
        found = [beside(one, float(x)) for x in xs]
        return Cameras(
            np.concatenate([c.viewmats for c in found]), np.concatenate([c.Ks for c in found]), HEIGHT, WIDTH
        )

    def drawn(self, found: MovingGaussians, number: int, x: float) -> Splatted:
        """What the fit shows there."""
        return splat(found.at(number / FPS), self.cameras(number, np.array([x])))

    def psnr(self, found: MovingGaussians, pictures: list[tuple[int, float]]) -> float:
        """Decibels, the mean over pictures."""
        scores = []
        for number, x in pictures:
            off = 255 * self.drawn(found, number, x).color.clip(0, 1) - self.frame(number, x).image
            scores.append(10 * np.log10(255**2 / np.mean(off.astype(np.float64) ** 2)))
        return float(np.mean(scores))


def posed(truth: Truth, flow: bool) -> PosedFrames:
    """What is given to the fit."""
    films = [[truth.frame(number, x) for number in GIVEN] for x in XS]
    return PosedFrames(
        np.stack([np.stack([f.image for f in film]) for film in films]),
        [truth.cameras(number, XS) for number in GIVEN],
        np.array([number / FPS for number in GIVEN], np.float32),
        np.stack([f.depth for f in films[0]]),
        flow=np.stack([f.flow for f in films[0][:-1]]) if flow else None,
    )


def depth_error(truth: Truth, found: MovingGaussians) -> float:
    """Median relative error over pixels that have a depth."""
    errors = []
    for number in list(GIVEN)[::3]:
        made, true = truth.drawn(found, number, 0.0).depth, truth.frame(number, 0.0).depth
        fine = np.isfinite(true) & np.isfinite(made)
        errors.append(np.median(np.abs(made[fine] / true[fine] - 1)))
    return float(np.mean(errors))


def flicker(truth: Truth, found: MovingGaussians) -> float:
    """Mean absolute change of the error from frame to frame, levels of 255, at a view that was not given."""
    x = float(HELD[1])
    errors = [255 * truth.drawn(found, n, x).color.clip(0, 1) - truth.frame(n, x).image for n in range(FRAMES)]
    return float(np.mean([np.abs(b - a).mean() for a, b in pairwise(errors)]))


def scene(seed: int, kind: Kind, known: bool, flow: bool, config: FitConfig) -> list[dict[str, object]]:
    """The rows of one scene."""
    script = Script(frames=FRAMES, fps=FPS, height=HEIGHT, width=WIDTH, cameras=(kind,), actors=(1, 2))
    truth = Truth(random_clip(seed, script), known)
    given = posed(truth, flow)
    start, begun = time.perf_counter(), time.process_time()
    found = fit(given, config)
    took, busy = time.perf_counter() - start, time.process_time() - begun
    some = list(GIVEN)[::3]
    scores = {
        "views given": (truth.psnr(found, [(n, float(x)) for n in some for x in XS[::3]]), 28.0),
        "views between": (truth.psnr(found, [(n, float(x)) for n in some for x in HELD]), 28.0),
        "times between": (truth.psnr(found, [(n, float(XS[3])) for n in range(1, FRAMES, 2)]), 28.0),
    }
    name = f"{kind} {seed}, cameras {'known' if known else 'still'}, flow {'given' if flow else 'measured'}"
    note = f"{len(found)} Gaussians; depth off by {depth_error(truth, found):.1%}; flicker {flicker(truth, found):.2f}"
    rows: list[dict[str, object]] = [
        {"figure": f"{name}: {what}", "measured": f"{score:.2f} dB", "goal": f">= {goal} dB", "ok": score >= goal}
        for what, (score, goal) in scores.items()
    ]
    measured = f"{took:.0f} s ({busy:.0f} s busy)"
    rows.append({"figure": f"{name}: time", "measured": measured, "goal": "<= 300 s", "ok": took <= 300, "note": note})
    return rows


def main(iterations: int = FitConfig().iterations, *numbers: int) -> list[dict[str, object]]:
    """All rows, or those of some scenes."""
    keep_freed_memory()
    config = FitConfig(iterations=iterations)
    fit(posed_still(), FitConfig(iterations=1))  # compiles
    return [row for number in numbers or range(len(SCENES)) for row in scene(*SCENES[number], config)]


def posed_still() -> PosedFrames:
    """Two grey frames."""
    truth = np.full((1, 2, 32, 32, 3), 128, np.uint8)
    K = np.array([[[40.0, 0, 16], [0, 40, 16], [0, 0, 1]]])
    cameras = Cameras(np.eye(4)[None], K, 32, 32)
    return PosedFrames(truth, cameras, np.array([0, 1], np.float32), np.full((2, 32, 32), 2.0, np.float32))


if __name__ == "__main__":
    show(main(*(int(argument) for argument in sys.argv[1:])))
