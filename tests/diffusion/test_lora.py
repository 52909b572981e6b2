"""LoRA files: the layouts are one, merging is exact and can be taken back."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from diorama.diffusion.checkpoint import read_tensors
from diorama.diffusion.families import detect, shapes_of
from diorama.diffusion.lora import Pair, attach, detach, lora_tensors, merge, read_lora, unmerge
from diorama.errors import ModelError


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.to_q, self.to_k = nn.Linear(6, 8, bias=False), nn.Linear(6, 8)
        self.to_out = nn.ModuleList([nn.Linear(8, 6)])


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, 6, 3, padding=1)
        self.other = nn.ModuleDict({"conv_in": nn.Linear(2, 2)})  # ends in the same name
        self.mid_block = nn.ModuleDict({"attn_1": Attention()})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.conv_in(x).flatten(2).transpose(1, 2)
        attention = self.mid_block["attn_1"]
        return attention.to_out[0](torch.tanh(attention.to_q(tokens)) + attention.to_k(tokens))


def network() -> Net:
    torch.manual_seed(0)
    return Net()


def pairs() -> dict[str, Pair]:
    torch.manual_seed(1)
    return {
        "mid_block.attn_1.to_q": Pair(torch.randn(2, 6), torch.randn(8, 2), 1.0),
        "mid_block.attn_1.to_out.0": Pair(torch.randn(3, 8), torch.randn(6, 3), 3.0),
        "conv_in": Pair(torch.randn(2, 3, 3, 3), torch.randn(6, 2, 1, 1), 4.0),
    }


def kohya(pair: dict[str, Pair]) -> dict[str, torch.Tensor]:
    found = {}
    for name, one in pair.items():
        stem = "lora_unet_" + name.replace(".", "_")
        found |= {f"{stem}.lora_down.weight": one.down, f"{stem}.lora_up.weight": one.up}
        found[f"{stem}.alpha"] = torch.tensor(one.alpha)
    return found


def peft_style(pair: dict[str, Pair], prefix: str, adapter: str) -> dict[str, torch.Tensor]:
    """Without alphas: they are the caller's; here every up is scaled so that alpha = rank."""
    found = {}
    for name, one in pair.items():
        found[f"{prefix}{name}.lora_A{adapter}.weight"] = one.down
        found[f"{prefix}{name}.lora_B{adapter}.weight"] = one.up * (one.alpha / one.rank)
    return found


def old_diffusers(pair: dict[str, Pair]) -> dict[str, torch.Tensor]:
    found = {}
    for name, one in pair.items():
        head, _, leaf = name.removesuffix(".0").rpartition(".")
        stem = f"unet.{head}.processor.{leaf}_lora" if leaf.startswith("to_") else f"unet.{name}.lora"
        found |= {f"{stem}.down.weight": one.down, f"{stem}.up.weight": one.up * (one.alpha / one.rank)}
    return found


@pytest.mark.parametrize(
    ("layout", "family"),
    [("kohya", "lora-kohya"), ("peft", "lora-peft"), ("adapter", "lora-peft"), ("diffusers", "lora-diffusers")],
)
def test_the_layouts_are_one(layout: str, family: str, tmp_path: Path) -> None:
    made = {
        "kohya": kohya(pairs()),
        "peft": peft_style(pairs(), "base_model.model.", ""),
        "adapter": peft_style(pairs(), "unet.", ".default"),
        "diffusers": old_diffusers(pairs()),
    }[layout]
    assert detect(shapes_of(made)).name == family
    save_file(made, tmp_path / "lora.safetensors")
    lora = read_lora(read_tensors(tmp_path / "lora.safetensors"))
    net, true = network(), network()
    merge(net, lora.modules, scale=0.7)
    merge(true, pairs(), scale=0.7)
    for name, place in net.state_dict().items():
        torch.testing.assert_close(place, true.state_dict()[name], rtol=1e-6, atol=1e-6)
    again = read_lora(lora_tensors(lora))
    assert again.modules.keys() == lora.modules.keys()
    assert all(torch.equal(again.modules[name].up, pair.up) for name, pair in lora.modules.items())


