"""Characters on a stage, drawn by the engine that was chosen."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from diorama.core.actor import Actor
from diorama.core.video import Frame
from diorama.pipelines.animate_cast import Part
from diorama.pipelines.animate_config import PlayConfig
from diorama.pipelines.animate_engine import Asked
from diorama.pipelines.animate_frames import Drawn, on_ground, previews, recast
from diorama.pipelines.film import Stage

if TYPE_CHECKING:
    from diorama.pipelines.animate_diffusion import Generator

MISSED = 0.1
"""Seconds for which somebody may be missed; who is not seen for longer is out of sight."""


def played(
    stage: Stage,
    parts: Sequence[Part],
    config: PlayConfig,
    start: int = 0,
    *,
    generator: "Generator | None" = None,
) -> Iterator[Frame]:
    """The frames of a film from frame `start` on.

    Args:
        stage: with a layer for everybody.
        parts: who plays.
        config: the engine and its options.
        start: the first frame wanted.
        generator: `generator_of` the config; loaded here by default.

    Raises:
        ModelError: the generator is missing or damaged; before the first frame.
    """
    generator = generator or generator_of(config)
    drawn = {part.actor.layer: _drawn(stage, part, start, config.seed, generator) for part in parts}
    return recast(stage.source[start:], stage.layers[start:], drawn, parts)


def generator_of(config: PlayConfig) -> "Generator | None":
    """The networks of the engine that was chosen; None for the preview, which has none; raises as `played`."""
    if config.engine == "preview":
        return None
    from diorama.pipelines.animate_diffusion import Generator  # seconds of loading that the preview does without

    asked = Asked(config.num_inference_steps, config.guidance_scale, config.strength, config.seed)
    return Generator.load(Path(config.model) if config.model else None, asked)


def _drawn(stage: Stage, part: Part, start: int, seed: int, generator: "Generator | None") -> Iterator[Drawn | None]:
    """The character of each frame, with its shadow."""
    return _while_seen(on_ground(_made(stage, part, start, seed, generator), part, start), part, start)


def _made(stage: Stage, part: Part, start: int, seed: int, generator: "Generator | None") -> Iterator[Drawn | None]:
    if generator is None:
        return previews(part, start, seed)
    from diorama.pipelines.animate_diffusion import generated

    return generated(part, stage.layers, start, generator)


def _while_seen(drawn: Iterator[Drawn | None], part: Part, start: int) -> Iterator[Drawn | None]:
    """None where the actor has left, or is behind something: its body there is guessed from before and after."""
    gone = set[int]()
    if isinstance(part.actor, Actor):
        for one, other in pairwise(part.actor.track.frames.tolist()):
            if other - one - 1 > MISSED * part.motion.fps:
                gone.update(range(one + 1, other))
    for number, one in enumerate(drawn, start):
        yield None if number in gone else one
