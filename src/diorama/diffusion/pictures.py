"""From pictures of a clip to what the embedded generator is given: latents, coverage, vertex codes."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8

from diorama.diffusion.backbone import CODE_SCALE, Given
from diorama.diffusion.codec import Codec


@dataclass(frozen=True, eq=False)
class Pictures:
    """A clip of t frames around one person, and s pictures of whom it shall show.

    Attributes:
        image: the frames, for what is before the person.
        scene: without the person and what is before it.
        occluder: where `image` shows something before the person.
        preview: a textured body in the target pose.
        shown: where `preview` shows it.
        codes: vertex codes of the body, black beside it.
        canonical, canonical_codes: whom, from the front and the back, and the codes there.
    """

    image: UInt8[np.ndarray, "t h w 3"]
    scene: UInt8[np.ndarray, "t h w 3"]
    occluder: Bool[np.ndarray, "t h w"]
    preview: UInt8[np.ndarray, "t h w 3"]
    shown: Bool[np.ndarray, "t h w"]
    codes: UInt8[np.ndarray, "t h w 3"]
    canonical: UInt8[np.ndarray, "s ch cw 3"]
    canonical_codes: UInt8[np.ndarray, "s ch cw 3"]


@torch.no_grad()
def given_of(pictures: Pictures, codec: Codec) -> Given:
    """What the network is given, one video of t frames; sides are multiples of the codec's factor."""
    before, preview = stacked(pictures.scene, pictures.image, pictures.occluder, pictures.preview, pictures.shown)

    def latents(images: UInt8[np.ndarray, "n h w 3"]) -> Float[torch.Tensor, "1 c n lh lw"]:
        return codec.encode(to_frames(images)).transpose(0, 1)[None]

    def share(mask: Shaped[np.ndarray, "n h w"]) -> Float[torch.Tensor, "1 1 n lh lw"]:
        return coverage(mask, codec.factor)[None, None].float() / 255

    def places(codes: UInt8[np.ndarray, "n h w 3"]) -> Float[torch.Tensor, "1 4 n ch cw"]:
        return code_map(codes, codec.factor // CODE_SCALE).transpose(0, 1)[None].float() / 255

    scene, occluder_alpha = latents(pictures.scene), share(pictures.occluder)
    return Given(
        scene,
        torch.ones_like(occluder_alpha),
        latents(before),
        occluder_alpha,
        latents(preview),
        share(pictures.shown),
        places(pictures.codes),
        latents(pictures.canonical),
        places(pictures.canonical_codes),
    )


def stacked(
    scene: UInt8[np.ndarray, "t h w 3"],
    image: UInt8[np.ndarray, "t h w 3"],
    occluder: Bool[np.ndarray, "t h w"],
    preview: UInt8[np.ndarray, "t h w 3"],
    shown: Bool[np.ndarray, "t h w"],
) -> tuple[UInt8[np.ndarray, "t h w 3"], UInt8[np.ndarray, "t h w 3"]]:
    """The scene with what is before the person, and that with the preview between them (see `Given`)."""
    before = np.where(occluder[..., None], image, scene)
    return before, np.where((shown & ~occluder)[..., None], preview, before)


def to_frames(pictures: UInt8[np.ndarray, "t h w 3"]) -> Float[torch.Tensor, "t 3 h w"]:
    """Pictures as numbers in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255


def to_pictures(frames: Float[torch.Tensor, "t 3 h w"]) -> UInt8[np.ndarray, "t h w 3"]:
    """Numbers as pictures, the inverse of `to_frames`; what is beyond [0, 1] is cut off."""
    moved = (frames.float().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return np.ascontiguousarray(moved.cpu().numpy())


def coverage(mask: Shaped[np.ndarray, "t h w"], factor: int) -> UInt8[torch.Tensor, "t hh ww"]:
    """How much of each block of factor x factor pixels a mask covers; 255 for all."""
    pooled = torch.nn.functional.avg_pool2d(torch.from_numpy(mask.astype(np.float32)), factor)
    return (pooled * 255).round().to(torch.uint8)


def code_map(codes: UInt8[np.ndarray, "t h w 3"], factor: int) -> UInt8[torch.Tensor, "t 4 hh ww"]:
    """Vertex codes and coverage, means over blocks of the covered pixels."""
    seen = torch.from_numpy(codes.any(axis=-1).astype(np.float32))[:, None]
    colors = torch.from_numpy(codes.astype(np.float32)).permute(0, 3, 1, 2)
    share = torch.nn.functional.avg_pool2d(seen, factor)
    mean = torch.nn.functional.avg_pool2d(colors * seen, factor) / share.clamp(min=1e-6)
    return torch.cat([mean, share * 255], dim=1).round().to(torch.uint8)
