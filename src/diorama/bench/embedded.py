"""The embedded models against their goals, on held-out theatre clips: what `diorama bench embedded` prints."""

from dataclasses import dataclass

import numpy as np
import torch

from diorama.bench import people
from diorama.bench.scores import Score
from diorama.core.extras import available, need
from diorama.core.progress import Progress, Silent
from diorama.core.video import Frame
from diorama.diffusion.codec_load import load_codec
from diorama.diffusion.generate import SampleConfig, load_backbone
from diorama.errors import UsageError
from diorama.perception.depth import EmbeddedDepth
from diorama.perception.depth_small import learned_inverse_depth
from diorama.perception.shots import track
from diorama.perception.upsample import upsample
from diorama.theatre.clip import random_clip
from diorama.theatre.dataset import DatasetConfig, script
from diorama.train.draws import seed_of
from diorama.train.recipes.depth_loss import rank_correlation
from diorama.train.split import theatre_seed

CUES_ALONE = 0.740
"""Of the embedded depth on the motorcycle pair before it had a network (docs/benchmarks.md)."""
MODELS = ("codec-s", "backbone-s", "depth-s")


@dataclass(frozen=True)
class BenchConfig:
    """What is measured.

    Attributes:
        models: which.
        clips: held-out clips, and actors to be told apart.
        frames: of each clip.
        steps: of the sampler.
        seed: of the noise.
    """

    models: tuple[str, ...] = MODELS
    clips: int = 10
    frames: int = 8
    steps: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [name for name in self.models if name not in MODELS]
        if unknown or not self.models:
            raise UsageError(
                f"no embedded model called {(unknown or [''])[0]!r}", "models", f"known: {', '.join(MODELS)}"
            )
        if not 2 <= self.clips <= 1000 or not 1 <= self.frames <= 32:
            raise UsageError(
                f"{self.clips} clips of {self.frames} frames", "clips, frames", "give 2 to 1000 of 1 to 32"
            )


def measure(config: BenchConfig = BenchConfig(), *, progress: Progress | None = None) -> list[Score]:
    """The scores of the models asked for; minutes on a CPU."""
    told, found = progress or Silent(), []
    if "codec-s" in config.models:
        found += codec_scores(config)
    if "backbone-s" in config.models:
        network, codec = load_backbone(), load_codec()
        options = SampleConfig(num_inference_steps=config.steps, seed=config.seed)
        found += people.measure(network, codec, clips=config.clips, frames=config.frames, config=options, progress=told)
        found.append(people.timing(network, codec, config=options))
    if "depth-s" in config.models:
        found += depth_scores(config)
    return found


def stills(count: int, seed: int = 0) -> list[np.ndarray]:
    """Frames of held-out clips, one each, uint8 "h w 3"."""
    options = DatasetConfig("scene", frames=2, seed=theatre_seed(seed, "held-out"))
    return [random_clip(seed_of("still", options.seed, n), script(options)).frame(0).image for n in range(count)]


@torch.no_grad()
def codec_scores(config: BenchConfig) -> list[Score]:
    """PSNR of codec-s on held-out frames."""
    codec = load_codec()
    errors = []
    for picture in stills(4 * config.clips):
        frame = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        errors.append(float((codec.decode(codec.encode(frame)) - frame).square().mean()))
    psnr = float(np.mean([-10 * np.log10(error) for error in errors]))
    return [Score("codec-s", "PSNR on held-out theatre frames", psnr, 33.0, unit="dB")]


def depth_scores(config: BenchConfig) -> list[Score]:
    """Rank correlation with the truth: depth-s alone and the embedded depth of `diorama stereo`.

    On theatre stills of clips that are held out, and on a real pair.
    """
    rows: list[tuple[float, float]] = []
    options = DatasetConfig("scene", frames=2, seed=theatre_seed(config.seed, "held-out"))
    for number in range(4 * config.clips):
        seen = random_clip(seed_of("still", options.seed, number), script(options)).frame(0)
        truth = np.where(np.isfinite(seen.depth), 1 / np.maximum(seen.depth, 1e-3), 0).astype(np.float32)
        rows.append((spearman(_learned(seen.image), truth), spearman(embedded_inverse_depth(seen.image), truth)))
    alone, fused = np.mean(rows, axis=0)
    found = [
        Score("depth-s", "Spearman on held-out theatre stills, alone", float(alone), 0.85),
        Score("depth-s", "Spearman on held-out theatre stills, as in diorama stereo", float(fused), 0.85),
    ]
    if available("skimage"):
        left, _, disparity = need("skimage.data").stereo_motorcycle()
        truth = np.where(np.isfinite(disparity), disparity, np.nan).astype(np.float32)
        value = spearman(embedded_inverse_depth(left), truth)
        found.append(Score("depth-s", "Spearman on the motorcycle pair, as in diorama stereo", value, CUES_ALONE))
    return found


def embedded_inverse_depth(image: np.ndarray) -> np.ndarray:
    """What `diorama stereo` takes for the inverse depth of one picture, at its size."""
    tracked = next(iter(track([Frame(image, 0, 1, 0)])))
    return upsample(next(iter(EmbeddedDepth()([tracked]))), image)


def _learned(image: np.ndarray) -> np.ndarray:
    found = torch.from_numpy(learned_inverse_depth(image))[None, None]
    return torch.nn.functional.interpolate(found, image.shape[:2], mode="bilinear")[0, 0].numpy()


def spearman(estimate: np.ndarray, truth: np.ndarray) -> float:
    """Rank correlation over the pixels whose truth is known (finite)."""
    known = np.isfinite(truth)
    return rank_correlation(estimate[known], truth[known])
