"""What the generative engine can be asked for, and what its qualities mean. Loads no heavy library."""

from dataclasses import dataclass, replace
from typing import Literal

from diorama.errors import UsageError
from diorama.pipelines.choices import check_choices

Quality = Literal["svg-release", "balanced", "draft"]
Layout = Literal["right", "left", "middle", "circle"]
Warp = Literal["subpixel", "multiplane", "points"]


@dataclass(frozen=True)
class Generative:
    """The generative engine."""

    quality: Quality = "balanced"
    """Of the generative engine: svg-release as the released code does it, balanced, or draft."""
    prior: str = "embedded"
    """The video network that paints what was never seen: embedded, or Zeroscope, AnimateDiff or Wan: a folder, or its
    name in diorama models list."""
    autoencoder: str = ""
    """Folder of another autoencoder of the same latents for the network, such as SVD's, which flickers less."""
    prompt: str = ""
    """What the clip shows, for networks that read text."""
    negative_prompt: str = "low-quality, blurry, flickering, ghost"
    """What it shall not be like."""
    guidance_scale: float | None = None
    """How closely a network follows the prompt; 1 is not at all (default: as released)."""
    outpaint: Literal["auto", "on", "off"] = "auto"
    """Continue the clip beyond its sides before it is seen from elsewhere, so that what the border cuts is whole."""
    window: int = 16
    """Frames that are painted together."""
    overlap: int = 4
    """Frames of a window that the one before has painted."""
    working_width: int = 0
    """Width at which is painted, in pixels; 0: what the network was made for."""
    seed: int = 42
    """Of the noise."""

    def __post_init__(self) -> None:
        check_choices(self)
        if not 2 <= self.window <= 128 or not 0 <= self.overlap < self.window:
            given = f"windows of {self.window} frames that share {self.overlap}"
            raise UsageError(given, "--window/--overlap", "give 2 to 128, and an overlap below it")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}", "--seed", "give 0 or more")
        if self.working_width and not 64 <= self.working_width <= 4096:
            raise UsageError(f"a width of {self.working_width}", "--working-width", "give 64 to 4096, or 0")
        if self.guidance_scale is not None and not 0 < self.guidance_scale <= 50:
            raise UsageError(f"guidance {self.guidance_scale}", "--guidance-scale", "7.5 is usual, 1 is none")


@dataclass(frozen=True)
class MatrixSettings:
    """A quality spelled out.

    Attributes:
        num_views: cameras from one eye to the other, the source among them.
        num_inference_steps: levels of noise.
        matrix_end: above this time (1000 to 0) all views move, below only the eyes.
        resamples, late_resamples, spatial_resamples: see `MatrixConfig`.
        inject_every: at each so many levels what is known is renewed; 0: never.
        fixes_source: the source is not denoised.
        crops: only what is around holes is painted.
        borrows: background that other frames of the window show counts as known.
        steadies: paint is averaged along the background's motion, with what other frames show there.
        guesses: what the network is given in holes is the fast engine's guess, not black.
        mixes: the main pass is the mean of columns and rows.
        outpaints: see `Generative`.
        warp: how views are made; "points" are multi-plane views without their clean-up.
    """

    num_views: int = 8
    num_inference_steps: int = 50
    matrix_end: int = 500
    resamples: int = 6
    late_resamples: int = 2
    spatial_resamples: int = 4
    inject_every: int = 1
    fixes_source: bool = False
    crops: bool = False
    borrows: bool = False
    steadies: bool = False
    guesses: bool = False
    mixes: bool = False
    outpaints: bool = False
    warp: Warp = "multiplane"

    @property
    def follows(self) -> bool:
        """Whether the motion of the clip is wanted."""
        return self.borrows or self.steadies


RELEASE = MatrixSettings()
QUALITIES: dict[str, MatrixSettings] = {
    "svg-release": RELEASE,
    "balanced": replace(
        RELEASE,
        num_views=4,
        num_inference_steps=20,
        resamples=2,
        late_resamples=1,
        spatial_resamples=2,
        inject_every=4,
        fixes_source=True,
        crops=True,
        borrows=True,
        guesses=True,
        outpaints=True,
        warp="subpixel",
    ),
    "draft": replace(
        RELEASE,
        num_views=3,
        num_inference_steps=8,
        resamples=1,
        late_resamples=0,
        spatial_resamples=1,
        inject_every=0,
        fixes_source=True,
        crops=True,
        borrows=True,
        guesses=True,
        warp="subpixel",
    ),
}
EMBEDDED: dict[str, MatrixSettings] = {
    "svg-release": RELEASE,
    "balanced": replace(
        QUALITIES["balanced"],
        num_inference_steps=1,
        inject_every=0,
        mixes=True,
        outpaints=False,
        steadies=True,
    ),
    "draft": replace(QUALITIES["draft"], num_views=2, num_inference_steps=1, steadies=True),
}
"""What the qualities mean to the embedded prior: it says the mean of what may be there in one step, more steps only add
noise (docs/decisions.md), and its codec keeps holes to themselves."""
