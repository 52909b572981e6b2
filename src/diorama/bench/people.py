"""What the embedded generator does with people it has never met: held-out actors, motions and scenes of the theatre.

All numbers are of pixels after decoding. "Inside" is where the actor is seen in the true frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8

from diorama.bench.scores import Score
from diorama.core.progress import Progress, Silent
from diorama.diffusion.backbone import Backbone, Given
from diorama.diffusion.codec import Codec
from diorama.diffusion.generate import SampleConfig, generate
from diorama.figures.codes import color_map
from diorama.geometry.raster import rasterize
from diorama.pipelines.animate_diffusion import person_of
from diorama.theatre.clip import Clip, Script, random_clip
from diorama.theatre.lesson import Lesson, canonical_of, lesson
from diorama.train.draws import seed_of
from diorama.train.lessons import encoded
from diorama.train.split import theatre_seed

Frames = Float32[np.ndarray, "t h w 3"]
NAME = "backbone-s"
SHOWS = 0.1
"""Difference of a colour channel (of 1) from which on a pixel counts as not the scene."""


@dataclass(frozen=True)
class Case:
    """One held-out clip: its pictures, what the network is given, and the clip itself."""

    clip: Clip
    seen: Lesson
    given: Given
    latents: torch.Tensor

    @property
    def inside(self) -> Bool[np.ndarray, "t h w"]:
        """Where the actor is seen."""
        return self.seen.person & ~self.seen.occluder


def held_out_cases(count: int, frames: int, codec: Codec, *, size: int = 256) -> list[Case]:
    """Clips that no training run meets, each with one actor."""
    script = Script(frames, 10.0, size, size, actors=(1, 1), occluders=0.2, objects=0.2)
    return [_case(random_clip(seed_of("lesson", theatre_seed(0, "held-out"), n), script), codec) for n in range(count)]


def _case(clip: Clip, codec: Codec) -> Case:
    seen = lesson(clip)
    arrays = {k: v.float() / (255 if v.dtype == torch.uint8 else 1) for k, v in encoded(seen, codec).items()}
    plane = ("person", "occluder_alpha", "preview_alpha")
    video = {k: (v[None, None] if k in plane else v.transpose(0, 1)[None]) for k, v in arrays.items()}
    latents = video.pop("image")
    known = torch.ones_like(video.pop("person"))
    return Case(clip, seen, Given(scene_known=known, **video), latents)


def measure(
    network: Backbone,
    codec: Codec,
    *,
    clips: int = 10,
    frames: int = 8,
    config: SampleConfig = SampleConfig(),
    progress: Progress | None = None,
) -> list[Score]:
    """All scores of people; minutes on a CPU.

    Args:
        clips: held-out clips, and as many actors to tell apart.
        frames: of each clip.
        config: of the sampler.
        progress: told of each clip.
    """
    cases = held_out_cases(clips, frames, codec)
    made = partial(_made, network, codec, config)
    told = progress or Silent()
    told.begin("held-out clips", len(cases))
    rows = []
    for number, case in enumerate(cases):
        other = cases[(number + 1) % len(cases)]
        bare = replace(case.given, preview=None, preview_alpha=None)
        swapped = replace(bare, reference=other.given.reference, reference_codes=other.given.reference_codes)
        nobody = replace(bare, reference=None, reference_codes=None)
        free = made(case, bare)
        rows.append(
            _compare(
                case,
                cases,
                (number + 1) % len(cases),
                previewed=made(case, case.given),
                free=free,
                composited=_composited(free, case, codec),
                swapped=made(case, swapped),
                strangers=[made(case, nobody, seed=seed) for seed in (1, 2)],
            )
        )
        told.advance()
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    actors = f"right actor of {len(cases)} when references are swapped"
    return [
        Score(NAME, "from the preview, above the preview, inside", means["preview"], 1.0, unit="dB"),
        Score(NAME, "without preview, above the warped canonical picture, inside", means["free"], 2.0, unit="dB"),
        Score(NAME, actors, means["actor"] * 100, 90, unit="%"),
        Score(NAME, "silhouette IoU with the true pose", means["silhouette"], 0.85),
        Score(NAME, "the same, composited as animate does", means["composited"], 0.85),
        Score(NAME, "no reference: difference between two seeds, inside", means["strangers"], 0.1),
    ]


def timing(network: Backbone, codec: Codec, *, frames: int = 16, config: SampleConfig = SampleConfig()) -> Score:
    """Seconds for 16 frames of 256 x 256 in 12 steps with guidance, codec included."""
    case = held_out_cases(1, frames, codec)[0]
    began = perf_counter()
    encoded(case.seen, codec)
    _made(network, codec, config, case, case.given)
    return Score(NAME, "16 frames, 12 steps, guided, codec included", perf_counter() - began, 16, False, "s")


def _made(network: Backbone, codec: Codec, config: SampleConfig, case: Case, given: Given, *, seed: int = 0) -> Frames:
    """A generated clip as pictures."""
    latents = generate(network, given, case.latents, config=replace(config, seed=seed))
    return codec.decode(latents[0].transpose(0, 1)).permute(0, 2, 3, 1).numpy()


@torch.no_grad()
def _composited(made: Frames, case: Case, codec: Codec) -> Frames:
    """Only the person of what was made, over the scene's own pixels."""
    assert case.given.scene is not None
    behind = codec.decode(case.given.scene[0].transpose(0, 1)).permute(0, 2, 3, 1).numpy()
    shown = np.asarray(case.seen.codes.any(axis=-1))
    shares = [person_of(_bytes(a), _bytes(b), c) for a, b, c in zip(made, behind, shown, strict=True)]
    alpha = np.stack(shares)[..., None]
    return np.asarray(alpha * made + (1 - alpha) * (case.seen.scene / np.float32(255)), np.float32)


