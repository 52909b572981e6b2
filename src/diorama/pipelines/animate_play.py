"""Characters on a stage, drawn by the engine that was chosen."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from diorama.core.video import Frame
from diorama.pipelines.animate_cast import Part
from diorama.pipelines.animate_config import PlayConfig
from diorama.pipelines.animate_diffusion import Generator, generated
from diorama.pipelines.animate_engine import Asked
from diorama.pipelines.animate_frames import Drawn, on_ground, previews, recast
from diorama.pipelines.film import Stage


def played(stage: Stage, parts: Sequence[Part], config: PlayConfig, start: int = 0) -> Iterator[Frame]:
    """The frames of a film from frame `start` on.

    Args:
        stage: with a layer for everybody.
        parts: who plays.
        config: the engine and its options.
        start: the first frame wanted.

    Raises:
        ModelError: the generator is missing or damaged; before the first frame.
    """
    generator = _generator(config)
    drawn = {part.actor.layer: _drawn(stage, part, start, config.seed, generator) for part in parts}
    return recast(stage.source[start:], stage.layers[start:], drawn, parts)


def _generator(config: PlayConfig) -> Generator | None:
    if config.engine == "preview":
        return None
    asked = Asked(config.num_inference_steps, config.guidance_scale, config.strength, config.seed)
    return Generator.load(Path(config.model) if config.model else None, asked)


def _drawn(stage: Stage, part: Part, start: int, seed: int, generator: Generator | None) -> Iterator[Drawn | None]:
    """The character of each frame, with its shadow."""
    if generator is None:
        return on_ground(previews(part, start, seed), part, start)
    return on_ground(generated(part, stage.layers, start, generator), part, start)
