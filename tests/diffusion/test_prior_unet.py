"""Zeroscope and AnimateDiff as priors: equal to the pipelines of diffusers; folders that are refused."""

import json
import pickle
import shutil

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLTemporalDecoder,
    DDIMScheduler,
    MotionAdapter,
    UNet2DConditionModel,
    UNet3DConditionModel,
    UNetMotionModel,
)
from safetensors.torch import load_file, save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from diorama import catalog
from diorama.diffusion.levels import CLEAN
from diorama.diffusion.motion_unet import adapt
from diorama.diffusion.noise import Noise, generators
from diorama.diffusion.prior import Prior
from diorama.diffusion.prior_load import load_prior, place_of
from diorama.diffusion.prior_parts import NEGATIVE
from diorama.diffusion.prior_text import clip_tokens
from diorama.diffusion.sample import descend, sample
from diorama.errors import ModelError, OutOfMemoryError, UsageError

PROMPT, SAFE = "A cat, été 2", "diffusion_pytorch_model.safetensors"
ZERO = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
MOTION = {"beta_schedule": "linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}


def tokenizer(folder, pad="!"):
    folder.mkdir()
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "ca", "cat</w>", "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\n")
    settings = {"model_max_length": 77, "pad_token": "<|endoftext|>", "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": {"content": pad}}))
    return len(words)


def vae(**more):
    ends = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1, **ends, **more)


def pipeline(folder, unet, scheduler, name):
    """What all pipelines of the kind hold."""
    torch.manual_seed(0)
    size = tokenizer(folder / "tokenizer")
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": size - 2, "eos_token_id": size - 1, "pad_token_id": 0}
    CLIPTextModel(CLIPTextConfig(vocab_size=size, **sizes, **ends)).save_pretrained(folder / "text_encoder")
    vae().save_pretrained(folder / "vae")
    unet().save_pretrained(folder / "unet")
    scheduler.save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": name}))
    return folder


def video_unet():
    return UNet3DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=16,
        attention_head_dim=4,
    )


def picture_unet():
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 32),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=2,
    )


def motion_adapter():
    torch.manual_seed(1)
    return MotionAdapter(
        block_out_channels=(32, 32),
        motion_layers_per_block=1,
        motion_num_attention_heads=4,
        motion_max_seq_length=24,
        use_motion_mid_block=False,
    )


@pytest.fixture(scope="module")
def zeroscope(tmp_path_factory):
    scheduler = DDIMScheduler(**ZERO, clip_sample=False)
    return pipeline(tmp_path_factory.mktemp("zeroscope"), video_unet, scheduler, "TextToVideoSDPipeline")


@pytest.fixture(scope="module")
def animatediff(tmp_path_factory):
    folder = tmp_path_factory.mktemp("animatediff")
    pipeline(folder, picture_unet, DDIMScheduler(**ZERO), "StableDiffusionPipeline")
    motion_adapter().save_pretrained(folder / "motion_adapter")
    return folder


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(zeroscope, tmp_path):
    return shutil.copytree(zeroscope, tmp_path / "copy")


def latents(frames=3, seed=0):
    return torch.randn(1, 4, frames, 8, 8, generator=torch.Generator().manual_seed(seed))


def nothing_known(x):
    return torch.zeros_like(x), torch.ones_like(x[:, :1])


def stepped(prior, x, rungs):
    """One step from the first level to the second."""
    plan = descend([rungs[0].level, rungs[1].level], prior.denoiser(*nothing_known(x)))
    return sample(plan, x)


