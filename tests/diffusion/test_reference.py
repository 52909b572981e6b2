"""Laws of reference attention (spec scd.md, section 4: T1 to T17, T21, T23), on small random networks.

The oracle is one pass over references and targets stacked in a batch, each row at its own time, whose tokens meet only
inside self-attention, where the targets' rows look at the references' and not the other way round.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import pytest
import torch
from diffusers import UNet2DConditionModel, UNetMotionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch.nn import functional

from diorama.diffusion import reference
from diorama.diffusion.conditioning import Conditioning
from diorama.diffusion.motion_unet import adapt, predict, read_reference, spatial_view
from diorama.diffusion.reference import ReferenceCache
from diorama.errors import UsageError

SIZE, CHANNELS, DIM = 8, 4, 8


def picture_net(seed: int = 0, dtype: torch.dtype = torch.float32) -> UNet2DConditionModel:
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        in_channels=CHANNELS,
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=DIM,
        attention_head_dim=2,
    )
    adapt(unet)
    return loud(unet).to(dtype).eval()


def video_net(seed: int = 0) -> UNetMotionModel:
    torch.manual_seed(seed)
    unet = UNetMotionModel(
        in_channels=CHANNELS,
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"),
        up_block_types=("UpBlockMotion", "CrossAttnUpBlockMotion"),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=DIM,
        num_attention_heads=2,
        motion_num_attention_heads=2,
        motion_max_seq_length=8,
        use_motion_mid_block=True,
    )
    adapt(unet)
    return loud(unet).eval()


def loud(unet: torch.nn.Module) -> torch.nn.Module:
    """Attention that picks: with small random weights it would only average."""
    with torch.no_grad():
        for layer in reference.spatial_attentions(unet).values():
            layer.to_q.weight.mul_(4)
            layer.to_v.weight.mul_(3)
    return unet


def still(unet: UNetMotionModel) -> UNetMotionModel:
    """Motion modules that add nothing, as at the start of training."""
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if "motion_modules" in name and ".proj_out." in name:
                parameter.zero_()
    return unet


def draw(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def clip(count: int = 1, frames: int = 3, seed: int = 1, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return draw(count, CHANNELS, frames, SIZE, SIZE, seed=seed, dtype=dtype)


def pictures(count: int = 1, seed: int = 2, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return draw(count, CHANNELS, SIZE, SIZE, seed=seed, dtype=dtype)


def tokens(count: int = 1, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return draw(count, 3, DIM, seed=5, dtype=dtype)


def read(unet: torch.nn.Module, shown: torch.Tensor) -> ReferenceCache:
    return read_reference(unet, shown, Conditioning(context=tokens(len(shown), shown.dtype)))


def run(
    unet: torch.nn.Module, x: torch.Tensor, cache: ReferenceCache | None = None, time: float = 500.0
) -> torch.Tensor:
    cond = Conditioning(context=tokens(len(x), x.dtype), reference=cache)
    return predict(unet, x, torch.full((len(x),), time), cond)


class Joint:
    """The oracle's attention: the first rows are references, one for each of the others' equal parts."""

    def __init__(self, references: int) -> None:
        self.references = references

    def __call__(
        self, attn: Attention, hidden_states: torch.Tensor, encoder_hidden_states: None = None, **_: object
    ) -> torch.Tensor:
        def heads(x: torch.Tensor) -> torch.Tensor:
            return x.unflatten(2, (attn.heads, -1)).transpose(1, 2)

        out = []
        rows = (len(hidden_states) - self.references) // self.references
        for row, own in enumerate(hidden_states):
            of = hidden_states[(row - self.references) // rows] if row >= self.references else own[:0]
            both = torch.cat([own, of])[None]
            q, k, v = heads(attn.to_q(own[None])), heads(attn.to_k(both)), heads(attn.to_v(both))
            out.append(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return attn.to_out[0](torch.cat(out))


@contextmanager
def oracle(unet: torch.nn.Module, references: int) -> Iterator[None]:
    before = {name: layer.processor for name, layer in reference.spatial_attentions(unet).items()}
    for layer in reference.spatial_attentions(unet).values():
        layer.set_processor(Joint(references))
    yield
    for name, layer in reference.spatial_attentions(unet).items():
        layer.set_processor(before[name])


def joint(
    unet: torch.nn.Module, x: torch.Tensor, shown: torch.Tensor, *, time: float = 500.0, read_at: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """References and targets in one pass: what becomes of each."""
    frames = x.shape[2]
    rows = torch.cat([shown, x.transpose(1, 2).flatten(0, 1)])
    times = torch.tensor([read_at] * len(shown) + [time] * (len(x) * frames))
    context = torch.cat([tokens(len(shown), x.dtype), tokens(len(x), x.dtype).repeat_interleave(frames, 0)])
    with oracle(unet, len(shown)):
        out = unet(rows, times, context).sample
    return out[: len(shown)], out[len(shown) :].unflatten(0, (len(x), frames)).transpose(1, 2)


def far(one: torch.Tensor, two: torch.Tensor) -> float:
    return float((one - two).detach().double().abs().max() / two.detach().double().abs().max())


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    return picture_net()


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-5), (torch.float64, 1e-12), (torch.bfloat16, 5e-2)])
def test_two_passes_equal_the_joint_one(dtype: torch.dtype, most: float, gradients: bool) -> None:
    unet, x, shown = picture_net(dtype=dtype), clip(2, dtype=dtype), pictures(2, dtype=dtype)
    with torch.set_grad_enabled(gradients):  # two ways to the same: merged by log-sum-exp, or keys laid side by side
        out = run(unet, x, read(unet, shown))
    with torch.no_grad():
        assert far(out.detach(), joint(unet, x, shown)[1]) < most  # T1, T17


@torch.no_grad()
def test_the_reference_does_not_see_the_target(unet: UNet2DConditionModel) -> None:
    shown = pictures(1)
    assert torch.equal(joint(unet, clip(1, seed=3), shown)[0], joint(unet, clip(1, seed=4), shown)[0])  # T2
    cache = read(unet, shown)
    before = {name: each.clone() for name, each in cache.keys.items()}
    run(unet, clip(2), cache)
    assert all(torch.equal(before[name], each) for name, each in cache.keys.items())


@torch.no_grad()
def test_reading_and_no_reference_are_the_stock_network(unet: UNet2DConditionModel) -> None:
    stock = deepcopy(unet)
    for module in stock.modules():
        if isinstance(module, Attention):
            module.set_processor(AttnProcessor2_0())
    x, context = pictures(2), tokens(2)
    plain = stock(x, 0, context).sample
    told = unet(x, 0, context, cross_attention_kwargs={"reference": reference.Recorder()}).sample
    assert torch.equal(told, plain)  # T3
    assert torch.equal(unet(x, 0, context).sample, plain)


@torch.no_grad()
def test_each_video_follows_its_own_reference(unet: UNet2DConditionModel) -> None:
    x, shown = clip(1).expand(2, -1, -1, -1, -1), pictures(2)

    def out(which: torch.Tensor) -> torch.Tensor:
        cache = read_reference(unet, which, Conditioning(context=tokens(1)))
        return predict(unet, x, torch.full((2,), 500.0), Conditioning(context=tokens(1), reference=cache))

    straight, swapped = out(shown), out(shown.flip(0))
    assert far(straight[:1], straight[1:]) > 1e-3  # T4
    assert far(swapped.flip(0), straight) < 1e-5
    mixed = shown.flatten(2)[..., torch.randperm(SIZE * SIZE, generator=torch.Generator().manual_seed(0))]
    assert far(out(mixed.unflatten(2, (SIZE, SIZE))), straight) > 1e-3  # T5


@torch.no_grad()
@pytest.mark.parametrize("path", [False, True])
def test_strength(unet: UNet2DConditionModel, path: bool) -> None:
    x, cache = clip(2), read(unet, pictures(1))
    with torch.set_grad_enabled(path):
        off, on = run(unet, x), run(unet, x, cache)
        assert far(on, off) > 1e-3  # T6
        assert far(run(unet, x, cache.scaled(0)), off) < 1e-6
        assert far(run(unet, x, cache.scaled(1e-6)), off) < 1e-3
        assert far(run(unet, x, cache.scaled(1)), on) < 1e-6
        twice = run(unet, x, cache.joined(cache))
        assert far(twice, on) > 1e-4  # T11
        assert far(run(unet, x, cache.scaled(2)), twice) < 1e-5
        assert far(run(unet, x, cache.scaled(0).scaled(0).scaled(0).scaled(0).scaled(0)), off) < 1e-6


@torch.no_grad()
def test_one_cache_serves_all_times_and_only_the_references_own_time_counts(unet: UNet2DConditionModel) -> None:
    x, shown = clip(1), pictures(1)
    cache = read(unet, shown)
    for time in (900.0, 500.0, 100.0):
        assert torch.equal(run(unet, x, cache, time), run(unet, x, read(unet, shown), time))  # T7
    assert far(joint(unet, x, shown, read_at=500.0)[1], run(unet, x, cache)) > 1e-3  # T8


@torch.no_grad()
def test_order_of_reference_tokens_does_not_matter(unet: UNet2DConditionModel) -> None:
    cache, x = read(unet, pictures(1)), clip(1)

    def mixed(table: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: each[:, :, torch.arange(each.shape[2]).flip(0).roll(3)] for name, each in table.items()}

    other = ReferenceCache(mixed(dict(cache.keys)), mixed(dict(cache.values)), cache.grid, cache.signature)
    assert far(run(unet, x, other), run(unet, x, cache)) < 1e-5  # T9


@torch.no_grad()
def test_a_picture_that_refers_to_itself_changes_nothing(unet: UNet2DConditionModel) -> None:
    shown = pictures(1)
    assert (
        far(run(unet, shown[:, :, None], read(unet, shown), 0.0), run(unet, shown[:, :, None], None, 0.0)) < 1e-5
    )  # T10


@torch.no_grad()
def test_videos_frames_and_windows_do_not_touch_each_other(unet: UNet2DConditionModel) -> None:
    x, shown = clip(2), pictures(2)
    together = run(unet, x, read(unet, shown))
    context = tokens(2)
    for video in range(2):
        own = read_reference(unet, shown[video : video + 1], Conditioning(context=context[video : video + 1]))
        cond = Conditioning(context=context[video : video + 1], reference=own)
        alone = predict(unet, x[video : video + 1, :, 1:2], torch.tensor([500.0]), cond)
        assert far(alone, together[video : video + 1, :, 1:2]) < 1e-5  # T12
    order = torch.tensor([2, 0, 1])
    assert far(run(unet, x[:, :, order], read(unet, shown)), together[:, :, order]) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("shared", [True, False])
def test_windows_stacked_in_a_batch(shared: bool) -> None:
    unet = video_net()
    view = spatial_view(unet)
    x = clip(2, frames=5)
    shown = pictures(1 if shared else 2)
    cache = read_reference(view, shown, Conditioning(context=tokens(len(shown))), reader=unet)
    cond = Conditioning(context=tokens(2), reference=cache, residual=draw(2, 16, 5, SIZE, SIZE, seed=9))
    spans = torch.tensor([[0, 1, 2], [2, 3, 4]])
    rows = torch.cat([x[:, :, span] for span in spans])
    out = predict(unet, rows, torch.full((4,), 300.0), cond.cut(spans))
    for number, span in enumerate(spans):
        alone = predict(unet, x[:, :, span], torch.full((2,), 300.0), cond.cut(span[None]))
        assert far(out[2 * number : 2 * number + 2], alone) < 1e-5


def grads(unet: torch.nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    unet.zero_grad()
    loss.backward()
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in unet.named_parameters()}


def distance(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor], part: str = "") -> float:
    names = [name for name in two if part in name]
    gap = sum(float((one[name] - two[name]).double().square().sum()) for name in names)
    return (gap / sum(float(two[name].double().square().sum()) for name in names)) ** 0.5


def test_gradients_of_two_passes_equal_the_joint_ones() -> None:
    unet, x, shown = picture_net(dtype=torch.float64), clip(1, dtype=torch.float64), pictures(1, dtype=torch.float64)
    two = grads(unet, run(unet, x, read(unet, shown)).square().mean())
    one = grads(unet, joint(unet, x, shown)[1].square().mean())
    assert distance(two, one) < 1e-12  # T13


@pytest.mark.parametrize("video", [False, True])
def test_gradient_checkpointing_changes_nothing(video: bool) -> None:
    def passes(checkpointing: bool) -> dict[str, torch.Tensor]:
        unet = video_net().train() if video else picture_net().train()
        view = spatial_view(unet) if isinstance(unet, UNetMotionModel) else unet
        if checkpointing:
            unet.enable_gradient_checkpointing()
            view.enable_gradient_checkpointing()
        cache = read_reference(view, pictures(1), Conditioning(context=tokens(1)), reader=unet)
        return grads(unet, run(unet, clip(2), cache).square().mean())

    assert distance(passes(True), passes(False)) == 0.0  # T13


def test_a_detached_cache_changes_spatial_gradients_and_not_those_of_motion() -> None:
    unet = video_net()
    view = spatial_view(unet)

    def passes(reading: bool) -> dict[str, torch.Tensor]:
        with torch.set_grad_enabled(reading):
            cache = read_reference(view, pictures(1), Conditioning(context=tokens(1)), reader=unet)
        return grads(unet, run(unet, clip(1), cache).square().mean())

    whole, cut = passes(True), passes(False)
    assert distance(cut, whole, "motion_modules") == 0.0  # T13
    assert distance(cut, whole, ".attentions.") > 1e-4


class Canvas:
    """Reference and target side by side in one wide picture, with only the mask between them."""

    def __call__(self, attn: Attention, hidden_states: torch.Tensor, **_: object) -> torch.Tensor:
        side = round((hidden_states.shape[1] / 2) ** 0.5)
        right = (torch.arange(hidden_states.shape[1]) % (2 * side)) >= side
        q, k, v = (
            layer(hidden_states).unflatten(2, (attn.heads, -1)).transpose(1, 2)
            for layer in (attn.to_q, attn.to_k, attn.to_v)
        )
        seen = right[:, None] | ~right[None]
        out = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return attn.to_out[0](out.transpose(1, 2).flatten(2))


@torch.no_grad()
def test_a_wide_canvas_with_the_mask_alone_is_no_oracle(unet: UNet2DConditionModel) -> None:
    canvas = deepcopy(unet)
    for layer in reference.spatial_attentions(canvas).values():
        layer.set_processor(Canvas())
    halves = [
        canvas(torch.cat([pictures(1), pictures(1, seed=seed)], dim=3), 0, tokens(1)).sample[..., :SIZE]
        for seed in (6, 7)
    ]
    assert far(*halves) > 1e-2  # T14: convolutions and norms cross the seam


@torch.no_grad()
def test_what_starts_as_zero_changes_nothing() -> None:
    peft = pytest.importorskip("peft")
    unet = still(video_net())
    view, x = spatial_view(unet), clip(2)
    cache = read_reference(view, pictures(1), Conditioning(context=tokens(1)), reader=unet)
    base = run(unet, x, cache)
    frames = x.transpose(1, 2).flatten(0, 1)[:, :, None]
    cond = Conditioning(context=tokens(2).repeat_interleave(3, 0), reference=cache)
    each = predict(view, frames, torch.full((6,), 500.0), cond_for(view, cond, unet))
    assert far(each[:, :, 0].unflatten(0, (2, 3)).transpose(1, 2), base) < 1e-5  # T15, motion; T12
    posed = Conditioning(context=tokens(2), reference=cache, residual=torch.zeros(2, 16, 3, SIZE, SIZE))
    assert torch.equal(predict(unet, x, torch.full((2,), 500.0), posed), base)  # T15, pose
    unet.add_adapter(peft.LoraConfig(target_modules=r".*attentions.*attn1\.to_[qkv]", r=2))
    again = read_reference(view, pictures(1), Conditioning(context=tokens(1)), reader=unet)
    assert torch.equal(run(unet, x, again), base)  # T15, LoRA


def cond_for(view: torch.nn.Module, cond: Conditioning, unet: torch.nn.Module) -> Conditioning:
    cache = read_reference(view, pictures(1), Conditioning(context=tokens(1)))
    assert cond.reference is not None
    assert all(torch.equal(cache.keys[name], each) for name, each in cond.reference.keys.items())
    return Conditioning(context=cond.context, reference=cache)


@torch.no_grad()
def test_lora_is_read_by_the_picture_network_inside_and_makes_caches_stale() -> None:
    peft = pytest.importorskip("peft")
    unet = video_net()
    view, x = spatial_view(unet), clip(1)
    unet.add_adapter(peft.LoraConfig(target_modules=r".*attentions.*(attn1\.to_[qkv]|ff\.net\.2)", r=2), "one")
    for name, parameter in unet.named_parameters():
        if "lora_B" in name:
            parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(len(name)))

    def cached() -> ReferenceCache:
        return read_reference(view, pictures(1), Conditioning(context=tokens(1)), reader=unet)

    cache = cached()
    with_lora = run(unet, x, cache)
    for change in (lambda: unet.set_adapters(["one"], [0.5]), unet.disable_adapters):
        change()
        with pytest.raises(UsageError, match="changed after the reference was read"):  # T21
            run(unet, x, cache)
        assert far(run(unet, x, cached()), with_lora) > 1e-4
        cache = cached()


@torch.no_grad()
def test_a_cache_that_does_not_belong_is_refused(unet: UNet2DConditionModel) -> None:
    own = deepcopy(unet)
    cache, x = read(own, pictures(1)), clip(1)
    with pytest.raises(UsageError, match="a reference of 8 x 8 latents for a video of 6 x 8"):
        run(own, x[..., :6], cache)
    with pytest.raises(UsageError, match=r"torch\.bfloat16"):
        run(own, x, cache.to("cpu", torch.bfloat16))
    with pytest.raises(UsageError, match="changed"):
        run(deepcopy(own), x, cache)
    with pytest.raises(UsageError, match="2 references for 3 videos"):
        run(own, clip(3), read(own, pictures(2)))
    own.down_blocks[0].resnets[0].conv1.weight.add_(1)  # not in attention, but the tokens come from there
    with pytest.raises(UsageError, match="changed"):
        run(own, x, cache)
    with pytest.raises(UsageError, match="recorded by another network"):
        read_reference(own, pictures(1), Conditioning(context=tokens(1)), reader=video_net())
    with pytest.raises(UsageError, match="spatial_view"):
        read_reference(video_net(), pictures(1), Conditioning(context=tokens(1)))


@torch.no_grad()
def test_several_references_and_their_masks(unet: UNet2DConditionModel) -> None:
    x, one, two = clip(2), read(unet, pictures(1, seed=2)), read(unet, pictures(1, seed=3))
    both = run(unet, x, one.joined(two))
    assert far(both, run(unet, x, two.joined(one))) < 1e-5
    assert far(both, run(unet, x, one)) > 1e-4
    assert far(run(unet, x, one.joined(two.scaled(0))), run(unet, x, one)) < 1e-6
    assert far(run(unet, x, one.masked(torch.ones(1, SIZE, SIZE))), run(unet, x, one)) < 1e-6
    left = torch.zeros(1, SIZE, SIZE)
    left[..., : SIZE // 2] = 1
    cut = (
        {name: _left(each) for name, each in one.keys.items()},
        {name: _left(each) for name, each in one.values.items()},
    )
    assert far(run(unet, x, one.masked(left)), run(unet, x, ReferenceCache(*cut, one.grid, one.signature))) < 1e-5
    for wrong in (torch.ones(1, 4, 4), torch.ones(2, SIZE, SIZE), torch.zeros(1, SIZE, SIZE), 2 * left, left / 0):
        with pytest.raises(UsageError):
            one.masked(wrong)
    with pytest.raises(UsageError, match="before joining"):
        one.joined(two).masked(left)
    for strength in (-1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="strength"):
            one.scaled(strength)
    with pytest.raises(UsageError, match="as many videos"):
        one.joined(read(unet, pictures(2)))


def _left(each: torch.Tensor) -> torch.Tensor:
    side = round(each.shape[2] ** 0.5)
    return each.unflatten(2, (side, side))[:, :, :, : side // 2].flatten(2, 3)


@torch.no_grad()
def test_dropped_references_of_single_videos(unet: UNet2DConditionModel) -> None:
    x, cache = clip(2), read(unet, pictures(2))
    whole, none = run(unet, x, cache), run(unet, x)
    part = run(unet, x, cache.kept(torch.tensor([True, False])))
    assert far(part[:1], whole[:1]) < 1e-6
    assert torch.equal(part[1:], none[1:])
    with pytest.raises(UsageError, match="3 flags for 2 references"):
        cache.kept(torch.tensor([True, True, True]))


@torch.no_grad()
def test_half_precision_keeps_what_is_hidden_hidden(unet: UNet2DConditionModel) -> None:
    cache = read(unet, pictures(1)).scaled(0).to("cpu", torch.float16)
    assert cache.bias is not None
    assert all(bool(torch.isfinite(bias).all()) for bias in cache.bias.values())
    half = deepcopy(unet).half()
    off = ReferenceCache(cache.keys, cache.values, cache.grid, reference.signature(half), cache.bias)
    assert far(run(half, clip(1, dtype=torch.float16), off), run(half, clip(1, dtype=torch.float16))) < 1e-3


def test_identity_follows_the_reference_after_a_little_training() -> None:
    """T23: two identities (textures) in two poses (places); then a reference in another pose decides who is drawn."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        in_channels=CHANNELS,
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=DIM,
        attention_head_dim=2,
    )
    adapt(unet)
    looks = 2 * draw(2, CHANNELS, 1, 1, seed=11).expand(-1, -1, SIZE, SIZE // 2)

    def scene(who: int, where: int) -> torch.Tensor:
        out = torch.zeros(CHANNELS, SIZE, SIZE)
        out[:, :, 4 * where : 4 * where + 4] = looks[who]
        return out

    places = torch.zeros(2, 16, 1, SIZE, SIZE)
    places[0, :, :, :, :4], places[1, :, :, :, 4:] = 1, 1
    cases = [(who, where) for who in (0, 1) for where in (0, 1)]
    clean = torch.stack([scene(*case) for case in cases])[:, :, None]
    other = torch.stack([scene(who, 1 - where) for who, where in cases])  # the same person, elsewhere
    pose = torch.stack([places[where] for _, where in cases])
    times = torch.full((4,), 999.0)
    optimiser = torch.optim.Adam(unet.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(0)

    def drawn(shown: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(clean.shape, generator=generator)
        return predict(
            unet, noise, times, Conditioning(reference=read_reference(unet, shown, Conditioning()), residual=pose)
        )

    for _ in range(45):
        optimiser.zero_grad()
        (drawn(other) - clean).square().mean().backward()
        optimiser.step()
    with torch.no_grad():
        right = (drawn(other) - clean).square().mean()
        swapped = drawn(other[[2, 3, 0, 1]])  # each the other person's reference, the pose stays
        follows = (swapped - clean[[2, 3, 0, 1]]).square().mean()
        ignores = (swapped - clean).square().mean()
    assert right < 0.1 * clean.square().mean()
    assert follows < 0.2 * ignores
