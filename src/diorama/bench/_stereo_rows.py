"""The rows of the table: ways to the other eye, the qualities of the frame matrix, and it without each of its parts."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from diorama.bench._stereo_makers import (
    NOISE,
    MatrixWay,
    Way,
    WithoutRows,
    fast,
    flow,
    gaussians,
    noisy,
    steadied,
    telea,
)
from diorama.bench._stereo_scene import SceneWay
from diorama.bench._stereo_truth import StereoCase
from diorama.diffusion.prior import Prior
from diorama.geometry.fit import FitConfig
from diorama.pipelines.matrix_config import Generative, MatrixSettings, Quality
from diorama.pipelines.matrix_open import settings_of

Depth = Literal["true", "noisy", "steadied"]
DEPTHS: Mapping[Depth, Callable[[StereoCase], StereoCase]] = {
    "true": lambda case: case,
    "noisy": noisy,
    "steadied": lambda case: steadied(noisy(case)),
}
"""What a way is told of depth."""


@dataclass(frozen=True, eq=False)
class Row:
    """A row of the table.

    Attributes:
        name: for files and options.
        title: for people.
        way: what is done.
        depth: what it is told.
        told: all that its result depends on beside the clip and the code.
        slow: whether it takes hours, or minutes a clip, without a graphics card.
    """

    name: str
    title: str
    way: Way
    depth: Depth = "true"
    told: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = False

    def given(self, case: StereoCase) -> StereoCase:
        """The clip as this row sees it."""
        return DEPTHS[self.depth](case)


def plain_rows() -> list[Row]:
    """Ways without a network."""
    return [
        Row("telea", "OpenCV (Telea)", telea),
        Row("fast", "fast engine", fast),
        Row("flow", "flow from both sides of time", flow),
        Row("gaussians", "static Gaussians of each frame", gaussians),
    ]


def matrix_rows(prior: Prior, name: str) -> list[Row]:
    """The qualities of the frame matrix, and "balanced" without each of its parts.

    Args:
        prior: what paints.
        name: as `Generative.prior`: "embedded" or its folder.
    """
    draft, balanced, release = (_quality(prior, name, quality) for quality in ("draft", "balanced", "svg-release"))
    settings, config = settings_of(Generative(quality="balanced", prior=name)), Generative(prior=name)

    def changed(row: str, title: str, depth: Depth = "true", **changes: Any) -> Row:
        return _matrix(row, title, prior, replace(settings, **changes), config, depth=depth)

    rows = [
        draft,
        balanced,
        release,
        *([changed("unsteady", "balanced, not made steady", steadies=False)] if settings.steadies else []),
        changed("multiplane", "balanced, multi-plane warp", warp="multiplane"),
        changed("points", "the same without its clean-up", warp="points"),
        changed("noisy", f"balanced, depth off by {100 * NOISE:g} %", "noisy"),
        changed("steadied", "the same, depth averaged over time", "steadied"),
    ]
    sides = replace(config, outpaint="off" if settings.outpaints else "on")
    word = "without" if settings.outpaints else "with"
    rows.append(_matrix("outpaint", f"balanced, {word} outpainting", prior, settings, sides))
    if prior.rows:
        told = {"rows": False}
        way = WithoutRows(prior)
        rows.append(_matrix("columns", "balanced, single views (no matrix)", way, settings, config, more=told))
    if settings.inject_every and not prior.reads_guess:
        rows.append(changed("no-injection", "balanced, without re-injection", inject_every=0))
    return [*rows, _scene(prior, settings)]


def _scene(prior: Prior, settings: MatrixSettings) -> Row:
    config = FitConfig()
    told = {"prior": prior.name, "settings": asdict(settings), "fit": asdict(config)}
    title = "4D scene fitted to the matrix"
    return Row("scene", title, SceneWay(prior, settings, config), told=told, slow=True)


def _quality(prior: Prior, name: str, quality: Quality) -> Row:
    config = Generative(quality=quality, prior=name)
    return _matrix(
        quality, f"frame matrix, {quality}", prior, settings_of(config), config, slow=quality == "svg-release"
    )


def _matrix(
    row: str,
    title: str,
    prior: Prior,
    settings: MatrixSettings,
    config: Generative,
    *,
    depth: Depth = "true",
    more: Mapping[str, Any] | None = None,
    slow: bool = False,
) -> Row:
    told = {"prior": prior.name, "settings": asdict(settings), "config": asdict(config), **(more or {})}
    return Row(row, title, MatrixWay(prior, settings, config), depth, told, slow)