def test_a_merge_is_the_sum_and_is_taken_back_bit_by_bit() -> None:
    net = network().to(torch.bfloat16)
    shared, base = net.conv_in.weight, {name: place.clone() for name, place in net.state_dict().items()}
    merged = merge(net, pairs(), scale=0.5)
    other = merge(net, {"conv_in": pairs()["conv_in"]}, scale=3)
    assert net.conv_in.weight is shared, "others may hold the same parameter"
    unmerge(net, other)
    pair = pairs()["mid_block.attn_1.to_q"]
    expected = base["mid_block.attn_1.to_q.weight"].float() + 0.5 * 1.0 / 2 * pair.up @ pair.down
    assert torch.equal(net.mid_block["attn_1"].to_q.weight, expected.to(torch.bfloat16))
    changed = {name for name, place in net.state_dict().items() if not torch.equal(place, base[name])}
    assert changed == {f"{name}.weight" for name in pairs()}
    unmerge(net, merged)
    assert all(torch.equal(place, base[name]) for name, place in net.state_dict().items())


def test_attached_equals_merged_and_comes_off_again() -> None:
    pytest.importorskip("peft")
    x, net, true = torch.randn(1, 3, 4, 4), network(), network()
    before = net(x)
    attach(net, pairs(), scale=0.7)
    merge(true, pairs(), scale=0.7)
    torch.testing.assert_close(net(x), true(x), rtol=1e-5, atol=1e-5)
    assert type(net.other["conv_in"]) is nn.Linear
    assert not torch.allclose(net(x), before)
    detach(net)
    assert torch.equal(net(x), before)
    assert net.state_dict().keys() == network().state_dict().keys()


def test_motion_loras_and_text_encoders_are_named_as_in_diffusers() -> None:
    layer = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.1.processor.to_q"
    text = "lora_te_text_model_encoder_layers_0_mlp_fc1"
    down, up = torch.zeros(2, 6), torch.zeros(8, 2)
    made = {f"{layer}_lora.down.weight": down, f"{layer}_lora.up.weight": up}
    lora = read_lora({**made, f"{text}.lora_down.weight": down, f"{text}.lora_up.weight": up})
    assert list(lora.modules) == ["down_blocks.0.motion_modules.0.transformer_blocks.0.attn2.to_q"]
    assert list(lora.text_modules) == ["text_model_encoder_layers_0_mlp_fc1"]


def test_what_does_not_belong_is_named_and_nothing_is_changed() -> None:
    net = network()
    base = {name: place.clone() for name, place in net.state_dict().items()}
    strange = {**pairs(), "mid_block.attn_9.to_q": pairs()["conv_in"], "conv_out": pairs()["conv_in"]}
    with pytest.raises(ModelError, match=r"2 of 5 layers are not in Net: mid_block\.attn_9\.to_q, conv_out"):
        merge(net, strange)
    with pytest.raises(ModelError, match=r"conv_in \(8 x \(6,\), expected \(6, 3, 3, 3\)\)"):
        merge(net, {**pairs(), "conv_in": pairs()["mid_block.attn_1.to_q"]})
    assert all(torch.equal(place, base[name]) for name, place in net.state_dict().items())
    good = kohya(pairs())
    stem = "lora_unet_conv_in"
    for change, says in (
        ({"x.hada_w1_a": torch.zeros(2)}, "x.hada_w1_a"),
        ({"conv_in.dora_scale": torch.zeros(2)}, "dora_scale"),
        ({f"{stem}.lora_up.weight": torch.zeros(6, 5, 1, 1)}, "does not fit together"),
        ({f"{stem}.lora_up.weight": torch.zeros(6, 2, 3, 3)}, "does not fit together"),
        ({f"{stem}.lora_down.weight": torch.zeros(())}, "does not fit together"),
        ({f"{stem}.alpha": torch.zeros(3)}, "alpha of 3 values"),
        ({"y.lora_up.weight": torch.zeros(2, 2)}, "only up of y"),
    ):
        with pytest.raises(ModelError, match=says):
            read_lora({**good, **change})
    with pytest.raises(ModelError, match="no LoRA"):
        read_lora({})
