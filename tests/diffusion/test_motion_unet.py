"""UNets of diffusers with conditions: what they take and refuse, what a reference costs (scd.md T16, T19, T20, T22)."""

import math
from pathlib import Path

import pytest
import torch
from diffusers import MotionAdapter, UNet2DConditionModel, UNet3DConditionModel, UNetMotionModel
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from torch.utils.flop_counter import FlopCounterMode

from diorama.diffusion import reference
from diorama.diffusion.attend import attend
from diorama.diffusion.conditioning import Conditioning
from diorama.diffusion.denoise import from_v, guided
from diorama.diffusion.guidance import guided_together
from diorama.diffusion.levels import NOISE, schedule
from diorama.diffusion.motion_unet import adapt, bind, predict, read_reference, spatial_view
from diorama.errors import UsageError

DIM = 8


def motion_unet(channels: int = 4, *, per_frame_norm: bool = True) -> UNetMotionModel:
    torch.manual_seed(0)
    unet = UNetMotionModel(
        in_channels=channels,
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"),
        up_block_types=("UpBlockMotion", "CrossAttnUpBlockMotion"),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=DIM,
        num_attention_heads=2,
        motion_num_attention_heads=2,
        motion_max_seq_length=6,
        use_motion_mid_block=True,
    )
    adapt(unet, per_frame_norm=per_frame_norm)
    return unet.eval()


def zeroscope(seed: int = 0) -> UNet3DConditionModel:
    torch.manual_seed(seed)
    unet = UNet3DConditionModel(
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=DIM,
        attention_head_dim=4,
    )
    for name, parameter in unet.named_parameters():  # its temporal layers start as zero
        if "temp_convs" in name and name.endswith("conv4.3.weight"):
            torch.nn.init.normal_(parameter, std=0.1)
    return unet.eval()


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def far(one: torch.Tensor, two: torch.Tensor) -> float:
    return float((one - two).abs().max() / two.abs().max())


