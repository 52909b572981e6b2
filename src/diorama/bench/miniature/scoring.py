"""What trained variants make of held-out clips, by every metric, and what it costs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from diorama.bench._decomposition_truth import TITLES, HeldOut
from diorama.bench.metrics.suite import ClipScores, Networks, Regions, measure, picture_values
from diorama.bench.miniature.drawn import Frames
from diorama.bench.miniature.files import damaged
from diorama.bench.miniature.pairs import PairNetwork, Pose
from diorama.bench.miniature.peak import PeakMemory
from diorama.bench.miniature.takes import Arrays
from diorama.bench.miniature.variants import Miniature, Variant, cut, given_of
from diorama.core.progress import Progress, Silent
from diorama.diffusion.codec import Codec
from diorama.diffusion.generate import SampleConfig, generate
from diorama.diffusion.levels import Level, angular
from diorama.diffusion.noise import Noise, generators
from diorama.diffusion.pictures import to_pictures
from diorama.diffusion.sample import descend, sample

STEPS = 6
"""Of the sampler, without guidance."""
TOGETHER = 8
"""Pictures of a person that are made at once where costs are measured."""
REPEATS = 3
"""Of a measurement of time."""
Maker = Callable[[Arrays, int], Frames]
"""The frames of a held-out take, and the seed of its noise, to what a variant makes of it."""


@dataclass(frozen=True)
class Cost:
    """What a picture costs.

    Attributes:
        seconds: of one core for one of `TOGETHER` pictures of a person, the reference's share included.
        weights: megabytes of the network.
        working: megabytes at once beside them for all those pictures, as torch counts them.
    """

    seconds: float
    weights: float
    working: float


def animate_maker(network: Miniature, variant: Variant, codec: Codec) -> Maker:
    """Frames from noise under what a variant is given; the first frame of a take is never made."""

    def make(take: Arrays, seed: int) -> Frames:
        batch = {name: value[None] for name, value in cut(take, variant, slice(1, None)).items()}
        how = SampleConfig(num_inference_steps=STEPS, guidance_scale=1.0, seed=seed)
        return to_pixels(generate(network, given_of(variant, batch), batch["image"], config=how)[0], codec)

    return make


def decoded(name: str, codec: Codec) -> Maker:
    """A picture of a take through the codec and nothing else."""
    return lambda take, _: to_pixels(take[name][:, 1:].float(), codec)


def preview_maker() -> Maker:
    """The preview engine: the textured body between the layers, in pixels."""
    return lambda take, _: take["true_preview"][1:].numpy()


def person_maker(network: PairNetwork, codec: Codec) -> Maker:
    """The other moments of a person from the first one."""

    def make(take: Arrays, seed: int) -> Frames:
        made = draw_poses(network, poses_of(take), seed=seed)
        return to_pixels(made.transpose(0, 1), codec)

    return make


def poses_of(take: Arrays) -> Pose:
    """The first moment as reference, the others as targets."""
    codes = (take["pose_codes"].float() / 255).transpose(0, 1)
    return Pose(take["pose"][:, :1].float().transpose(0, 1), codes[:1], codes[1:])


@torch.no_grad()
def draw_poses(network: PairNetwork, pose: Pose, *, seed: int = 0) -> Float[torch.Tensor, "b c h w"]:
    """Latents of a person in each pose, from one reference for all."""
    read = network.read(pose)

    def denoise(x: Float[torch.Tensor, "b c h w"], level: Level) -> Float[torch.Tensor, "b c h w"]:
        return network(x, x.new_full((len(x),), level.alpha), x.new_full((len(x),), level.sigma), read)

    like = pose.reference.expand(len(pose.codes), -1, -1, -1)
    noise = Noise(generators(len(like), "person", seed))(like)
    return sample(descend(angular(STEPS), denoise), noise)


def score_films(
    title: str,
    clips: Sequence[HeldOut],
    exam: Callable[[HeldOut], Arrays],
    make: Maker,
    *,
    by: Networks,
    progress: Progress | None = None,
) -> list[ClipScores]:
    """Every metric of a method of MIMO's table."""
    found = []
    for number, held, take in _exams(title, clips, exam, progress):
        regions, true = _regions(take, "true_inside", "ends"), take["true_image"][1:].numpy()
        made, clip = make(take, number), f"{number:03d}"
        found.append(measure(made, true, regions, by=by, method=title, clip=clip, tags=titled(held)))
    return found


