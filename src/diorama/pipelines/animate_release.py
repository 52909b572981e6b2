"""A character as released networks make it (MIMO, Moore-AnimateAnyone, SCD), or networks trained as they were.

The square around the actor is made whole, with the scene as the networks see it: white beyond the picture's border, no
trace of what is before the person (mimo.md 1.10). Unlike the release, which pastes all of the square, only the person
is kept of it; all else stays the scene's own pixels. What is before the person is laid over afterwards, as there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8

from diorama.core.layers import LayeredVideo
from diorama.diffusion.codec import Codec
from diorama.diffusion.coding import decode_stream, encode_stream
from diorama.diffusion.mimo import MimoInputs, MimoSettings, sampled
from diorama.diffusion.mimo_folder import PeopleModel, load_people
from diorama.diffusion.noise import seed_of
from diorama.diffusion.pictures import to_frames, to_pictures
from diorama.figures.show import posed
from diorama.pipelines.animate_cast import Part
from diorama.pipelines.animate_engine import Asked, Made, layers_of, person_of
from diorama.pipelines.animate_release_poses import Looks
from diorama.pipelines.animate_roi import Roi, crop

AT_ONCE = 8
"""Pictures that are brought to the device together."""
EDGE = 0.02
"""Part of the square over which the person fades out at its border."""
WHITE, BLACK = 255, 0


@dataclass(frozen=True, eq=False)
class Released:
    """Networks of a folder; an `Engine`.

    Attributes:
        model: the networks.
        config: steps, guidance, strength, seed.
    """

    model: PeopleModel
    config: Asked
    piece, shared = 60, 8  # three of the release's windows of 24 that share 4
    coarse = False

    @staticmethod
    def load(folder: Path, config: Asked) -> "Released":
        """The networks of a folder.

        Raises:
            ModelError: parts missing (all named, with a remedy), damaged, or of another architecture.
            OutOfMemoryError: they do not fit.
        """
        return Released(load_people(folder), config)

    @property
    def size(self) -> int:
        """See `Engine`."""
        return self.model.size

    @property
    def seed(self) -> int:
        """See `Engine`."""
        return self.config.seed

    @property
    def settings(self) -> MimoSettings:
        """How the networks are asked."""
        return self.config.released(self.model.settings)

    def maker(self, part: Part, scene: LayeredVideo, roi: Roi) -> Callable[[int], list[Made]]:
        """See `Engine`."""
        looks = Looks.of(self.model, part.character)
        return lambda begin: _piece(self, looks, _squares(part, scene, roi, begin, looks), begin)


@dataclass(frozen=True, eq=False)
class _Squares:
    """What is known of t frames.

    Attributes:
        poses: as the networks are told of them.
        scene: without the person and what is before it, white beyond the picture's border.
        before: what is before the person, on black.
        preview: the scene with the textured body.
        shown: where the body is in the picture.
    """

    poses: UInt8[np.ndarray, "t s s 3"] | Float[np.ndarray, "t s s k"]
    scene: UInt8[np.ndarray, "t s s 3"]
    before: UInt8[np.ndarray, "t s s 3"]
    preview: UInt8[np.ndarray, "t s s 3"]
    shown: Bool[np.ndarray, "t s s"]


def _squares(part: Part, scene: LayeredVideo, roi: Roi, begin: int, looks: Looks) -> _Squares:
    """Of an actor's frames from its frame `begin` on, at most a piece."""
    first, size = int(part.actor.frames[0]), looks.model.size
    end = min(begin + Released.piece, len(part.actor.frames))
    found: list[tuple[np.ndarray, ...]] = []
    surfaces = posed(part.character.body, part.motion[begin:end])
    layers = layers_of(scene[first + begin : first + end], part)
    inside = np.full((scene.height, scene.width), WHITE, np.uint8)
    for place, (vertices, (below, image, before)) in enumerate(zip(surfaces, layers, strict=True), begin):
        within = crop(inside, roi, place, size, beyond=BLACK) > 127
        told, textured, there = looks.shown(vertices, roi.camera(part.cameras, place, size))
        shown, covered = there & within, crop(before, roi, place, size, beyond=BLACK) > 127
        bare = crop(below, roi, place, size, beyond=WHITE)
        front = np.where(covered[..., None], crop(image, roi, place, size), np.uint8(BLACK))
        preview = np.where(shown[..., None], textured, bare)
        found.append((told * within[..., None], bare, front, preview, shown))
    return _Squares(*(np.stack(each) for each in zip(*found, strict=True)))


def _piece(engine: Released, looks: Looks, told: _Squares, begin: int) -> list[Made]:
    """The pictures of some frames; noise is that of the frame, whatever piece it is made in."""
    networks, settings = engine.model.networks, engine.settings
    pose = None if looks.reference_pose is None else torch.from_numpy(looks.reference_pose[None])
    inputs = MimoInputs(
        torch.from_numpy(looks.reference[None]),
        torch.from_numpy(told.poses),
        torch.from_numpy(told.scene) if networks.layers > 0 else None,
        occluder=torch.from_numpy(told.before) if networks.layers > 1 else None,
        reference_poses=pose,
        preview=torch.from_numpy(told.preview) if settings.share < 1 else None,
    )
    side, seed = engine.size // networks.codec.factor, engine.seed
    noise = [_noise((networks.codec.channels, side, side), seed, begin + n) for n in range(len(told.poses))]
    latents = sampled(networks, inputs, settings, start=torch.stack(noise, dim=1)[None])
    made = _bytes(networks.codec, latents[0])
    behind = _coded(networks.codec, told.scene, latents) if networks.takes_scene else np.full_like(made, WHITE)
    fading = _fading(engine.size)
    seen = zip(made, behind, told.shown, strict=True)
    return [Made(image, person_of(image, bare, shown) * fading) for image, bare, shown in seen]


def _noise(shape: tuple[int, int, int], seed: int, frame: int) -> Float[torch.Tensor, "c h w"]:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed_of("released", seed, frame)))


@torch.inference_mode()
def _bytes(codec: Codec, latents: Float[torch.Tensor, "c t y x"]) -> UInt8[np.ndarray, "t h w 3"]:
    """Latents as pictures, a few at a time."""
    return np.concatenate([to_pictures(part) for part in decode_stream(codec, [latents])])


@torch.inference_mode()
def _coded(
    codec: Codec, pictures: UInt8[np.ndarray, "t h w 3"], like: Float[torch.Tensor, "..."]
) -> UInt8[np.ndarray, "t h w 3"]:
    """Pictures as the codec shows them: what differs from these was made by the networks."""
    parts = (to_frames(pictures[n : n + AT_ONCE]).to(like) for n in range(0, len(pictures), AT_ONCE))
    return np.concatenate([to_pictures(part) for part in decode_stream(codec, encode_stream(codec, parts))])


def _fading(size: int) -> Float32[np.ndarray, "s s"]:
    """1, falling towards the border of the square, as the release's masks (mimo.md 1.10)."""
    near = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
    ramp = np.clip(near / max(1.0, EDGE * size), 0, 1).astype(np.float32)
    return np.minimum.outer(ramp, ramp).astype(np.float32)