@torch.no_grad()
def test_zeroscope_takes_one_context_a_video(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain = zeroscope()
    x, context = draw(2, 4, 3, 8, 8), draw(2, 5, DIM, seed=2)
    wanted = plain(x, torch.tensor([7, 7]), context).sample
    unet = adapt(zeroscope())
    assert torch.equal(bind(unet, Conditioning(context=context))(x, 7.0), wanted)
    assert unet.state_dict().keys() == plain.state_dict().keys()
    shared = bind(unet, Conditioning(context=context[:1]))(x, 7.0)
    assert far(shared[:1], wanted[:1]) < 1e-5
    assert far(shared[1:], wanted[1:]) > 1e-4
    assert torch.equal(bind(unet, Conditioning())(x, 7.0), plain(x, 7, torch.zeros(2, 1, DIM)).sample)
    unet.save_pretrained(tmp_path)
    again = adapt(UNet3DConditionModel.from_pretrained(tmp_path).eval())
    assert torch.equal(bind(again, Conditioning(context=context))(x, 7.0), wanted)
    with pytest.raises(UsageError, match="one for each video"):
        bind(unet, Conditioning(context=draw(2, 3, 5, DIM)))(x, 7.0)
    cache = picture_cache(unet, x)
    with_reference = bind(unet, Conditioning(context=context, reference=cache))(x, 7.0)
    assert far(with_reference, wanted) > 1e-5
    assert "will be ignored" not in caplog.text  # temporal layers are told of the reference, too, and stay quiet
    posed = bind(unet, Conditioning(context=context, residual=draw(2, 16, 3, 8, 8)))(x, 7.0)
    assert far(posed, wanted) > 1e-4


def picture_cache(unet: torch.nn.Module, x: torch.Tensor) -> reference.ReferenceCache:
    """A reference of random tokens, in the layers of `unet`."""
    tokens = {}
    for name, layer in reference.spatial_attentions(unet).items():
        count = 64 if ".0." in name and "mid" not in name else 16
        tokens[name] = draw(1, count, layer.to_k.weight.shape[1], seed=len(name))
    return reference.project(unet, tokens, (x.shape[3], x.shape[4]))


@torch.no_grad()
def test_context_by_video_frame_and_window() -> None:
    unet, x = motion_unet(), draw(2, 4, 4, 8, 8)
    whole = draw(2, 3, DIM, seed=2)
    by_video = bind(unet, Conditioning(context=whole))(x, 500.0)
    by_frame = Conditioning(context=whole[:, None].expand(-1, 4, -1, -1))
    assert torch.equal(bind(unet, by_frame)(x, 500.0), by_video)
    assert torch.equal(bind(unet, Conditioning(context=whole[:1]))(x, 500.0)[:1], by_video[:1])
    with pytest.raises(UsageError, match="context of 4 frames for 3 frames"):
        bind(unet, by_frame)(x[:, :, :3], 500.0)
    with pytest.raises(UsageError, match="for 2 videos"):
        bind(unet, Conditioning(context=draw(3, 3, DIM)))(x, 500.0)
    spans = torch.tensor([[0, 1], [2, 3]])
    rows = torch.cat([x[:, :, span] for span in spans])
    cut = bind(unet, by_frame.cut(spans))(rows, 500.0)
    assert far(cut[2:], bind(unet, by_frame.cut(spans[1:]))(rows[2:], 500.0)) < 1e-5


@torch.no_grad()
def test_what_does_not_fit_is_refused() -> None:
    unet, x = motion_unet(8), draw(1, 4, 3, 8, 8)
    with pytest.raises(UsageError, match="4 channels of latents and concat, the network takes 8"):
        bind(unet, Conditioning())(x, 0.0)
    with pytest.raises(UsageError, match="a condition"):
        bind(unet, Conditioning(concat=draw(1, 4, 2, 8, 8)))(x, 0.0)
    with pytest.raises(UsageError, match="cpu"):
        bind(unet, Conditioning(concat=torch.empty(1, 4, 3, 8, 8, device="meta")))(x, 0.0)
    with pytest.raises(UsageError, match="residual"):
        bind(unet, Conditioning(concat=x, residual=draw(1, 7, 3, 8, 8)))(x, 0.0)
    with pytest.raises(UsageError, match="7 frames, the network has positions for 6"):
        bind(unet, Conditioning(concat=draw(1, 4, 7, 8, 8)))(draw(1, 4, 7, 8, 8), 0.0)
    odd = motion_unet()
    next(iter(reference.spatial_attentions(odd).values())).residual_connection = True
    with pytest.raises(UsageError, match="another kind"):
        reference.install(odd)


@torch.no_grad()
def test_times_of_single_videos() -> None:
    unet, x = motion_unet(), draw(2, 4, 3, 8, 8)
    both = predict(unet, x, torch.tensor([100.0, 900.0]), Conditioning())
    assert far(both[1:], bind(unet, Conditioning())(x[1:], 900.0)) < 1e-5


@torch.no_grad()
def test_the_norm_of_motion_modules_sees_one_frame_or_all() -> None:
    x = draw(1, 4, 4, 8, 8) * torch.tensor([0.1, 1.0, 3.0, 9.0])[:, None, None]
    frame, pooled = (bind(motion_unet(per_frame_norm=flag), Conditioning())(x, 500.0) for flag in (True, False))
    assert far(frame, pooled) > 1e-4
    one = [motion_unet(per_frame_norm=flag) for flag in (True, False)]
    assert far(*(bind(each, Conditioning())(x[:, :, :1], 500.0) for each in one)) < 1e-6
    assert one[0].state_dict().keys() == one[1].state_dict().keys()


@torch.no_grad()
def test_the_picture_network_inside_is_the_very_same_layers() -> None:
    unet = motion_unet()
    view = spatial_view(unet)
    own = dict(unet.named_parameters())
    spatial = {name for name in own if "motion_modules" not in name}
    assert {name for name, _ in view.named_parameters()} == spatial
    assert all(parameter is own[name] for name, parameter in view.named_parameters())
    assert all(layer is unet.get_submodule(name) for name, layer in reference.spatial_attentions(view).items())
    x = draw(2, 4, 8, 8)
    stock = UNet2DConditionModel.from_config(view.config).eval()
    stock.load_state_dict(view.state_dict())
    assert torch.equal(view(x, 3, draw(2, 2, DIM)).sample, stock(x, 3, draw(2, 2, DIM)).sample)
    assert (
        far(bind(unet, Conditioning())(x[:, :, None], 3.0)[:, :, 0], stock(x, 3, torch.zeros(2, 1, DIM)).sample) > 1e-3
    )
    unet.to(torch.float64)
    assert next(view.parameters()).dtype == torch.float64


@torch.no_grad()
@pytest.mark.parametrize("scale", [3.5, torch.tensor([1.0, 2.0, 3.0])])
def test_guidance_in_one_call_equals_two(scale: float | torch.Tensor) -> None:
    unet, x = motion_unet(), draw(2, 4, 3, 8, 8)
    view, trained = spatial_view(unet), schedule(zero_terminal_snr=True)
    context, residual = draw(2, 3, DIM, seed=2), draw(2, 16, 3, 8, 8)

    def conditions(seed: int) -> tuple[Conditioning, Conditioning]:
        shown = Conditioning(context=draw(1, 3, DIM))
        cache = read_reference(view, draw(1, 4, 8, 8, seed=seed), shown, reader=unet)
        return Conditioning(context=context, reference=cache, residual=residual), Conditioning(residual=residual)

    def of(cond: Conditioning):
        return from_v(bind(unet, cond), trained)

    cond, free = conditions(3)
    level = trained.at(500)
    for rescale in (0.0, 0.7):
        one = guided_together(of, cond, free, scale, rescale=rescale)(x, level)
        assert far(one, guided(of(cond), of(free), scale, rescale=rescale)(x, level)) < 1e-5
    assert guided_together(of, cond, free, 2.0)(x, NOISE).isfinite().all()
    outside = guided_together(of, cond, free, scale, interval=(0.0, level.ratio / 2))(x, level)
    assert torch.equal(outside, of(cond)(x, level))
    assert torch.equal(guided_together(of, cond, None, 1.0)(x, level), of(cond)(x, level))  # T16
    both = torch.cat([x, x])
    rows = [of(conditions(seed)[0].beside(free, 2))(both, level) for seed in (3, 4)]
    assert torch.equal(rows[0][2:], rows[1][2:])  # T16: bit for bit, whatever the reference
    assert far(rows[0][:2], rows[1][:2]) > 1e-5
    with pytest.raises(UsageError, match="without an unconditional"):
        guided_together(of, cond, None, 2.0)
    with pytest.raises(UsageError, match="bind both one by one"):
        cond.beside(Conditioning(context=draw(2, 5, DIM)), 2)
    with pytest.raises(UsageError, match="bind both one by one"):
        free.beside(cond, 2)


@torch.no_grad()
def test_one_token_of_context_takes_a_shorter_way() -> None:
    unet, x = motion_unet(), draw(1, 4, 3, 8, 8)
    cond = Conditioning(context=draw(1, 1, DIM))
    short = bind(unet, cond)(x, 500.0)
    with torch.enable_grad():
        full = bind(unet, cond)(x, 500.0)
    assert far(short, full.detach()) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("hidden", [False, True])
def test_the_log_sum_exp_is_that_of_the_logits(dtype: torch.dtype, hidden: bool) -> None:
    q, k, v = (draw(2, 3, count, 8, seed=count).to(dtype) for count in (5, 7, 7))
    bias = draw(2, 1, 1, 7).to(dtype) if hidden else None
    logits = q.double() @ k.double().transpose(-1, -2) / math.sqrt(8) + (0 if bias is None else bias.double())
    out, sums = attend(q, k, v, bias)
    most = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 3e-2}[dtype]
    assert far(sums.double(), logits.logsumexp(dim=-1)) < most
    assert far(out.double(), logits.softmax(dim=-1) @ v.double()) < most