def score_pictures(
    title: str,
    clips: Sequence[HeldOut],
    exam: Callable[[HeldOut], Arrays],
    make: Maker,
    *,
    by: Networks,
    progress: Progress | None = None,
) -> list[ClipScores]:
    """Every metric but FVD of a method of SCD's table."""
    found, nothing, about = [], np.zeros((0, 1)), (by.video.name, by.frames, by.step)
    for number, held, take in _exams(title, clips, exam, progress):
        regions, true = _regions(take, "true_pose_inside", "pose_ends"), take["true_pose"][1:].numpy()
        values = picture_values(make(take, number), true, regions, seen=by.lpips)
        found.append(ClipScores(title, f"{number:03d}", titled(held), values, (nothing, nothing), by.lpips.name, about))
    return found


def _exams(
    title: str, clips: Sequence[HeldOut], exam: Callable[[HeldOut], Arrays], progress: Progress | None
) -> Iterator[tuple[int, HeldOut, Arrays]]:
    """Each clip with its number and its take; progress is told when it has been measured."""
    told = progress or Silent()
    told.begin(f"measure {title}", len(clips))
    for number, held in enumerate(clips):
        yield number, held, exam(held)
        told.advance()


def _regions(take: Arrays, inside: str, ends: str) -> Regions:
    """Where the person, its hands and its feet are in all frames but the first, by the names of the arrays."""
    boxes = take[ends][1:].numpy()
    return Regions(take[inside][1:].numpy(), boxes[:, :2], boxes[:, 2:])


def cost_of(network: PairNetwork, take: Arrays) -> Cost:
    """What pictures of a take's person cost, from one reference."""
    one = poses_of(take)
    many = Pose(one.reference, one.reference_codes, one.codes[[n % len(one.codes) for n in range(TOGETHER)]])
    with PeakMemory() as peak:
        draw_poses(network, many)
    times = []
    for _ in range(REPEATS):
        began = process_time()
        draw_poses(network, many)
        times.append(process_time() - began)
    weights = sum(value.nbytes for value in (*network.parameters(), *network.buffers()))
    return Cost(median(times) / TOGETHER, weights / 1e6, peak.most / 1e6)


@torch.no_grad()
def to_pixels(latents: Float[torch.Tensor, "c t lh lw"], codec: Codec) -> Frames:
    """Frames of eight bits, as the field measures them."""
    return to_pictures(codec.decode(latents.transpose(0, 1)))


def titled(held: HeldOut) -> tuple[str, ...]:
    """A clip's tags as tables name them."""
    return tuple(TITLES[tag] for tag in held.tags if tag in TITLES)


def as_plain(scores: Sequence[ClipScores]) -> list[dict[str, Any]]:
    """Scores for a file of JSON."""
    rows = []
    for score in scores:
        row = asdict(score)
        row["features"] = [side.tolist() for side in score.features]
        rows.append(row)
    return rows


def from_plain(rows: Any, source: str) -> list[ClipScores]:
    """Scores from a file of JSON.

    Raises:
        ModelError: it holds something else.
    """
    try:
        return [_score(row) for row in rows]
    except (TypeError, KeyError, ValueError, IndexError) as error:
        raise damaged(source, error) from error


def _score(row: Mapping[str, Any]) -> ClipScores:
    one, two = (np.asarray(side, np.float64).reshape(len(side), -1 if side else 1) for side in row["features"])
    name, frames, stride = row["fvd_by"]
    values = {str(key): float(value) for key, value in row["values"].items()}
    told = (str(row["lpips_by"]), (str(name), int(frames), int(stride)))
    return ClipScores(str(row["method"]), str(row["clip"]), tuple(map(str, row["tags"])), values, (one, two), *told)
