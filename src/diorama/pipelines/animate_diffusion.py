"""A character as the generator makes it: scene, what is before it, body and looks in; the person in its light out.

Frames are made in pieces that share a few frames and are faded into each other, so that memory does not grow with the
clip. Of the square that is generated only the person is kept; all else is the scene's own pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8

from diorama.core.layers import LayeredVideo, over
from diorama.diffusion.backbone import Backbone
from diorama.diffusion.codec import Codec
from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.generate import EMBEDDED, SampleConfig, generate, load_backbone
from diorama.diffusion.pictures import Pictures, given_of
from diorama.figures.appearance import body_colors
from diorama.figures.canonical import canonical_pictures
from diorama.figures.codes import color_map, position_colors
from diorama.figures.show import posed
from diorama.figures.texture import Character
from diorama.geometry.raster import rasterize
from diorama.perception.shrink import eight_bits
from diorama.pipelines.animate_cast import Part
from diorama.pipelines.animate_frames import Drawn, previews
from diorama.pipelines.animate_roi import Roi, crop, roi_of, uncrop

SIZE = 256
"""Pixels of the square that is generated."""
PIECE, SHARED = 48, 8
"""Frames made at once, and how many of them two pieces share."""
REACH = 0.05
"""Part of the square by which a generated person may reach beyond the naked body: cloth and hair."""
SEEN, SURELY = 0.05, 0.16
"""Differences from the scene (of 1) from which on a pixel may show the person, and surely does."""


@dataclass(frozen=True, eq=False)
class Generator:
    """The networks, and how they are asked.

    Attributes:
        network: the generator.
        codec: between pictures and latents.
        config: steps, guidance, strength, seed.
    """

    network: Backbone
    codec: Codec
    config: SampleConfig

    @staticmethod
    def load(model: Path | None, config: SampleConfig) -> "Generator":
        """The embedded networks, or a generator that was trained here.

        Raises:
            ModelError: missing, damaged, or of another architecture.
        """
        return Generator(load_backbone(model or EMBEDDED), load_codec(), config)


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
    details = previews(part, first + skipped, generator.config.seed)
    for place, made in _squares(part, scene, roi, skipped, generator):
        drawn, detail = made.drawn(roi, place, scene.height, scene.width), next(details)
        yield drawn if detail is None else _sharpened(drawn, detail, roi, place)
    while True:
        yield None


def _squares(
    part: Part, scene: LayeredVideo, roi: Roi, skipped: int, generator: Generator
) -> Iterator[tuple[int, "Made"]]:
    """The actor's frames from its frame `skipped` on, with their numbers."""
    count, step, looks = len(part.actor.frames), PIECE - SHARED, _Looks.of(part.character)
    begun = min(skipped, max(count - 1, 0)) // step * step
    kept: list[Made] = []
    if 0 < begun < count:
        kept = _piece(part, scene, roi, begun - step, generator, looks)[step:]
    for begin in range(begun, count, step) if skipped < count else ():
        made = _piece(part, scene, roi, begin, generator, looks)
        for place, old in enumerate(kept):
            made[place] = made[place].faded(old, (place + 1) / (len(kept) + 1))
        last = begin + PIECE >= count
        yield from ((n, one) for n, one in enumerate(made[: None if last else step], begin) if n >= skipped)
        kept = made[step:]
        if last:
            return


@dataclass(frozen=True, eq=False)
class Made:
    """A generated square: colours, and how much of each pixel is the person."""

    image: UInt8[np.ndarray, "s s 3"]
    alpha: Float32[np.ndarray, "s s"]

    def faded(self, old: "Made", share: float) -> "Made":
        """This one faded in over another one of the same frame."""
        mixed = cv2.addWeighted(self.image, share, old.image, 1 - share, 0)
        return Made(np.asarray(mixed), (share * self.alpha + (1 - share) * old.alpha).astype(np.float32))

    def drawn(self, roi: Roi, frame: int, height: int, width: int) -> Drawn:
        """The square in its place in the frame."""
        alpha = np.clip(uncrop(self.alpha, roi, frame, height, width), 0, 1)
        return Drawn(uncrop(self.image, roi, frame, height, width), alpha)


