"""Takes: some moments of a clip of the theatre as the published people recipes learn from them, kept on disk.

A file holds latents and image tokens (half precision), the landmarks of the body that skeletons are drawn from, and the
body itself with its cameras, from which its visible surface is found again at any time. It is a function of (encoders,
`Shot`, seed, number), which its name says by a hash.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Shaped, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from diorama.core.camera import Cameras
from diorama.diffusion.pictures import coverage, to_frames
from diorama.errors import UsageError
from diorama.figures.cast import load_cast
from diorama.figures.skeleton2d import COCO, draw_coco
from diorama.geometry.raster import rasterize
from diorama.media.atomic import atomic_path
from diorama.theatre.actor import canonical_picture
from diorama.theatre.clip import Clip, Script, random_clip
from diorama.train.draws import seed_of
from diorama.train.recipes._encoders import Encoders

VERSION = 1
"""Raised when the same seed gives other takes."""
Arrays = Mapping[str, Shaped[torch.Tensor, "..."]]


@dataclass(frozen=True)
class Shot:
    """Which moments a take has.

    Attributes:
        frames: how many.
        apart: frames of a film of 30 a second from one to the next.
        size: pixels a side.
        layers: whether scene, occluders and the canonical picture are taken too (MIMO).
    """

    frames: int
    apart: int
    size: int
    layers: bool

    def clip(self, seed: int) -> Clip:
        """The clip of a seed: one actor, sometimes behind something or holding something."""
        script = Script(self.frames, 30 / self.apart, self.size, self.size, actors=(1, 1), occluders=0.35, objects=0.3)
        return random_clip(seed, script)


@dataclass(frozen=True)
class Takes:
    """Where takes lie, and what they are like.

    Attributes:
        folder: of the files.
        encoders: `Encoders.name`.
        shot: of all.
        seed: of the set; that of another part never gives the same clip.
    """

    folder: Path
    encoders: str
    shot: Shot
    seed: int

    def path(self, number: int) -> Path:
        """The file of a take."""
        what = (VERSION, self.encoders, self.shot, self.seed, number)
        name = hashlib.blake2b(repr(what).encode(), digest_size=16).hexdigest()
        return self.folder / name[:2] / f"{name}.safetensors"

    def get(self, number: int, encoders: Encoders) -> Arrays:
        """A take, made where it is not there or damaged.

        Raises:
            UsageError: the folder is one of shards, which hold neither bodies nor landmarks.
        """
        _check_folder(self.folder)
        return kept_file(
            self.path(number), lambda: taken(self.shot.clip(seed_of("take", self.seed, number)), self.shot, encoders)
        )


def kept_file(path: Path, make: Callable[[], Arrays]) -> Arrays:
    """What a file holds; made first where it is not there or damaged."""
    if not _whole(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        made = make()
        with atomic_path(path) as partial:
            save_file({name: value.contiguous() for name, value in made.items()}, partial)
    return load_file(path)


def shuffled(number: int, count: int, seed: int) -> int:
    """Which of `count` things a sample is of: all come once before one comes again, each epoch in another order."""
    epoch, within = divmod(number, count)
    return int(np.random.default_rng(seed_of("epoch", seed, epoch)).permutation(count)[within])


def _whole(path: Path) -> bool:
    """Whether a file is there and its header fits its length."""
    try:
        with safe_open(path, "pt"):
            return True
    except (OSError, SafetensorError):
        return False


def _check_folder(folder: Path) -> None:
    if any(folder.glob("*-[0-9][0-9][0-9][0-9][0-9].tar")):
        fix = "leave out --data, or name a folder for the takes that this recipe makes itself"
        raise UsageError("shards of diorama data, which lack the bodies that this recipe draws", folder, fix)


def taken(clip: Clip, shot: Shot, encoders: Encoders) -> Arrays:
    """A take as stored: latents "t c h w", tokens "s n d" of the reference pictures, coverage "t h w" as bytes.

    The reference pictures are the frames themselves, or with layers the canonical picture ("reference", s = 1).
    """
    numbers, actors = range(len(clip)), clip.of_role("actor")
    frames, layer = [clip.frame(t) for t in numbers], clip.layers[actors[0]]
    assert layer.body is not None
    images = to_frames(np.stack([f.image for f in frames]))
    body = np.stack([layer.body.at(t) for t in numbers])
    found = {
        "image": encoders.latents(images),
        "person": coverage(np.stack([f.layers[actors[0]].alpha for f in frames]), encoders.codec.factor),
        "body": torch.from_numpy(body),
        "points": torch.from_numpy(landmarks_in(clip.views[0], body)),
        "viewmats": torch.from_numpy(clip.views[0].viewmats.astype(np.float32)),
        "Ks": torch.from_numpy(clip.views[0].Ks.astype(np.float32)),
    }
    reference = images
    if shot.layers:
        own = [*clip.of_role("scene"), actors[0], -1]
        before = np.stack([np.where(np.isin(f.owner, own)[..., None], 0, f.image) for f in frames])
        reference = to_frames(canonical_picture(clip.actors[0].dressed, shot.size, "front")[0][None])
        found["scene"] = encoders.latents(to_frames(np.stack([f.background for f in frames])))
        found["occluder"] = encoders.latents(to_frames(before.astype(np.uint8)))
        found["reference"] = encoders.latents(reference)
    found["tokens"] = encoders.tokens(reference)
    halves = ("image", "scene", "occluder", "reference", "tokens")
    return {name: value.half() if name in halves else value for name, value in found.items()}


def landmarks_in(cameras: Cameras, body: Float32[np.ndarray, "t v 3"]) -> Float32[np.ndarray, "t 133 2"]:
    """The 133 points of COCO-WholeBody in pixels; not a number behind the camera."""
    places = load_cast().landmarks(body)[:, : len(COCO)]
    found = np.empty((*places.shape[:2], 2), np.float32)
    for t, points in enumerate(places):
        pixels, depth = cameras[t : t + 1].project(points)
        found[t] = np.where(depth[0, :, None] > 0, pixels[0], np.nan)
    return found


def skeletons(points: Float32[np.ndarray, "t 133 2"], size: int) -> UInt8[torch.Tensor, "t 3 h w"]:
    """Drawings of body, hands and face on black."""
    frames = np.stack([draw_coco(one, size, size) for one in points])
    return torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()


def surface(take: Arrays, size: int) -> tuple[Shaped[torch.Tensor, "t h w 3"], Shaped[torch.Tensor, "t h w 3"]]:
    """The vertices of the body that each pixel lies between (int16) and their weights (half, 0 beside the body)."""
    faces = load_cast().faces
    vertices, weights = [], []
    for body, viewmat, K in zip(take["body"].numpy(), take["viewmats"].numpy(), take["Ks"].numpy(), strict=True):
        seen = rasterize(body, faces, Cameras(viewmat[None], K[None], size, size))
        vertices.append(faces[np.maximum(seen.face_ids, 0)].astype(np.int16))
        weights.append(seen.barycentrics.astype(np.float16))
    return torch.from_numpy(np.stack(vertices)), torch.from_numpy(np.stack(weights))