def _bytes(picture: Float32[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    return np.rint(picture.clip(0, 1) * 255).astype(np.uint8)


def _compare(
    case: Case,
    cases: Sequence[Case],
    wanted: int,
    *,
    previewed: Frames,
    free: Frames,
    composited: Frames,
    swapped: Frames,
    strangers: Sequence[Frames],
) -> dict[str, float]:
    true, inside = case.seen.image / np.float32(255), case.inside
    shown = np.asarray(case.seen.codes.any(axis=-1))[..., None]
    pasted = np.where(shown, case.seen.preview, case.seen.scene) / np.float32(255)
    boxed = warped_canonical(case.seen) / np.float32(255)
    looks = [worn(case, other) / np.float32(255) for other in cases]
    nearest = int(np.argmin([_apart(swapped, look, inside & shown[..., 0]) for look in looks]))
    return {
        "preview": psnr(previewed, true, inside) - psnr(pasted, true, inside),
        "free": psnr(free, true, inside) - psnr(boxed, true, inside),
        "actor": float(nearest == wanted),
        "silhouette": silhouette_iou(free, case),
        "composited": silhouette_iou(composited, case),
        "strangers": float(np.sqrt(np.mean((strangers[0] - strangers[1])[inside] ** 2))),
    }


def psnr(one: Frames, two: Frames, where: Bool[np.ndarray, "t h w"]) -> float:
    """Peak signal-to-noise ratio over some pixels of values in [0, 1], dB."""
    return float(-10 * np.log10(max(np.mean((one - two)[where] ** 2), 1e-10)))


def worn(case: Case, other: Case) -> UInt8[np.ndarray, "t h w 3"]:
    """The body of a case in the colours of another's canonical pictures: what a change of person should look like."""
    layer = case.clip.layers[case.clip.of_role("actor")[0]]
    assert layer.body is not None
    colors = canonical_of(other.clip.actors[0].dressed, case.seen.image.shape[1])[2]
    views, body = case.clip.views[0], layer.body
    drawn = [
        color_map(rasterize(body.at(t), body.faces, views[t : t + 1]), body.faces, colors) for t in range(len(views))
    ]
    return np.stack(drawn)


def _apart(one: Frames, two: Frames, where: Bool[np.ndarray, "t h w"]) -> float:
    """Distance of colours apart from a common gain and shift of each channel, which is the light's."""
    a, b = one[where], two[where]
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    spread = np.sqrt((a**2).sum() * (b**2).sum()) + 1e-9
    tint = np.abs(_hue(one[where].mean(axis=0)) - _hue(two[where].mean(axis=0))).sum()
    return float(1 - (a * b).sum() / spread + tint)


def _hue(color: Float32[np.ndarray, "3"]) -> Float32[np.ndarray, "3"]:
    return color / max(float(color.sum()), 1e-6)


def warped_canonical(seen: Lesson) -> UInt8[np.ndarray, "t h w 3"]:
    """The canonical front picture stretched onto the true person's box in each frame, over the scene."""
    front = seen.canonical[0]
    out = seen.scene.copy()
    rows, columns = _box((front != 255).any(axis=-1))
    cut = front[rows, columns]
    for frame, mask in zip(out, seen.person, strict=True):
        if not mask.any():
            continue
        y, x = _box(mask)
        at = np.ix_(
            np.arange(y.stop - y.start) * cut.shape[0] // (y.stop - y.start),
            np.arange(x.stop - x.start) * cut.shape[1] // (x.stop - x.start),
        )
        piece = cut[at]
        frame[y, x] = np.where((piece != 255).any(axis=-1, keepdims=True), piece, frame[y, x])
    return out


def _box(mask: Bool[np.ndarray, "h w"]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def silhouette_iou(made: Frames, case: Case) -> float:
    """Overlap of what was made of the person with where it should be.

    Only pixels count whose colour in the true frame tells the person from the scene: there, being nearer to the true
    frame than to the scene means person. Beside the person (and its shadow), differing from the scene means person too.
    """
    true, scene = case.seen.image / np.float32(255), case.seen.scene / np.float32(255)
    person, hidden = case.inside, case.seen.occluder
    tells = np.abs(true - scene).max(axis=-1) > SHOWS
    nearer = ((made - true) ** 2).sum(axis=-1) < ((made - scene) ** 2).sum(axis=-1)
    differs = np.abs(made - scene).max(axis=-1) > 2 * SHOWS
    valid = ~hidden & np.where(person, tells, ~tells)
    found = np.where(person, nearer, differs) & valid
    truth = person & valid
    return float((found & truth).sum() / max((found | truth).sum(), 1))