@pytest.fixture(scope="module")
def full_size() -> UNet2DConditionModel:
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768)
    adapt(unet)
    return unet.eval()


def test_names_at_full_size(full_size: UNet2DConditionModel) -> None:
    with torch.device("meta"):
        video = adapt(UNetMotionModel(cross_attention_dim=768, num_attention_heads=8, use_motion_mid_block=True))
        adapter, pose = MotionAdapter(), ControlNetConditioningEmbedding(320, 3, (16, 32, 96, 256))
    motion = {name: each.shape for name, each in video.state_dict().items() if ".motion_modules." in name}
    spatial = {name: each.shape for name, each in video.state_dict().items() if name not in motion}
    assert len(full_size.state_dict()) == 686  # T19
    assert spatial == {name: each.shape for name, each in full_size.state_dict().items()}
    assert motion == {name: each.shape for name, each in adapter.state_dict().items()}
    assert len(motion) == 567
    assert sum(p.numel() for p in pose.parameters()) == 1_086_480
    assert len(pose.state_dict()) == 16
    layers = reference.spatial_attentions(video)
    assert len(layers) == 16  # T20
    assert all(isinstance(layer.processor, reference.ReferenceAttention) for layer in layers.values())
    others = [m for n, m in video.named_modules() if ".motion_modules." in n and hasattr(m, "processor")]
    assert others
    assert not any(isinstance(m.processor, reference.ReferenceAttention | reference.QuietAttention) for m in others)
    view = spatial_view(video)
    assert view.state_dict().keys() == full_size.state_dict().keys()


