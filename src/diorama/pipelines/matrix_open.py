"""The generative engine with its prior loaded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from diorama import catalog
from diorama.diffusion.prior import Prior
from diorama.diffusion.prior_load import load_prior, place_of, prior_folder
from diorama.diffusion.prior_scene import ScenePrior
from diorama.errors import UsageError
from diorama.media.safe import local_path
from diorama.pipelines.matrix_config import EMBEDDED, QUALITIES, Generative, MatrixSettings
from diorama.pipelines.matrix_fill import Painter
from diorama.pipelines.matrix_frames import MatrixMaker
from diorama.pipelines.matrix_window import row_of
from diorama.pipelines.presets import Look


@dataclass(frozen=True)
class Opening:
    """How a prior is opened.

    Attributes:
        config: which, and its prompt.
        device: "auto", "cpu", "cuda", ...
        tell: what the user should know.
    """

    config: Generative
    device: str
    tell: Callable[[str], None]

    def prior(self) -> Prior:
        """The network.

        Raises:
            ModelError: missing, damaged, or of an unknown kind.
            UsageError: a prompt for a network that reads none, or a device that is not there.
        """
        config, place = self.config, place_of(self.device)
        if config.prior == "embedded":
            if config.prompt:
                fix = "leave it out, or name Zeroscope, AnimateDiff or Wan with --prior"
                raise UsageError("the embedded prior reads no prompt", "--prompt", fix)
            if config.autoencoder:
                raise UsageError("the embedded prior has its own autoencoder", "--autoencoder", "leave it out")
            if config.quality == "svg-release":
                self.tell("svg-release is the schedule of released networks; the embedded prior gets noisy by it")
            return ScenePrior.load(device=place)
        folder = prior_folder(config.prior)
        entry = catalog.at_folder(folder)
        if entry is not None:
            self.tell(entry.terms)
        return load_prior(
            folder,
            prompt=config.prompt,
            negative_prompt=config.negative_prompt,
            guidance_scale=config.guidance_scale,
            device=place,
            codec=local_path(config.autoencoder) if config.autoencoder else None,
        )

    def maker(self, look: Look, folder: Path) -> MatrixMaker:
        """What makes eyes of frames; finished windows go to `folder`.

        Raises:
            ModelError, UsageError: see `prior` and `check_reach`.
        """
        prior = self.prior()
        if not prior.rows:
            self.tell(f"{prior.name} joins pictures in time: views are painted one by one, tied by what is known")
        kept: Literal["last", "ends", "all"] = "ends" if look.source_eye == "center" else "last"
        painter = Painter(prior, settings_of(self.config), self.config.seed, "all" if look.views > 2 else kept)
        check_reach(
            prior, self.config, len(row_of(look, painter.settings)), "--views" if look.views > 2 else "--quality"
        )
        return MatrixMaker(painter, self.config, look, folder)


def settings_of(config: Generative) -> MatrixSettings:
    """The quality that is asked for, spelled out."""
    return (EMBEDDED if config.prior == "embedded" else QUALITIES)[config.quality]


def check_reach(prior: Prior, config: Generative, views: int, option: str = "--views") -> None:
    """Refuse what is longer than the prior can tell apart, before anything is painted.

    Args:
        prior: the network.
        config: with the window.
        views: cameras of the frame matrix, the clip's own among them.
        option: that they come from.

    Raises:
        UsageError: a window of more frames, or a row of more views.
    """
    # Where a latent frame stands for several pictures, the first one stands for one.
    most = 1 + (prior.longest - 1) * (prior.fitting(2) - prior.fitting(1))
    if config.window > most:
        what = f"windows of {config.window} frames for {prior.name}, which tells {most} apart"
        raise UsageError(what, "--window", f"give at most {most}")
    if prior.rows and views > prior.longest:
        what = f"{views} views side by side (with the clip's own) for {prior.name}, which tells {prior.longest} apart"
        raise UsageError(what, option, "ask for fewer")
