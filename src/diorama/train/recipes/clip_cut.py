"""What pieces of clips must be like for a run: for the embedded generator, or for networks of the SD-1.5 kind."""

from dataclasses import dataclass

from diorama.train.config import TrainConfig
from diorama.train.recipes._initial import find_weights


@dataclass(frozen=True)
class ClipCut:
    """See `diorama.pipelines.train_clips_cut.Cut`, which a trainer cannot import."""

    size: int
    frames: int
    fps: float
    bodies: bool


EMBEDDED_CUT = ClipCut(256, 16, 10.0, bodies=False)
PUBLISHED_CUT = ClipCut(512, 24, 7.5, bodies=True)
"""Every fourth frame of a film, as Moore-AnimateAnyone (mimo.md 2.2)."""
TINY_CUT = ClipCut(64, 3, 7.5, bodies=True)


def starts_published(config: TrainConfig) -> bool:
    """Whether a run starts from networks of the SD-1.5 kind (or tiny random ones of it), not from the embedded one."""
    if config.size == "tiny":
        return True
    return "unet" in find_weights(config.init) if config.init else False


def cut_of(config: TrainConfig) -> ClipCut:
    """The pieces that a run learns from."""
    if not starts_published(config):
        return EMBEDDED_CUT
    return TINY_CUT if config.size == "tiny" else PUBLISHED_CUT
