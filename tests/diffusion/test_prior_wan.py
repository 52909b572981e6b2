"""Wan as a prior: equal to its pipeline in diffusers; its ladder that of its scheduler; folders that are refused."""

import json
import shutil

import pytest
import torch
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
    WanTransformer3DModel,
)
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import TemplateProcessing
from transformers import UMT5Config, UMT5EncoderModel

from diorama.diffusion.levels import CLEAN, NOISE
from diorama.diffusion.noise import Noise, generators
from diorama.diffusion.prior import Prior
from diorama.diffusion.prior_load import load_prior
from diorama.diffusion.prior_parts import NEGATIVE
from diorama.diffusion.prior_text import umt5_tokens, umt5_vectors
from diorama.diffusion.prior_wan import WanPrior
from diorama.diffusion.sample import descend, sample
from diorama.errors import ModelError, OutOfMemoryError, UsageError

PROMPT, SAFE = "a cat", "diffusion_pytorch_model.safetensors"
SHIFT = 3.0
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": SHIFT}


def tokenizer(folder):
    folder.mkdir()
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁a", -1.0), ("▁cat", -1.5), ("▁", -2.0)]
    words += [(letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    made = Tokenizer(Unigram(words, unk_id=2))
    made.pre_tokenizer = Metaspace()
    made.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    made.save(str(folder / "tokenizer.json"))
    return len(words)


def codec():
    return AutoencoderKLWan(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=[0.1, -0.2, 0.3, 0.0],
        latents_std=[1.5, 0.5, 2.0, 1.0],
    ).eval()


@pytest.fixture(scope="module")
def wan(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("wan")
    size = tokenizer(folder / "tokenizer")
    UMT5EncoderModel(
        UMT5Config(vocab_size=size, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=2)
    ).save_pretrained(folder / "text_encoder")
    transformer = WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=16,
        freq_dim=8,
        ffn_dim=32,
        num_layers=2,
        rope_max_seq_len=64,
    )
    transformer.save_pretrained(folder / "transformer", max_shard_size="20KB")
    codec().save_pretrained(folder / "vae")
    UniPCMultistepScheduler(**FLOW).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline"}))
    return folder


@pytest.fixture
def folder(wan, tmp_path):
    return shutil.copytree(wan, tmp_path / "copy")


@pytest.fixture(scope="module")
def prior(wan):
    return load_prior(wan, prompt=PROMPT, device="cpu")


def nothing_known(x):
    return torch.zeros_like(x), torch.ones_like(x[:, :1])


def test_it_is_a_prior_whose_latent_frames_are_four_pictures(prior):
    assert isinstance(prior, Prior)
    assert (prior.name, prior.size, prior.multiple, prior.longest) == ("wan", (480, 832), 16, 21)
    assert (prior.shortest, prior.rows, prior.reads_guess) == (1, False, False)
    assert [prior.fitting(count) for count in (1, 2, 5, 6, 16, 81)] == [1, 5, 5, 9, 17, 81]


def test_a_folder_of_shards_was_read(wan):
    assert (wan / "transformer" / f"{SAFE}.index.json").is_file()
    assert not (wan / "transformer" / SAFE).exists()


@pytest.mark.parametrize("steps", [2, 7, 50])
def test_the_ladder_is_that_of_its_scheduler(prior, steps):
    scheduler = UniPCMultistepScheduler(**FLOW)
    scheduler.set_timesteps(steps)
    rungs = prior.ladder(steps)
    times = torch.tensor([rung.time for rung in rungs])
    # the scheduler keeps off 1, where its second order is infinite
    assert torch.allclose(times / 1000, scheduler.sigmas[:-1], atol=2e-6)
    for rung in rungs:
        assert rung.level.alpha**2 + rung.level.sigma**2 == pytest.approx(1)
        assert rung.level.sigma / (rung.level.alpha + rung.level.sigma) == pytest.approx(rung.time / 1000)
    assert rungs[0].level == NOISE
    with pytest.raises(UsageError, match="1001 sampling steps"):
        prior.ladder(1001)


@torch.no_grad()
def test_a_step_equals_that_of_the_pipeline(wan, prior):
    network = WanTransformer3DModel.from_pretrained(wan / "transformer").eval()
    encoder = UMT5EncoderModel.from_pretrained(wan / "text_encoder").eval()
    reader = Tokenizer.from_file(str(wan / "tokenizer" / "tokenizer.json"))
    noise = torch.randn(2, 4, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    context = {}
    for text in (PROMPT, NEGATIVE):
        ids = torch.tensor([reader.encode(text).ids])
        padded = torch.zeros(1, 512, 16)
        padded[:, : ids.shape[1]] = encoder(ids).last_hidden_state
        context[text] = padded.expand(2, -1, -1)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=SHIFT)
    first, second = prior.ladder(3)[:2]
    start = torch.tensor([first.time / 1000, second.time / 1000])
    scheduler.set_timesteps(sigmas=(start / (SHIFT - (SHIFT - 1) * start)).tolist())  # it shifts them itself
    assert torch.allclose(scheduler.sigmas[:2], start, atol=1e-6)
    for index, (rung, after) in enumerate(((first, second), (second, None))):
        time, level = rung.time / 1000, rung.level
        clean = 0.3 * torch.ones_like(noise)
        straight = (1 - time) * clean + time * noise
        made = {
            text: network(straight, scheduler.timesteps[index].expand(2), each).sample for text, each in context.items()
        }
        velocity = made[NEGATIVE] + 5 * (made[PROMPT] - made[NEGATIVE])
        x = level.alpha * clean + level.sigma * noise
        x0 = prior.denoiser(*nothing_known(x))(x, level)
        assert torch.allclose(x0, straight - time * velocity, atol=1e-4)
        expected = scheduler.step(velocity, scheduler.timesteps[index], straight).prev_sample
        goal = CLEAN if after is None else after.level
        moved = sample(descend([level, goal], prior.denoiser(*nothing_known(x))), x)
        assert torch.allclose(moved / (goal.alpha + goal.sigma), expected, atol=1e-4)


@torch.no_grad()
def test_the_codec_is_that_of_the_pipeline(wan, prior):
    network = AutoencoderKLWan.from_pretrained(wan / "vae").eval()
    frames = torch.rand(9, 3, 16, 32, generator=torch.Generator().manual_seed(0))
    known = prior.encode(frames)
    assert known.shape == (4, 3, 2, 4)
    z = network.encode(2 * frames.transpose(0, 1)[None] - 1).latent_dist.mean[0]
    mean, spread = (torch.tensor(each)[:, None, None, None] for each in ([0.1, -0.2, 0.3, 0.0], [1.5, 0.5, 2.0, 1.0]))
    assert torch.allclose(known, (z - mean) / spread, atol=1e-5)
    expected = network.decode(z[None]).sample[0].transpose(0, 1) / 2 + 0.5
    assert torch.allclose(prior.decode(known), expected.clamp(0, 1), atol=1e-5)
    with pytest.raises(UsageError, match=r"8 pictures.*give 9"):
        prior.encode(frames[:8])
    with pytest.raises(UsageError, match="24x16"):
        prior.encode(frames[..., :24])


def roomy(prior, monkeypatch, side, error):
    """The same prior with a codec of its own, whose networks take pictures up to a side."""
    vae = codec()
    vae.load_state_dict(prior.vae.state_dict())
    for network, pixels in ((vae.encoder, 1), (vae.decoder, 8)):

        def limited(x, *args, work=network.forward, pixels=pixels, **kwargs):
            if max(x.shape[-2:]) * pixels > side:
                raise error
            return work(x, *args, **kwargs)

        monkeypatch.setattr(network, "forward", limited)
    return WanPrior(prior.transformer, vae, prior.context, 1)


FULL = [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]


@pytest.mark.parametrize("error", FULL, ids=["cuda", "cpu"])
def test_a_codec_without_room_goes_on_in_tiles_and_then_gives_up(prior, monkeypatch, caplog, error):
    frames = torch.rand(5, 3, 16, 272, generator=torch.Generator().manual_seed(0))
    known = torch.randn(4, 2, 2, 34, generator=torch.Generator().manual_seed(0))
    tiles = roomy(prior, monkeypatch, 10_000, error)
    tiles.vae.enable_tiling()
    some = roomy(prior, monkeypatch, 256, error)
    for name, given in (("encode", frames), ("decode", known)):
        assert torch.equal(getattr(some, name)(given), getattr(tiles, name)(given))
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory: the codec goes on in tiles of 256 pixels, which may show seams"
    ]
    none = roomy(prior, monkeypatch, 8, error)
    with pytest.raises(OutOfMemoryError, match=r"memory for 5 pictures of 272x16 — codec — give fewer frames"):
        none.encode(frames)
    with pytest.raises(OutOfMemoryError, match=r"memory for 2 latent frames of 34x2 — codec"):
        none.decode(known)


def test_other_errors_of_the_codec_stay_what_they_are(prior, monkeypatch):
    broken = roomy(prior, monkeypatch, 8, RuntimeError("mat1 and mat2 do not fit"))
    with pytest.raises(RuntimeError, match="mat1"):
        broken.decode(torch.zeros(4, 1, 2, 4))
    assert not broken.vae.use_tiling


def test_it_makes_a_small_film(prior):
    x = Noise(generators(1, "film"))(torch.zeros(1, 4, 3, 2, 4))
    plan = descend([*(rung.level for rung in prior.ladder(2)), CLEAN], prior.denoiser(*nothing_known(x)))
    made = prior.decode(sample(plan, x)[0])
    assert made.shape == (9, 3, 16, 32)
    assert 0 <= made.min() <= made.max() <= 1


def test_words_are_read_until_their_end(wan):
    ids, mask = umt5_tokens(wan / "tokenizer", ["a   cat", "a &amp;amp; b", "cat " * 600])
    assert ids.shape == (3, 512)
    assert ids[0, :4].tolist() == [3, 4, 1, 0]
    assert mask.sum(dim=1).tolist() == [3, len([i for i in ids[1] if i]), 512]
    assert ids[2, -1] == 1, "the end stays where a text is cut"
    vectors = umt5_vectors(wan, ["a cat"], device=torch.device("cpu"), dtype=torch.float32)
    assert bool((vectors[0, :3] != 0).any())
    assert not bool((vectors[0, 3:] != 0).any())


def test_what_must_be_precise_stays_so(wan, monkeypatch):
    monkeypatch.setattr("diorama.diffusion.prior_wan.half", lambda *_: torch.bfloat16)
    prior = load_prior(wan, prompt=PROMPT, device="cpu")
    theirs = WanTransformer3DModel.from_pretrained(wan / "transformer", torch_dtype=torch.bfloat16)
    expected = {name: tensor.dtype for name, tensor in theirs.state_dict().items()}
    assert {name: tensor.dtype for name, tensor in prior.transformer.state_dict().items()} == expected
    x = torch.randn(1, 4, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    level = prior.ladder(2)[1].level
    x0 = prior.denoiser(*nothing_known(x))(x, level)
    assert x0.dtype == torch.float32
    whole = load_prior(wan, prompt=PROMPT, device="cpu")
    assert torch.allclose(x0, whole.denoiser(*nothing_known(x))(x, level), atol=0.1)


def _config(file, **values):
    def change(folder):
        path = folder / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def _nan(folder):
    tensors = load_file(folder / "vae" / SAFE)
    next(iter(tensors.values())).view(-1)[0] = torch.inf
    save_file(tensors, folder / "vae" / SAFE)


def _lost(folder):
    sorted((folder / "transformer").glob("*.safetensors"))[0].unlink()


BAD = {
    "for pictures": (_config("model_index.json", _class_name="WanImageToVideoPipeline"), "a folder of WanImageToVideo"),
    "two networks": (_config("model_index.json", transformer_2=["diffusers", "WanTransformer3DModel"]), "Wan 2.2"),
    "times of tokens": (_config("model_index.json", expand_timesteps=True), "Wan 2.2"),
    "another class": (
        _config("transformer/config.json", _class_name="SkyReelsV2Transformer"),
        "no prior of films",
    ),
    "no flow": (_config("scheduler/scheduler_config.json", use_flow_sigmas=False), "no flow with a constant shift"),
    "odd shift": (_config("scheduler/scheduler_config.json", flow_shift="3"), "no flow with a constant shift"),
    "another codec": (_config("vae/config.json", _class_name="AutoencoderKL"), "expected AutoencoderKLWan"),
    "other latents": (_config("vae/config.json", latents_std=[1.0]), "latents_mean or latents_std"),
    "no spread": (_config("vae/config.json", latents_std=[1.0, 0.0, 1.0, 1.0]), "latents_mean or latents_std"),
    "other time": (_config("vae/config.json", temperal_downsample=[False, False, True]), "AutoencoderKLWan"),
    "other space": (_config("vae/config.json", scale_factor_spatial=16), "a codec of 4 pictures by 8 pixels"),
    "endless positions": (_config("transformer/config.json", rope_max_seq_len=10**6), "rope_max_seq_len"),
    "endless layers": (_config("transformer/config.json", num_layers=10**6), "num_layers"),
    "another reader": (_config("text_encoder/config.json", architectures=["T5EncoderModel"]), "class 'T5EncoderModel'"),
    "damaged words": (
        lambda folder: (folder / "tokenizer" / "tokenizer.json").write_text("{}"),
        "tokenizer is damaged",
    ),
    "no words": (lambda folder: (folder / "tokenizer" / "tokenizer.json").unlink(), "no tokenizer.json"),
    "infinity": (_nan, "NaN or infinity"),
    "lost shard": (_lost, "the folder lacks"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_folders_are_refused_in_one_line(folder, what):
    change, words = BAD[what]
    change(folder)
    with pytest.raises(ModelError) as caught:
        load_prior(folder, prompt=PROMPT, device="cpu")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_codec_is_refused(wan, tmp_path):
    with pytest.raises(UsageError, match="has its own latents"):
        load_prior(wan, device="cpu", codec=tmp_path)
