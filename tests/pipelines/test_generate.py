"""Clips from a seed, from words, from a picture; what is refused."""

import json
import os
import shutil
import tracemalloc
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel

from diorama import catalog
from diorama.core.progress import Silent
from diorama.diffusion.levels import NOISE, angular
from diorama.diffusion.prior import Prior, Rung
from diorama.diffusion.prior_load import load_prior, prior_folder
from diorama.errors import MediaError, ModelError, UsageError
from diorama.media.encoding import Encoding
from diorama.media.read import open_media
from diorama.media.recipe import read_recipe, to_json
from diorama.pipelines.generate import covering, generate, subject
from diorama.pipelines.generate_config import GenerateConfig
from diorama.pipelines.generate_prior import made_by
from diorama.pipelines.recipe_models import fingerprint_of
from diorama.pipelines.reproduce import reproduce
from diorama.theatre.clip import Script, random_clip

SMALL = {"frames": 2, "height": 48, "width": 64}


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def zeroscope(tmp_path_factory):
    """A tiny one of random weights, laid out as released."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("zeroscope")
    words = [*sorted(ByteLevel.alphabet()), *(f"{c}</w>" for c in ByteLevel.alphabet())]
    words += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    CLIPTextModel(CLIPTextConfig(vocab_size=len(words), **sizes)).save_pretrained(folder / "text_encoder")
    ends = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4, **ends).save_pretrained(folder / "vae")
    UNet3DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=16,
        attention_head_dim=4,
    ).save_pretrained(folder / "unet")
    DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012).save_pretrained(
        folder / "scheduler"
    )
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "TextToVideoSDPipeline"}))
    return folder


def clip_of(*args, **kwargs):
    """All frames at once."""
    return np.concatenate(list(made_by(*args, progress=Silent(), **kwargs)))


def quick(folder, **more):
    return GenerateConfig(prior=str(folder), num_inference_steps=2, device="cpu", **more)


def seen(path):
    return open_media(path).video


def test_a_seed_alone_makes_a_clip_of_the_theatre(tmp_path):
    config = GenerateConfig(**SMALL, fps=12.0, seed=5, encoding=Encoding("ffv1"))
    made = generate("", tmp_path / "clip.mkv", config)
    video = seen(tmp_path / "clip.mkv")
    assert (made.files, made.frames, made.prior) == ((tmp_path / "clip.mkv",), 2, "theatre")
    assert (len(video), video.height, video.width) == (2, 48, 64)
    assert video.times()[1] == pytest.approx(1 / 12, abs=1e-3)
    assert any("theatre" in note for note in made.notes)
    clip = random_clip(5, Script(2, 12.0, 48, 64))
    assert np.array_equal(video.stack()[1], clip.frame(1).image)
    recipe = read_recipe(tmp_path / "clip.mkv")
    assert (recipe.command, recipe.seed, recipe.models) == ("generate", 5, {"prior": "theatre"})


def test_odd_sizes_are_rounded_and_told(tmp_path):
    made = generate("", tmp_path / "clip.mp4", GenerateConfig(frames=1, height=33, width=64))
    assert (seen(tmp_path / "clip.mp4").height, made.frames) == (32, 1)
    assert any("64x32 pixels instead of 64x33" in note for note in made.notes)


def test_words_make_a_clip(zeroscope, tmp_path):
    config = quick(zeroscope, frames=3, height=16, width=25)
    made = generate("a cat", tmp_path / "a.mkv", config)
    video = seen(tmp_path / "a.mkv")
    assert (len(video), video.height, video.width, video.fps) == (3, 16, 24, 8)
    assert made.prior == "zeroscope"
    assert any("24x16 pixels instead of 25x16" in note for note in made.notes)
    recipe = read_recipe(tmp_path / "a.mkv")
    assert (recipe.options["prompt"], recipe.options["prior"]) == ("a cat", zeroscope.name)
    name = zeroscope.name
    assert recipe.models == {"prior": name, "prior_sha": fingerprint_of(zeroscope), "prior_licence": "unstated"}
    assert str(zeroscope.parent) not in to_json(recipe).decode(), "where folders lie is nobody's business"


@pytest.fixture
def snapshot(zeroscope, tmp_path, monkeypatch):
    """Weights of the catalogue in the download cache, in a folder that is called by a hash."""
    folder = tmp_path / "snapshots" / "6963642a64dbefa9"
    shutil.copytree(zeroscope, folder)
    monkeypatch.setattr(catalog, "folder_of", lambda entry: folder if entry.name == "zeroscope-v2-576w" else None)
    return folder


def test_a_clip_of_weights_of_the_catalogue_is_made_again_and_again(snapshot, tmp_path):
    generate("a cat", tmp_path / "a.mkv", quick("zeroscope-v2-576w", frames=2, height=16, width=16))
    first = read_recipe(tmp_path / "a.mkv")
    licence = catalog.find("zeroscope-v2-576w", catalog.ALL).licence
    assert (first.options["prior"], first.models["prior"]) == ("zeroscope-v2-576w", "zeroscope-v2-576w")
    assert (first.models["prior_sha"], first.models["prior_licence"]) == (fingerprint_of(snapshot), licence)
    again = reproduce(tmp_path / "a.mkv").files[0]
    assert read_recipe(again).identity == first.identity
    assert read_recipe(reproduce(again).files[0]).identity == first.identity


def test_other_weights_of_the_same_name_are_refused_unless_accepted(snapshot, tmp_path):
    generate("a cat", tmp_path / "a.mkv", quick("zeroscope-v2-576w", frames=2, height=16, width=16))
    weights = snapshot / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["decoder.conv_out.bias"] += 0.5
    save_file(tensors, weights)
    with pytest.raises(UsageError, match=r"weights of prior are not those .*--input prior=PATH.*--allow-changed"):
        reproduce(tmp_path / "a.mkv")
    assert not (tmp_path / "a_again.mkv").exists()
    told = Silent()
    made = reproduce(tmp_path / "a.mkv", allow_changed=True, progress=told)
    assert any("weights of prior are not those" in note for note in made.notes)
    assert made.notes[0] in told.notes
    assert read_recipe(made.files[0]).models["prior_sha"] == fingerprint_of(snapshot)


def test_folders_whose_names_are_no_text_leave_a_recipe_that_is():
    config = GenerateConfig(prior=os.fsdecode(b"/far/away/weights-\xff"))
    assert config.for_recipe("a cat", "")["prior"] == "weights-\ufffd"


def test_the_same_seed_gives_the_same_frames_and_words_and_seeds_change_them(zeroscope):
    one, other = (load_prior(zeroscope, prompt=prompt, device="cpu", guidance_scale=1) for prompt in "ab")

    def made(prior=one, seed=0, frames=2):
        return clip_of(prior, quick(zeroscope, frames=frames, seed=seed), (8, 8), first=None)

    first = made()
    assert np.array_equal(first, made())
    assert not np.array_equal(first, made(seed=1))
    assert not np.array_equal(first, made(other))
    assert made(frames=18).shape == (18, 8, 8, 3), "in windows"


def test_a_picture_is_the_first_frame(zeroscope, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    prior = load_prior(zeroscope, device="cpu", guidance_scale=1)
    kept = prior.decode(prior.encode(torch.from_numpy(image).permute(2, 0, 1)[None] / 255))
    expected = (kept[0].permute(1, 2, 0) * 255).round().numpy()
    made = clip_of(prior, quick(zeroscope, frames=3), (16, 24), first=image)
    assert np.abs(made[0] - expected).max() <= 1
    assert not np.array_equal(made[0], made[1])
    Image.fromarray(image).resize((96, 32)).save(tmp_path / "picture.png")
    config = quick(zeroscope, frames=2, prompt="a cat", height=16, width=24)
    result = generate(str(tmp_path / "picture.png"), tmp_path / "b.mkv", config)
    assert any("cut to 24x16" in note for note in result.notes)
    recipe = read_recipe(tmp_path / "b.mkv")
    assert [item.name for item in recipe.inputs] == ["picture.png"]
    assert (recipe.options["image"], recipe.options["prompt"]) == ("picture.png", "a cat")


@pytest.mark.parametrize("shape", [(16, 24), (40, 24), (8, 100), (7, 11)])
def test_a_picture_covers_the_frame_and_keeps_its_middle(shape):
    image = np.full((*shape, 3), 200, np.uint8)
    image[shape[0] // 2 - 1 : shape[0] // 2 + 1, shape[1] // 2 - 1 : shape[1] // 2 + 1] = 0
    cut = covering(image, (16, 24), Silent())
    assert cut.shape == (16, 24, 3)
    assert cut[7:9, 11:13].mean() < cut.mean()
    assert np.array_equal(covering(cut, (16, 24), Silent()), cut)


@dataclass
class Oracle:
    """A prior that knows what it makes: latent frames of four pictures, all of one value."""

    value: float = 0.25
    name: str = "oracle"
    size: tuple[int, int] = (8, 8)
    multiple: int = 4
    longest: int = 3
    shortest: int = 2
    rows: bool = False
    reads_guess: bool = True
    device: torch.device = torch.device("cpu")

    def fitting(self, count):
        return 1 + 4 * -(-(count - 1) // 4)

    def ladder(self, steps):
        heights = angular(steps)[:-1]
        assert heights[0] == NOISE
        return [Rung(1000 * (steps - i) / steps, level) for i, level in enumerate(heights)]

    def encode(self, frames):
        assert len(frames) == self.fitting(len(frames))
        return frames[::4, :2, ::4, ::4].transpose(0, 1)

    def decode(self, latents):
        rgb = torch.cat([latents, latents[:1]])
        return rgb.transpose(0, 1).repeat_interleave(4, 0)[3:].repeat_interleave(4, 2).repeat_interleave(4, 3)

    def denoiser(self, guess, unknown):
        assert guess.shape[2] == unknown.shape[2] <= self.longest
        return lambda x, level: torch.full_like(x, self.value)


def test_any_prior_makes_any_number_of_frames():
    assert isinstance(Oracle(), Prior)
    for frames in (1, 2, 5, 6, 30):
        config = GenerateConfig(frames=frames, num_inference_steps=3)
        made = clip_of(Oracle(), config, (8, 12), first=None)
        assert made.shape == (frames, 8, 12, 3)
        assert (made == 64).all()
    image = np.full((8, 12, 3), 200, np.uint8)
    config = GenerateConfig(frames=30, num_inference_steps=4)
    made = clip_of(Oracle(), config, (8, 12), first=image)
    assert (made[0] == 200).all()
    assert (made[1:] == 64).all()


def test_numbers_that_are_none_are_refused_and_nothing_is_written(zeroscope, tmp_path):
    with pytest.raises(ModelError, match="not finite"):
        clip_of(Oracle(value=float("nan")), GenerateConfig(frames=2), (8, 8), first=None)
    folder = tmp_path / "copy"
    tensors = load_file(zeroscope / "unet" / "diffusion_pytorch_model.safetensors")
    (folder / "unet").mkdir(parents=True)
    for inner in ("tokenizer", "text_encoder", "vae", "scheduler"):
        (folder / inner).symlink_to(zeroscope / inner)
    (folder / "unet" / "config.json").write_bytes((zeroscope / "unet" / "config.json").read_bytes())
    tensors["conv_out.bias"][:] = 3e38
    save_file(tensors, folder / "unet" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(ModelError, match="not finite"):
        generate("a cat", tmp_path / "out" / "a.mp4", quick(folder, frames=2, height=16, width=16))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_clip_is_never_whole_in_memory(tmp_path, monkeypatch):
    frames, size = 60, (240, 320)
    config = GenerateConfig(frames=frames, height=size[0], width=size[1])
    played = SimpleNamespace(frame=lambda number: SimpleNamespace(image=np.full((*size, 3), number, np.uint8)))
    monkeypatch.setattr("diorama.pipelines.generate.random_clip", lambda *_: played)
    generate("", tmp_path / "warm.mkv", replace(config, frames=1))  # what is made once for all
    tracemalloc.start()
    try:
        generate("", tmp_path / "clip.mkv", config)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.6 * frames * size[0] * size[1] * 3
    assert len(seen(tmp_path / "clip.mkv")) == frames


class Still(Oracle):
    """A latent frame a picture; it counts what its codec is given at once."""

    def fitting(self, count):
        return count

    def encode(self, frames):
        return frames[:, :2, ::4, ::4].transpose(0, 1)

    def decode(self, latents):
        self.most = max(getattr(self, "most", 0), latents.shape[1])
        rgb = torch.cat([latents, latents[:1]])
        return rgb.transpose(0, 1).repeat_interleave(4, 2).repeat_interleave(4, 3)


def test_the_codec_gives_a_few_pictures_at_a_time():
    prior = Still(rows=True)
    made = made_by(prior, GenerateConfig(frames=40, num_inference_steps=2), (8, 12), first=None, progress=Silent())
    assert [len(part) for part in made] == [16, 16, 8]
    assert prior.most == 16


def test_clips_that_a_codec_cannot_take_whole_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr("diorama.pipelines.generate_prior.MOST_AT_ONCE", 13 * 8 * 12)
    assert len(clip_of(Oracle(), GenerateConfig(frames=13, num_inference_steps=2), (8, 12), first=None)) == 13
    prior = Oracle(value=float("nan"))  # it would be told if it were asked
    with pytest.raises(UsageError, match=r"14 frames of 12x8 are too many — --frames — give at most 13 of this"):
        clip_of(prior, GenerateConfig(frames=14), (8, 12), first=None)
    with pytest.raises(UsageError, match=r"too many — --frames — give a smaller --width"):
        clip_of(prior, GenerateConfig(frames=2), (80, 120), first=None)


def test_an_interrupted_clip_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("diorama.pipelines.film.PIECE_FRAMES", 1)
    monkeypatch.setattr("diorama.pipelines.film.assemble", stop)
    with pytest.raises(KeyboardInterrupt):
        generate("", tmp_path / "clip.mkv", GenerateConfig(**SMALL))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "config", "error", "words"),
    [
        ("a cat", {}, UsageError, "does not read words.*models get zeroscope-v2-576w"),
        ("", {"prompt": "a cat"}, UsageError, "does not read words.*any other reads them"),
        ("nowhere.png", {}, MediaError, "no such file"),
        ("", {"guidance_scale": 2.0}, UsageError, "no such option.*--guidance-scale"),
        ("", {"num_inference_steps": 9}, UsageError, "--num-inference-steps"),
        ("", {"negative_prompt": ""}, UsageError, "--negative-prompt"),
        ("a", {"prompt": "b"}, UsageError, "two prompts"),
        ("a\x07", {"prior": "wan-2.1-t2v-1.3b"}, UsageError, "printable"),
        ("a" * 20_000, {"prior": "wan-2.1-t2v-1.3b"}, UsageError, "a prompt of 20000 characters"),
        ("a cat", {"prior": "wan-2.1-t2v-1.3b"}, ModelError, r"not on this machine.*Apache-2\.0"),
        ("a cat", {"prior": "zeroscope"}, ModelError, "did you mean zeroscope-v2-576w"),
        ("a cat", {"prior": "no/where"}, ModelError, "no such folder"),
        ("a cat", {"prior": "nul\0"}, ModelError, "no"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, given, config, error, words):
    with pytest.raises(error, match=words):
        generate(given, tmp_path / "out" / "clip.mp4", GenerateConfig(**config))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        *({"frames": 0}, {"frames": 1001}, {"fps": 0.5}, {"fps": float("nan")}, {"height": 15}, {"width": 5000}),
        *({"num_inference_steps": 0}, {"guidance_scale": -1.0}, {"guidance_scale": float("nan")}, {"seed": -1}),
        *({"prior": ""}, {"prompt": "a" * 20_000}),
    ],
)
def test_options_check_themselves(wrong):
    with pytest.raises(UsageError):
        GenerateConfig(**wrong)


def test_outputs_and_inputs_that_do_not_fit(tmp_path, zeroscope):
    with pytest.raises(UsageError, match="does not fit into one image"):
        generate("", tmp_path / "clip.png", GenerateConfig(**SMALL))
    (tmp_path / "there.mp4").write_bytes(b"film")
    with pytest.raises(UsageError, match="exists"):
        generate("", tmp_path / "there.mp4", GenerateConfig(**SMALL))
    assert (tmp_path / "there.mp4").read_bytes() == b"film"
    with pytest.raises(UsageError, match="a file that is no picture"):
        subject(str(tmp_path / "there.mp4"), GenerateConfig())
    config = GenerateConfig(prior=str(zeroscope), num_inference_steps=1001, device="cpu", **SMALL)
    with pytest.raises(UsageError, match="1001 sampling steps"):
        generate("a cat", tmp_path / "a.mp4", config)
    with pytest.raises(ModelError, match=r"no model_index\.json"):
        generate("a cat", tmp_path / "a.mp4", quick(tmp_path))


def test_a_picture_without_a_prior_is_told_that_any_other_begins_with_one(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png")
    with pytest.raises(UsageError, match=r"does not read pictures: .*any other begins with one: .*--prior"):
        generate(str(tmp_path / "picture.png"), tmp_path / "clip.mp4")


def test_words_that_look_like_files_are_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in ("a scan of photo.png", "a heron, 1/2 of it in water", "x" * 300):
        assert subject(words, GenerateConfig()) == (words, None)


def test_names_of_the_catalogue_lead_to_their_folders(zeroscope, monkeypatch):
    monkeypatch.setattr(catalog, "folder_of", lambda entry: zeroscope if entry.name.startswith("zero") else None)
    assert prior_folder("zeroscope-v2-576w") == zeroscope
    with pytest.raises(ModelError, match="known: zeroscope"):
        prior_folder("depth-pro")