@torch.no_grad()
def step_of_diffusers(folder, unet, scheduler, x, *, scale, frames_in_context=1):
    """The same step as a pipeline of diffusers takes it."""
    encoder, reader = (
        CLIPTextModel.from_pretrained(folder / "text_encoder"),
        CLIPTokenizer.from_pretrained(folder / "tokenizer"),
    )
    read = reader([NEGATIVE, PROMPT], padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    context = encoder(read.input_ids)[0].repeat_interleave(frames_in_context, dim=0)
    scheduler.set_timesteps(2)
    time = scheduler.timesteps[0]
    free, told = unet(torch.cat([x, x]), time, encoder_hidden_states=context).sample.chunk(2)
    guided = free + scale * (told - free)
    return scheduler.step(guided, time, x).prev_sample


@pytest.mark.parametrize("says", ["epsilon", "v_prediction"])
def test_zeroscope_equals_its_pipeline_for_a_step(folder, says):
    scheduler = DDIMScheduler(**ZERO, clip_sample=False, prediction_type=says)
    scheduler.save_pretrained(folder / "scheduler")
    prior = load_prior(folder, prompt=PROMPT, device="cpu")
    assert isinstance(prior, Prior)
    rungs = prior.ladder(2)
    assert [rung.time for rung in rungs] == [501, 1]
    unet = UNet3DConditionModel.from_pretrained(folder / "unet")
    expected = step_of_diffusers(folder, unet, scheduler, latents(), scale=7.5)
    assert torch.allclose(stepped(prior, latents(), rungs), expected, atol=1e-4)


def test_a_step_of_several_videos_is_that_of_each(zeroscope):
    prior = load_prior(zeroscope, prompt=PROMPT, device="cpu", guidance_scale=2)
    x, rungs = torch.cat([latents(), latents(seed=1)]), prior.ladder(2)
    singles = torch.cat([stepped(prior, one[None], rungs) for one in x])
    assert torch.allclose(stepped(prior, x, rungs), singles, atol=1e-5)


def test_guidance_one_asks_for_the_prompt_alone(zeroscope):
    priors = [load_prior(zeroscope, prompt=PROMPT, negative_prompt=no, device="cpu", guidance_scale=1) for no in "ab"]
    x = latents()
    first, second = (prior.denoiser(*nothing_known(x))(x, prior.ladder(2)[0].level) for prior in priors)
    assert torch.equal(first, second)
    other = load_prior(zeroscope, prompt="!", device="cpu", guidance_scale=1)
    assert not torch.allclose(first, other.denoiser(*nothing_known(x))(x, other.ladder(2)[0].level))


def test_zeroscope_makes_a_small_film(zeroscope):
    prior = load_prior(zeroscope, prompt=PROMPT, device="cpu")
    assert (prior.name, prior.size, prior.multiple) == ("zeroscope", (16, 16), 4)
    assert (prior.longest, prior.shortest, prior.rows, prior.reads_guess) == (16, 1, True, False)
    assert prior.fitting(7) == 7
    frames = torch.rand(5, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    known = prior.encode(frames)
    assert known.shape == (4, 5, 8, 12)
    x = Noise(generators(1, "film"))(known[None])
    plan = descend([*(rung.level for rung in prior.ladder(2)), CLEAN], prior.denoiser(*nothing_known(x)))
    made = prior.decode(sample(plan, x)[0])
    assert made.shape == frames.shape
    assert 0 <= made.min() <= made.max() <= 1
    network = AutoencoderKL.from_pretrained(zeroscope / "vae")
    with torch.no_grad():
        assert torch.allclose(
            known, 0.18215 * network.encode(2 * frames - 1).latent_dist.mean.transpose(0, 1), atol=1e-5
        )


def test_the_size_of_zeroscope_where_the_configuration_is_modelscopes(folder):
    for given, size in ((32, (320, 576)), ([4, 9], (8, 18)), (None, (320, 576))):
        config = json.loads((folder / "unet" / "config.json").read_text())
        (folder / "unet" / "config.json").write_text(json.dumps({**config, "sample_size": given}))
        assert load_prior(folder, device="cpu").size == size


def test_a_codec_of_films_sees_neighbours(zeroscope, tmp_path):
    torch.manual_seed(0)
    sizes = {"block_out_channels": (32, 32), "down_block_types": ("DownEncoderBlock2D",) * 2}
    network = AutoencoderKLTemporalDecoder(layers_per_block=1, **sizes).eval()
    network.save_pretrained(tmp_path / "svd" / "vae")
    prior = load_prior(zeroscope, device="cpu", codec=tmp_path / "svd")
    frames = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    known = prior.encode(frames)
    with torch.no_grad():
        z = network.encode(2 * frames - 1).latent_dist.mean
        expected = network.decode(z, num_frames=3).sample / 2 + 0.5
    assert torch.allclose(known, 0.18215 * z.transpose(0, 1), atol=1e-5)
    assert torch.allclose(prior.decode(known), expected.clamp(0, 1), atol=1e-5)
    assert not torch.allclose(prior.decode(known[:, :1]), expected[:1].clamp(0, 1), atol=1e-4)


def test_tokens_are_those_of_transformers(tmp_path):
    tokenizer(tmp_path / "tokens")
    texts = [PROMPT, "", "cat " * 100]
    theirs = CLIPTokenizer.from_pretrained(tmp_path / "tokens")
    expected = theirs(texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    assert torch.equal(clip_tokens(tmp_path / "tokens", texts), expected)


def original(tensors):
    """Names of AnimateDiff's own files."""
    for name, tensor in tensors.items():
        head, _, rest = name.partition(".motion_modules.")
        number, _, rest = rest.partition(".")
        for new, old in (("attn1.", "attention_blocks.0."), ("attn2.", "attention_blocks.1."), ("norm3.", "ff_norm.")):
            rest = rest.replace(new, old)
        rest = rest.replace("norm1.", "norms.0.").replace("norm2.", "norms.1.")
        rest = rest.replace("pos_embed.pe", "attention_blocks.0.pos_encoder.pe")
        yield f"{head}.motion_modules.{number}.temporal_transformer.{rest}", tensor


def test_animatediff_equals_its_pipeline_for_a_step(animatediff):
    prior = load_prior(animatediff, prompt=PROMPT, device="cpu")
    assert (prior.name, prior.size, prior.longest, prior.multiple) == ("animatediff", (512, 512), 16, 4)
    picture = UNet2DConditionModel.from_pretrained(animatediff / "unet")
    adapter = MotionAdapter.from_pretrained(animatediff / "motion_adapter")
    for frames in (1, 3):  # statistics of one frame and of several are the same for one
        unet = UNetMotionModel.from_unet2d(picture, adapter).eval()
        unet = adapt(unet) if frames > 1 else unet
        scheduler = DDIMScheduler(**MOTION, clip_sample=False)
        more = {"scale": 7.5, "frames_in_context": frames}
        expected = step_of_diffusers(animatediff, unet, scheduler, latents(frames), **more)
        assert torch.allclose(stepped(prior, latents(frames), prior.ladder(2)), expected, atol=1e-4)


def test_motion_modules_are_found_wherever_they_lie(animatediff, tmp_path, monkeypatch):
    x, level = latents(), load_prior(animatediff, device="cpu").ladder(2)[0].level
    expected = load_prior(animatediff, device="cpu").denoiser(*nothing_known(x))(x, level)
    loose = tmp_path / "loose"
    shutil.copytree(animatediff, loose)
    shutil.rmtree(loose / "motion_adapter")
    with pytest.raises(ModelError, match=r"without motion modules.*models get animatediff-motion-v3"):
        load_prior(loose, device="cpu")
    modules = load_file(animatediff / "motion_adapter" / SAFE)
    torch.save(dict(original(modules)), loose / "v3_sd15_mm.ckpt")
    made = load_prior(loose, device="cpu").denoiser(*nothing_known(x))(x, level)
    assert made.shape == expected.shape  # the file does not tell heads: 8 are taken, the adapter has 4
    with pytest.raises(ModelError, match=r"without the network.*models get sd15-pipeline"):
        load_prior(animatediff / "motion_adapter", device="cpu")
    monkeypatch.setattr(catalog, "folder_of", lambda entry: animatediff if entry.name == "sd15-pipeline" else None)
    alone = load_prior(animatediff / "motion_adapter", device="cpu").denoiser(*nothing_known(x))(x, level)
    assert torch.equal(alone, expected)


def _without(name):
    return lambda folder: shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()


def _config(part, **values):
    def change(folder):
        file = next((folder / part).glob("*config.json"))
        file.write_text(json.dumps({**json.loads(file.read_text()), **values}))

    return change


def _nan(folder):
    tensors = load_file(folder / "unet" / SAFE)
    tensors["conv_in.weight"][0, 0, 0, 0] = torch.nan
    save_file(tensors, folder / "unet" / SAFE)


class Payload:
    """Runs what no reader of weights may run."""

    def __reduce__(self):
        return (eval, ("open('owned', 'w')",))


def _pickle(folder):
    (folder / "unet" / SAFE).unlink()
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps({"a": Payload()}))


def _write(name, text):
    return lambda folder: (folder / name).write_text(text)


def _index(names):
    def change(folder):
        (folder / "unet" / SAFE).unlink()
        table = {f"tensor{i}": name for i, name in enumerate(names)}
        (folder / "unet" / f"{SAFE}.index.json").write_text(json.dumps({"weight_map": table}))

    return change


BAD = {
    "no unet": (_without("unet"), "no prior of films: TextToVideoSDPipeline"),
    "no weights": (_without(f"unet/{SAFE}"), "no weights of the unet"),
    "no codec": (_without("vae"), "config.json"),
    "no text encoder": (_without("text_encoder"), "no config.json of the text_encoder"),
    "no scheduler": (_without("scheduler"), "no scheduler/scheduler_config.json"),
    "no vocabulary": (_without("tokenizer/vocab.json"), "no vocab.json"),
    "no merges": (_without("tokenizer/merges.txt"), "no merges.txt"),
    "another pipeline": (_write("model_index.json", '{"_class_name": "WanPipeline"}'), "a folder of WanPipeline"),
    "damaged index": (_write("model_index.json", "{"), "no JSON object"),
    "another unet": (_config("unet", _class_name="UNet1DModel"), "no prior of films"),
    "another text encoder": (_config("text_encoder", architectures=["T5Model"]), "class 'T5Model'"),
    "another size": (_config("unet", block_out_channels=[8, 32]), "do not fit UNet3DConditionModel"),
    "endless layers": (_config("unet", layers_per_block=10**9), "layers_per_block = 1000000000"),
    "endless lists": (_config("unet", transformer_layers_per_block=[[10**9]]), "transformer_layers_per_block"),
    "odd layers": (_config("unet", layers_per_block="many"), "the configuration does not work"),
    "odd heads": (_config("unet", attention_head_dim=0), "the configuration does not work"),
    "other latents": (_config("vae", latent_channels=8), "do not fit AutoencoderKL"),
    "another reader": (_config("text_encoder", hidden_size=32), "do not fit CLIPTextModel"),
    "another width": (_config("unet", sample_size="large"), "sample_size"),
    "own betas": (_config("scheduler", trained_betas=[0.1]), "its own betas"),
    "another prediction": (_config("scheduler", prediction_type="flow"), "prediction_type = flow"),
    "betas upside down": (_config("scheduler", beta_start=0.5), "beta_start < beta_end"),
    "NaN": (_nan, "NaN or infinity: conv_in.weight"),
    "payload": (_pickle, "nothing of it was executed"),
    "damaged vocabulary": (_write("tokenizer/vocab.json", '{"a": -1}'), "no table of tokens"),
    "foreign vocabulary": (_write("tokenizer/vocab.json", '{"a": 5}'), "tokenizer is damaged"),
    "large tokens": (_write("tokenizer/vocab.json", '{"<|startoftext|>": 90000, "<|endoftext|>": 1, "c": 2}'), "token"),
    "damaged merges": (_write("tokenizer/merges.txt", "a b c\n"), "tokenizer is damaged"),
    "shards outside": (_index(["../vae/" + SAFE]), "names no files of this folder"),
    "shards missing": (_index(["a.safetensors", "b.safetensors"]), "lacks a.safetensors, b.safetensors"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_folders_are_refused_in_one_line(folder, what, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    change, words = BAD[what]
    change(folder)
    with pytest.raises(ModelError) as caught:
        load_prior(folder, prompt=PROMPT, device="cpu")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "owned").exists()


def test_shards_are_one_network(folder, zeroscope):
    tensors = load_file(folder / "unet" / SAFE)
    names = sorted(tensors)
    (folder / "unet" / SAFE).unlink()
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({name: tensors[name] for name in part}, folder / "unet" / file)
    table = {name: file for file, part in halves.items() for name in part}
    (folder / "unet" / f"{SAFE}.index.json").write_text(json.dumps({"weight_map": table}))
    x = latents()
    made = [load_prior(f, device="cpu") for f in (folder, zeroscope)]
    first, second = (prior.denoiser(*nothing_known(x))(x, prior.ladder(2)[0].level) for prior in made)
    assert torch.equal(first, second)
    save_file({name: tensors[name] for name in names}, folder / "unet" / "b.safetensors")
    with pytest.raises(ModelError, match="in two files"):
        load_prior(folder, device="cpu")


def test_weights_that_do_not_fit_are_refused_before_they_are_read(zeroscope, monkeypatch):
    monkeypatch.setattr("diorama.diffusion.mimo_room.SMALL", 0)
    monkeypatch.setattr("diorama.diffusion.mimo_room._free", lambda device: 1)
    with pytest.raises(OutOfMemoryError, match="take a machine with more"):
        load_prior(zeroscope, device="cpu")


def test_a_codec_without_room_tells_it(zeroscope, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    prior = load_prior(zeroscope, device="cpu")
    monkeypatch.setattr("diorama.diffusion.prior_unet.encode_video", full)
    monkeypatch.setattr("diorama.diffusion.prior_unet.decode_video", full)
    for work, given in ((prior.encode, torch.zeros(3, 3, 8, 8)), (prior.decode, torch.zeros(4, 3, 4, 4))):
        with pytest.raises(OutOfMemoryError, match=r"memory for 3 pictures and their latents — codec — give fewer"):
            work(given)


@pytest.mark.parametrize("name", ["hpu", "privateuseone", "privateuseone:0", "cuda:99", "a\nb", "", "\0"])
def test_devices_that_are_not_there_get_one_line(name):
    with pytest.raises(UsageError) as told:
        place_of(name)
    assert str(told.value) == f"no device {name!r} — --device — give auto, cpu, or a device that torch sees"


def test_what_is_asked_for_is_checked(zeroscope, tmp_path):
    with pytest.raises(UsageError, match="guidance -1"):
        load_prior(zeroscope, guidance_scale=-1, device="cpu")
    with pytest.raises(UsageError, match="no device 'toaster'"):
        load_prior(zeroscope, device="toaster")
    with pytest.raises(UsageError, match="no device 'meta'"):
        load_prior(zeroscope, device="meta")
    with pytest.raises(UsageError, match="0 sampling steps"):
        load_prior(zeroscope, device="cpu").ladder(0)
    with pytest.raises(ModelError, match="no such folder"):
        load_prior(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"no model_index\.json: .*or diorama models get zeroscope-v2-576w"):
        load_prior(tmp_path)
    with pytest.raises(ModelError, match=r"no config\.json in the folder of the codec"):
        load_prior(zeroscope, device="cpu", codec=tmp_path)
