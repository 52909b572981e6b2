"""The mono clip that the other recipes begin with (s2vg.md 1): from words, from a picture, or from a seed alone.

Words need released weights. What ships makes clips of the theatre, in which a seed says who does what where.
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

import diorama
from diorama import catalog
from diorama.core.layers import Layer, LayeredVideo
from diorama.core.parallel import aside
from diorama.core.progress import Noted, Progress, Silent
from diorama.core.video import ColorTags, Frame, Video
from diorama.diffusion.prior import Prior
from diorama.diffusion.prior_load import GET, load_prior, prior_folder
from diorama.diffusion.prior_parts import NEGATIVE
from diorama.errors import UsageError
from diorama.media.atomic import hidden_sibling, sweep
from diorama.media.images import is_image
from diorama.media.lock import RunLock
from diorama.media.read import OpenedVideo
from diorama.media.recipe import Input, Recipe
from diorama.media.safe import IMAGE_SUFFIXES, regular_file
from diorama.pipelines.animate_still import picture
from diorama.pipelines.film import Film, Stage
from diorama.pipelines.generate_config import EMBEDDED, MOST_WORDS, GenerateConfig
from diorama.pipelines.generate_prior import made_by
from diorama.pipelines.output import Target, make_target
from diorama.pipelines.presets import Look
from diorama.pipelines.recipe_models import lying
from diorama.theatre.clip import Script, random_clip

THEATRE, THEATRE_SIZE = "theatre", (320, 576)
Picture = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True, eq=False)
class Made:
    """Pictures that are made as they are asked for: one after the other, once. A `diorama.core.video.FrameSource`.

    Attributes:
        pictures: all of one size.
        size: height and width.
    """

    pictures: Iterator[Picture]
    size: tuple[int, int]

    def read(self, start: int, stop: int) -> Iterator[Frame]:
        """The next pictures, which are those from `start` on."""
        for number, image in enumerate(islice(self.pictures, stop - start), start):
            yield Frame(image, number, 1, number)


@dataclass(frozen=True)
class GenerateResult:
    """What a run made.

    Attributes:
        files: the clip.
        frames: how many.
        seconds: wall clock.
        prior: what made it.
        notes: what the user should know.
    """

    files: tuple[Path, ...]
    frames: int
    seconds: float
    prior: str
    notes: tuple[str, ...] = ()


def generate(
    given: str,
    output: str | Path,
    config: GenerateConfig = GenerateConfig(),
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> GenerateResult:
    """Make a clip.

    Args:
        given: a prompt, or a picture that the clip begins with; empty: by `config` and its seed alone.
        output: the film to write.
        config: what makes it, and how.
        overwrite: replace an existing film.
        progress: told of steps and frames.

    Raises:
        DioramaError: its children say what was wrong and what to do; no film appears unless it is complete.
    """
    began, told = time.perf_counter(), Noted(progress or Silent())
    prompt, image = subject(given, config)
    if config.prior == EMBEDDED:
        _check_embedded(prompt, image, config)
    folder = None if config.prior == EMBEDDED else prior_folder(config.prior)
    first = None if image is None else picture(image)
    pictures = [] if image is None else [image]
    target = make_target(output, Look(), inputs=pictures, overwrite=overwrite)
    if target.still:
        raise UsageError("a clip does not fit into one image", target.path, "name a video, such as clip.mp4")
    with RunLock(target.path):
        sweep(target.path)
        models = aside(lambda: models_of(config))  # hashing takes seconds
        if folder is None:
            name, made = THEATRE, played_clip(config, told)
        else:
            prior = _loaded(folder, prompt, config, told)
            name, made = prior.name, _filmed(prior, first, config, told)
        inputs = tuple(Input.of(path) for path in pictures)
        options = config.for_recipe(prompt, "".join(each.name for each in inputs))
        recipe = Recipe("generate", options, inputs, config.seed, diorama.__version__, models())
        count = _write(made, target, config, recipe, told)
    return GenerateResult(target.files, count, time.perf_counter() - began, name, tuple(told.notes))


def models_of(config: GenerateConfig) -> dict[str, str]:
    """What makes a clip, as its recipe tells it; weights are read once for their hash.

    Returns:
        dict[str, str]: ``prior``; ``prior_sha`` and ``prior_licence`` of one that is a network.

    Raises:
        ModelError: it is not on this machine.
    """
    if config.prior == EMBEDDED:
        return {"prior": THEATRE}
    return lying("prior", prior_folder(config.prior), config.prior)


def subject(given: str, config: GenerateConfig) -> tuple[str, Path | None]:
    """What to show: the prompt, and the picture to begin with.

    Raises:
        UsageError: two prompts, one that is too long, or a file that is no picture.
        MediaError: a picture that is not there.
    """
    named = Path(given).suffix.lower() in IMAGE_SUFFIXES and len(given.split()) == 1
    if named or (given and _exists(given)):
        path = regular_file(given)
        if not is_image(path):
            raise UsageError("a file that is no picture", given, "give a picture, or words that name no file")
        return config.prompt, path
    if given and config.prompt:
        raise UsageError("two prompts", "--prompt", "give words first, or after --prompt beside a picture")
    prompt = given or config.prompt
    if len(prompt) > MOST_WORDS or not prompt.isprintable():
        fix = f"give at most {MOST_WORDS} characters, all of them printable"
        raise UsageError(f"a prompt of {len(prompt)} characters", "prompt", fix)
    return prompt, None


def _exists(given: str) -> bool:
    try:
        return Path(given).exists()
    except OSError:  # longer than a name may be: words
        return False


def _check_embedded(prompt: str, image: Path | None, config: GenerateConfig) -> None:
    """What ships reads neither words nor pictures, and takes no steps."""
    if prompt or image:
        what = f"the embedded prior does not read {'pictures' if image else 'words'}: it makes clips of the theatre"
        fix = f"any other {'begins with one' if image else 'reads them'}: {GET}; or --prior FOLDER"
        raise UsageError(what, "--prior embedded", fix)
    unread = {
        "--negative-prompt": config.negative_prompt,
        "--num-inference-steps": config.num_inference_steps,
        "--guidance-scale": config.guidance_scale,
    }
    for option, value in unread.items():
        if value is not None:
            raise UsageError("the embedded prior is no network, and takes no such option", option, "leave it out")


def played_clip(config: GenerateConfig, progress: Progress) -> Made:
    """A clip of the theatre."""
    size = _rounded(THEATRE_SIZE, config, 2, progress)
    progress.note(f"embedded: seed {config.seed} of the theatre; other seeds show others. Words need --prior")
    clip = random_clip(config.seed, Script(config.frames, config.fps, *size))
    return Made((clip.frame(number).image for number in range(config.frames)), size)


def _loaded(folder: Path, prompt: str, config: GenerateConfig, progress: Progress) -> Prior:
    entry = catalog.at_folder(folder)
    if entry is not None:
        progress.note(entry.terms)
    if not prompt:
        progress.note("no prompt: the prior shows what it likes")
    negative = NEGATIVE if config.negative_prompt is None else config.negative_prompt
    guidance, device = config.guidance_scale, config.device
    return load_prior(folder, prompt=prompt, negative_prompt=negative, guidance_scale=guidance, device=device)


def _filmed(prior: Prior, first: UInt8[np.ndarray, "h w 3"] | None, config: GenerateConfig, told: Progress) -> Made:
    size = _rounded(prior.size, config, prior.multiple, told)
    start = None if first is None else covering(first, size, told)
    return Made(chain.from_iterable(made_by(prior, config, size, first=start, progress=told)), size)


def _rounded(usual: tuple[int, int], config: GenerateConfig, multiple: int, progress: Progress) -> tuple[int, int]:
    """Height and width, as near to what is asked for as the prior allows."""
    wanted = config.height or usual[0], config.width or usual[1]
    size = tuple(max(1, round(side / multiple)) * multiple for side in wanted)
    if size != wanted:
        what = f"{size[1]}x{size[0]} pixels instead of {wanted[1]}x{wanted[0]}"
        progress.note(f"{what}: sides must be multiples of {multiple}")
    return size[0], size[1]


def covering(
    image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int], progress: Progress
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The middle of a picture that fills `size` (height, width)."""
    share = max(size[0] / image.shape[0], size[1] / image.shape[1])
    high, wide = (max(goal, round(side * share)) for goal, side in zip(size, image.shape[:2], strict=True))
    way = cv2.INTER_AREA if share < 1 else cv2.INTER_CUBIC
    large = np.asarray(cv2.resize(image, (wide, high), interpolation=way), np.uint8)
    top, left = (high - size[0]) // 2, (wide - size[1]) // 2
    if max(high / size[0], wide / size[1]) > 1.02:
        progress.note(f"the picture is cut to {size[1]}x{size[0]}; --height and --width keep more of it")
    return np.ascontiguousarray(large[top : top + size[0], left : left + size[1]])


def _write(made: Made, target: Target, config: GenerateConfig, recipe: Recipe, progress: Progress) -> int:
    """Encode pictures as they come; returns how many."""
    pts = np.arange(config.frames, dtype=np.int64)
    tick = 1 / Fraction(config.fps).limit_denominator(1001)
    video = Video(made, pts, np.ones_like(pts), tick, *made.size, color=ColorTags(1, 1, 1))
    stage = Stage(LayeredVideo((Layer("scene", video),)), OpenedVideo(video, target.path))
    try:
        film = Film(stage, lambda _: iter(video), target, config.encoding, recipe, progress)
        return film.make(anew=True)
    except BaseException:
        shutil.rmtree(hidden_sibling(target.path, "work"), ignore_errors=True)  # a clip is not gone on with
        raise