def _piece(part: Part, scene: LayeredVideo, roi: Roi, begin: int, generator: Generator, looks: "_Looks") -> list[Made]:
    """The frames of an actor from its frame `begin` on, at most `PIECE`."""
    pictures = _pictures(part, scene, roi, begin, looks)
    given = given_of(pictures, generator.codec)
    assert given.preview is not None
    latents = generate(generator.network, given, given.preview, config=generator.config, start=given.preview)
    assert given.scene is not None
    made, behind = _decoded(generator.codec, latents), _decoded(generator.codec, given.scene)
    seen = zip(made, behind, pictures.shown, strict=True)
    return [Made(image, person_of(image, bare, shown)) for image, bare, shown in seen]


@torch.inference_mode()
def _decoded(codec: Codec, latents: Float[torch.Tensor, "1 c t lh lw"]) -> UInt8[np.ndarray, "t h w 3"]:
    frames = codec.decode(latents[0].transpose(0, 1)).clamp(0, 1).permute(0, 2, 3, 1)
    return (frames * 255).round().to(torch.uint8).numpy()


def _pictures(part: Part, scene: LayeredVideo, roi: Roi, begin: int, looks: "_Looks") -> Pictures:
    """What the generator is given, at `SIZE`."""
    body, first = part.character.body.mesh, int(part.actor.frames[0])
    end = min(begin + PIECE, len(part.actor.frames))
    found: list[tuple[np.ndarray, ...]] = []
    surfaces = posed(part.character.body, part.motion[begin:end])
    layers = _layers(scene[first + begin : first + end], part)
    for place, (vertices, (below, image, before)) in enumerate(zip(surfaces, layers, strict=True), begin):
        fragments = rasterize(vertices, body.faces, roi.camera(part.cameras, place, SIZE))
        whole = crop(before, roi, place, SIZE) > 127
        here = crop(below, roi, place, SIZE), crop(image, roi, place, SIZE), whole
        drawn = color_map(fragments, body.faces, looks.colors), color_map(fragments, body.faces, looks.codes)
        found.append((*here, *drawn, fragments.face_ids >= 0))
    below, image, before, preview, told, shown = (np.stack(part) for part in zip(*found, strict=True))
    return Pictures(image, below, before, preview, shown, told, looks.canonical, looks.canonical_codes)


def _layers(scene: LayeredVideo, part: Part) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of each frame: what is behind the actor, the same with what is before it, and where that is (0..255)."""
    names = [layer.name for layer in scene.layers]
    place = names.index(part.actor.layer)
    for pieces in zip(*(layer.read() for layer in scene.layers), strict=True):
        below = None
        for frame, alpha in pieces[:place]:
            below = frame.image if alpha is None else over(frame.image, alpha, below)
        assert below is not None
        image, covered = below, np.zeros(below.shape[:2], np.uint8)
        for frame, alpha in pieces[place + 1 :]:
            if alpha is not None:
                image = over(frame.image, alpha, image)
                covered = np.maximum(covered, alpha if alpha.dtype == np.uint8 else (alpha >> 8).astype(np.uint8))
        yield eight_bits(below), eight_bits(image), covered


def _sharpened(drawn: Drawn, detail: Drawn, roi: Roi, frame: int) -> Drawn:
    """With what the textured body shows finer than the generated square can."""
    height, width = detail.alpha.shape
    coarse = uncrop(crop(detail.image, roi, frame, SIZE), roi, frame, height, width)
    inner = cv2.erode(detail.alpha, np.ones((5, 5), np.uint8))[..., None]
    fine = (detail.image.astype(np.float32) - coarse) * inner
    return Drawn(np.clip(np.rint(drawn.image + fine), 0, 255).astype(np.uint8), drawn.alpha)


def person_of(
    made: UInt8[np.ndarray, "s s 3"], scene: UInt8[np.ndarray, "s s 3"], shown: Bool[np.ndarray, "s s"]
) -> Float32[np.ndarray, "s s"]:
    """Where a generated picture shows the person: on the body, and near it where it differs from the scene."""
    off = cv2.absdiff(made, scene).max(axis=-1).astype(np.float32) / 255
    differs = np.clip((cv2.blur(off, (3, 3)) - SEEN) / (SURELY - SEEN), 0, 1)
    reach = 2 * round(REACH * len(made)) + 1
    near = cv2.blur(cv2.dilate(shown.view(np.uint8), np.ones((reach, reach), np.uint8)).astype(np.float32), (5, 5))
    inner = cv2.blur(cv2.erode(shown.view(np.uint8), np.ones((5, 5), np.uint8)).astype(np.float32), (3, 3))
    return np.maximum(inner, differs * near).astype(np.float32)
