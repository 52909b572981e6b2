"""A character as the generator makes it: scene, what is before it, body and looks in; the person in its light out.

Frames are made in pieces that share a few frames and are faded into each other, so that memory does not grow with the
clip. Of the square that is generated only the person is kept; all else is the scene's own pixels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from diorama.core.layers import LayeredVideo
from diorama.diffusion.backbone import Backbone
from diorama.diffusion.codec import Codec
from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.generate import EMBEDDED, SampleConfig, generate, load_backbone
from diorama.diffusion.pictures import Pictures, given_of, to_pictures
from diorama.figures.appearance import body_colors
from diorama.figures.canonical import canonical_pictures
from diorama.figures.codes import color_map, position_colors
from diorama.figures.show import posed
from diorama.figures.texture import Character
from diorama.geometry.raster import rasterize
from diorama.pipelines.animate_cast import Part
from diorama.pipelines.animate_config import NAMED
from diorama.pipelines.animate_engine import Asked, Engine, Made, layers_of, person_of
from diorama.pipelines.animate_frames import Drawn, previews
from diorama.pipelines.animate_release import Released
from diorama.pipelines.animate_roi import Roi, crop, roi_of, uncrop

SIZE = 256
"""Pixels of the square that is generated."""
TRAINED = "backbone-s.safetensors"
"""What a training run calls its generator."""


@dataclass(frozen=True, eq=False)
class Generator:
    """Networks by what the user named.

    Attributes:
        engine: that runs them.
    """

    engine: Engine

    @staticmethod
    def load(model: Path | None, config: Asked) -> "Generator":
        """The networks of a name.

        Args:
            model: None or "embedded"; a file, or a folder with one, of a generator of that kind that was trained here;
                or a folder of released networks or of ones trained as they were (`mimo_folder`).
            config: how they are asked.

        Raises:
            ModelError: missing, damaged, or of another architecture.
            OutOfMemoryError: released networks that do not fit.
        """
        if model is None or (model == Path(NAMED) and not model.exists()):
            file: Path | None = EMBEDDED
        else:
            file = _file_of(model)
        if file is None:
            assert model is not None
            return Generator(Released.load(model, config))
        return Generator(Embedded(load_backbone(file), load_codec(), config.embedded()))


def _file_of(model: Path) -> Path | None:
    """The file of a generator of the embedded kind; None for a folder of other networks."""
    if not model.is_dir():
        return model
    return next((file for place in (model, model / "result") if (file := place / TRAINED).is_file()), None)


@dataclass(frozen=True, eq=False)
class Embedded:
    """The embedded networks, or a generator of their kind; an `Engine`.

    Attributes:
        network: the generator.
        codec: between pictures and latents.
        config: steps, guidance, strength, seed.
    """

    network: Backbone
    codec: Codec
    config: SampleConfig
    size = SIZE
    piece, shared = 48, 8
    coarse = True

    @property
    def seed(self) -> int:
        """See `Engine`."""
        return self.config.seed

    def maker(self, part: Part, scene: LayeredVideo, roi: Roi) -> Callable[[int], list[Made]]:
        """See `Engine`."""
        looks = _Looks.of(part.character)
        return lambda begin: _piece(part, scene, roi, begin, self, looks)


@dataclass(frozen=True, eq=False)
class _Looks:
    """What a character looks like: canonical pictures and their codes, colours and codes of the body's vertices."""

    canonical: UInt8[np.ndarray, "s h w 3"]
    canonical_codes: UInt8[np.ndarray, "s h w 3"]
    colors: UInt8[np.ndarray, "v 3"]
    codes: UInt8[np.ndarray, "v 3"]

    @staticmethod
    def of(character: Character) -> "_Looks":
        """Of one character, for all of its frames."""
        pictures, codes = canonical_pictures(character, SIZE)
        mesh = character.body.mesh
        return _Looks(pictures, codes, body_colors(pictures, codes, mesh), position_colors(mesh))