def test_a_reference_costs_its_attention_and_nothing_more(full_size: UNet2DConditionModel) -> None:
    """T22, scd.md section 2: A = 122.49 G at 512 x 512, not the projections of its tokens, nor rows done twice."""
    levels = ((4096, 320, 5), (1024, 640, 5), (256, 1280, 5), (64, 1280, 1))
    added = sum(layers * 4 * tokens**2 * width for tokens, width, layers in levels)
    assert round(added / 1e9, 2) == 122.49
    with torch.device("meta"), torch.no_grad():
        cache = read_reference(full_size, torch.empty(1, 4, 64, 64), Conditioning(context=torch.empty(1, 1, 768)))
        assert len(cache.keys) == 16
        elements = 2 * sum(tokens * width * layers for tokens, width, layers in levels)
        assert cache.nbytes == 4 * elements
        assert cache.to("meta", torch.float16).nbytes == 2 * elements == round(44.0625 * 2**20)  # T20

        def cost(width: int, frames: int = 1, cond: Conditioning | None = None, videos: int = 1) -> int:
            told = cond or Conditioning(context=torch.empty(1, 2, 768))
            with FlopCounterMode(display=False) as counter:
                predict(full_size, torch.empty(videos, 4, frames, 64, width), torch.zeros(videos), told)
            return counter.get_total_flops()

        plain = cost(64)
        cond = Conditioning(context=torch.empty(1, 2, 768), reference=cache)
        with_reference = cost(64, cond=cond)
        assert with_reference - plain == pytest.approx(added, rel=1e-3)
        assert cost(128) == pytest.approx(2 * with_reference, rel=1e-3)  # a canvas of twice the width
        assert cost(64, 3, cond) == 3 * with_reference  # nothing is paid by the cache again
        both = cond.beside(Conditioning(context=torch.empty(1, 2, 768)), 1)
        assert cost(64, cond=both, videos=2) == plain + with_reference  # guidance: the other row pays nothing