def generated(part: Part, scene: LayeredVideo, start: int, generator: Generator) -> Iterator[Drawn | None]:
    """The character in each frame of a clip from frame `start` on; None where the actor is not there.

    Args:
        part: who plays whom.
        scene: the layers of the whole clip.
        start: the first frame wanted; pieces begin at the same frames wherever a run begins.
        generator: networks.
    """
    first = int(part.actor.frames[0])
    for _ in range(start, first):
        yield None
    roi, skipped = roi_of(part.motion, part.cameras), max(start - first, 0)
    engine = generator.engine
    details = previews(part, first + skipped, engine.seed) if engine.coarse else repeat(None)
    for place, made in _squares(part, scene, roi, skipped, engine):
        drawn, detail = made.drawn(roi, place, scene.height, scene.width), next(details)
        yield drawn if detail is None else _sharpened(drawn, detail, roi, place, engine.size)
    while True:
        yield None


def _squares(part: Part, scene: LayeredVideo, roi: Roi, skipped: int, engine: Engine) -> Iterator[tuple[int, Made]]:
    """The actor's frames from its frame `skipped` on, with their numbers."""
    count, length, step = len(part.actor.frames), engine.piece, engine.piece - engine.shared
    if skipped >= count:
        return
    make, ends = engine.maker(part, scene, roi), max(0, -(-(count - length) // step)) * step
    begun = min(skipped // step * step, ends)  # `ends`: where the last piece begins
    kept = make(begun - step)[step:] if begun else []
    for begin in range(begun, ends + 1, step):
        made = make(begin)
        for place, old in enumerate(kept):
            made[place] = made[place].faded(old, (place + 1) / (len(kept) + 1))
        last = begin == ends
        yield from ((n, one) for n, one in enumerate(made[: None if last else step], begin) if n >= skipped)
        kept = made[step:]


def _piece(part: Part, scene: LayeredVideo, roi: Roi, begin: int, engine: Embedded, looks: _Looks) -> list[Made]:
    """The frames of an actor from its frame `begin` on, at most a piece."""
    pictures = _pictures(part, scene, roi, begin, looks)
    given = given_of(pictures, engine.codec)
    assert given.preview is not None
    latents = generate(engine.network, given, given.preview, config=engine.config, start=given.preview)
    assert given.scene is not None
    made, behind = _decoded(engine.codec, latents), _decoded(engine.codec, given.scene)
    seen = zip(made, behind, pictures.shown, strict=True)
    return [Made(image, person_of(image, bare, shown)) for image, bare, shown in seen]


@torch.inference_mode()
def _decoded(codec: Codec, latents: Float[torch.Tensor, "1 c t lh lw"]) -> UInt8[np.ndarray, "t h w 3"]:
    return to_pictures(codec.decode(latents[0].transpose(0, 1)))


def _pictures(part: Part, scene: LayeredVideo, roi: Roi, begin: int, looks: _Looks) -> Pictures:
    """What the generator is given, at `SIZE`."""
    body, first = part.character.body.mesh, int(part.actor.frames[0])
    end = min(begin + Embedded.piece, len(part.actor.frames))
    found: list[tuple[np.ndarray, ...]] = []
    surfaces = posed(part.character.body, part.motion[begin:end])
    layers = layers_of(scene[first + begin : first + end], part)
    for place, (vertices, (below, image, before)) in enumerate(zip(surfaces, layers, strict=True), begin):
        fragments = rasterize(vertices, body.faces, roi.camera(part.cameras, place, SIZE))
        whole = crop(before, roi, place, SIZE) > 127
        here = crop(below, roi, place, SIZE), crop(image, roi, place, SIZE), whole
        drawn = color_map(fragments, body.faces, looks.colors), color_map(fragments, body.faces, looks.codes)
        found.append((*here, *drawn, fragments.face_ids >= 0))
    below, image, before, preview, told, shown = (np.stack(part) for part in zip(*found, strict=True))
    return Pictures(image, below, before, preview, shown, told, looks.canonical, looks.canonical_codes)


def _sharpened(drawn: Drawn, detail: Drawn, roi: Roi, frame: int, size: int) -> Drawn:
    """With what the textured body shows finer than the generated square can."""
    height, width = detail.alpha.shape
    coarse = uncrop(crop(detail.image, roi, frame, size), roi, frame, height, width)
    inner = cv2.erode(detail.alpha, np.ones((5, 5), np.uint8))[..., None]
    fine = (detail.image.astype(np.float32) - coarse) * inner
    return Drawn(np.clip(np.rint(drawn.image + fine), 0, 255).astype(np.uint8), drawn.alpha)
