"""LoRA files of the three layouts that are about, merged into a network or attached to it.

A LoRA adds ``scale * alpha / rank * up @ down`` to the weight of a linear or convolutional layer. Layouts: kohya
(``lora_unet_<name_with_underscores>.lora_down.weight``), peft (``<name>.lora_A.weight``), and older diffusers
(``<attention>.processor.to_q_lora.down.weight``, also AnimateDiff's motion LoRA).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Shaped

from diorama.core.extras import need
from diorama.diffusion.checkpoint import Tensors, listed
from diorama.diffusion.key_maps import motion_name
from diorama.errors import ModelError

Weight = Float[torch.Tensor, "..."]


@dataclass(frozen=True, eq=False)
class Pair:
    """What a LoRA adds to one layer.

    Attributes:
        down: rank x inputs (x kernel of a convolution).
        up: outputs x rank (x 1 x 1).
        alpha: the sum is scaled by alpha / rank.
    """

    down: Float[torch.Tensor, "rank ..."]
    up: Float[torch.Tensor, "outputs rank ..."]
    alpha: float | int

    @property
    def rank(self) -> int:
        """Rows of `down`."""
        return int(self.down.shape[0])

    def delta(self, scale: float | int) -> Float[torch.Tensor, "outputs ..."]:
        """What is added to the weight, float32, in the shape of the weight."""
        product = self.up.float().flatten(1) @ self.down.float().flatten(1)
        return (product * (scale * self.alpha / self.rank)).reshape(len(self.up), *self.down.shape[1:])


@dataclass(frozen=True, eq=False)
class Lora:
    """A LoRA file.

    Attributes:
        modules: layers of the UNet by name; kohya's names have underscores for dots until they meet a network.
        text_modules: layers of the text encoder, likewise.
    """

    modules: Mapping[str, Pair]
    text_modules: Mapping[str, Pair] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Merged:
    """What `merge` replaced: the weights as they were, by layer."""

    originals: Mapping[str, Weight]


_FORMS = (
    (re.compile(r"(.+)\.processor\.(to_\w+?)_lora\.(down|up)\.weight"), "{0}.{1}", 2),
    (re.compile(r"(.+)\.lora_(down|up)\.weight"), "{0}", 1),
    (re.compile(r"(.+)\.lora_([AB])(?:\.\w+)?\.weight"), "{0}", 1),
    (re.compile(r"(.+)_lora\.(down|up)\.weight"), "{0}", 1),
    (re.compile(r"(.+)\.lora(?:_linear_layer)?\.(down|up)\.weight"), "{0}", 1),
    (re.compile(r"(.+)\.(alpha)"), "{0}", 1),
)
_SIDES = {"down": "down", "A": "down", "up": "up", "B": "up", "alpha": "alpha"}
_PREFIX = re.compile(r"(?:lora_unet_|base_model\.model\.|unet\.|diffusion_model\.)+")
_TEXT_PREFIX = re.compile(r"(?:base_model\.model\.)?(?:lora_te_|text_encoder\.)")


def read_lora(tensors: Mapping[str, Shaped[torch.Tensor, "..."]], *, alpha: float | int | None = None) -> Lora:
    """Sort the tensors of a LoRA file by layer.

    Args:
        tensors: from `read_tensors`; any of the three layouts.
        alpha: of layers for which the file states none (peft keeps it in adapter_config.json); None: their rank.

    Raises:
        ModelError: tensors that are no LoRA (named; LoHa and DoRA are not known), half a pair, ranks that differ.
    """
    halves: dict[str, Tensors] = {}
    strange = []
    for name, tensor in tensors.items():
        found = _parsed(name)
        if found is None:
            strange.append(name)
        else:
            halves.setdefault(found[0], {})[found[1]] = tensor
    if strange or not halves:
        what = f"{len(strange)} of {len(tensors)} tensors are no LoRA: {listed(strange)}"
        raise ModelError(what, fix="expected names that end in lora_down/lora_up, lora_A/lora_B, or alpha")
    pairs = {name: _paired(name, found, alpha) for name, found in halves.items()}
    text = {name for name in pairs if _TEXT_PREFIX.match(name)}
    return Lora(
        {motion_name(_PREFIX.sub("", name, count=1)): pair for name, pair in pairs.items() if name not in text},
        {_TEXT_PREFIX.sub("", name, count=1): pairs[name] for name in pairs if name in text},
    )


def _parsed(name: str) -> tuple[str, str] | None:
    """Layer and side (down, up, alpha) of a tensor's name."""
    for pattern, module, side in _FORMS:
        if found := pattern.fullmatch(name):
            layer = module.format(*found.groups())
            return re.sub(r"\.to_out$", ".to_out.0", layer), _SIDES[found.groups()[side]]
    return None


def _paired(name: str, found: Mapping[str, Shaped[torch.Tensor, "..."]], alpha: float | int | None) -> Pair:
    if "down" not in found or "up" not in found:
        raise ModelError(f"half a LoRA pair: only {', '.join(sorted(found))} of {name}")
    down, up = found["down"], found["up"]
    fits = down.ndim in (2, 4) and up.ndim == down.ndim and up.shape[1] == down.shape[0] and up[0, 0].numel() == 1
    if not fits or not down.numel():
        raise ModelError(f"a LoRA pair that does not fit together: {tuple(down.shape)} and {tuple(up.shape)} of {name}")
    stated = found.get("alpha")
    if stated is not None and stated.numel() != 1:
        raise ModelError(f"an alpha of {stated.numel()} values, expected one, of {name}")
    given = down.shape[0] if alpha is None else alpha
    return Pair(down, up, given if stated is None else float(stated))


def lora_tensors(lora: Lora) -> Tensors:
    """The tensors of a LoRA in one layout (``<layer>.lora_down.weight``, ``.lora_up.weight``, ``.alpha``)."""
    tensors: Tensors = {}
    for prefix, pairs in (("unet.", lora.modules), ("text_encoder.", lora.text_modules)):
        for name, pair in pairs.items():
            tensors[f"{prefix}{name}.lora_down.weight"] = pair.down
            tensors[f"{prefix}{name}.lora_up.weight"] = pair.up
            tensors[f"{prefix}{name}.alpha"] = torch.tensor(float(pair.alpha))
    return tensors


def targets(module: torch.nn.Module, pairs: Mapping[str, Pair], *, source: str = "LoRA") -> dict[str, Pair]:
    """The pairs by the full names of the layers of `module` that they change.

    Raises:
        ModelError: layers that the network has not, has twice under kohya's spelling, or has in another size; named.
    """
    layers = {name: layer for name, layer in module.named_modules() if _is_layer(layer)}
    spelled: dict[str, list[str]] = {}
    for name in layers:
        spelled.setdefault(name.replace(".", "_"), []).append(name)
    short = {name: re.sub(r"^text_model[._]", "", name) for name in pairs}  # transformers 5 dropped the prefix
    found = {name: _matches(name, layers, spelled) or _matches(short[name], layers, spelled) for name in pairs}
    unknown = [name for name, names in found.items() if len(names) != 1]
    if unknown:
        what = f"{len(unknown)} of {len(pairs)} layers are not in {type(module).__name__}: {listed(unknown)}"
        raise ModelError(what, source, "the LoRA is for another network")
    placed = {names[0]: pairs[name] for name, names in found.items()}
    wrong = [
        f"{name} ({len(pair.up)} x {tuple(pair.down.shape[1:])}, expected {tuple(layers[name].weight.shape)})"
        for name, pair in placed.items()
        if (len(pair.up), *pair.down.shape[1:]) != tuple(layers[name].weight.shape)
    ]
    if wrong:
        raise ModelError(f"{len(wrong)} layers are of another size: {listed(wrong)}", source)
    return placed


def _matches(name: str, layers: Mapping[str, torch.nn.Module], spelled: Mapping[str, list[str]]) -> list[str]:
    return [name] if name in layers else spelled.get(name, [])


def _is_layer(layer: torch.nn.Module) -> bool:
    return isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)


@torch.no_grad()
def merge(
    module: torch.nn.Module, pairs: Mapping[str, Pair], *, scale: float | int = 1.0, source: str = "LoRA"
) -> Merged:
    """Add a LoRA to the weights of `module`, in place; nothing is changed when it does not fit.

    The sum is formed in float32. Several may be merged one after the other; take them out in the reverse order.

    Args:
        module: the network.
        pairs: ``lora.modules`` for a UNet, ``lora.text_modules`` for a text encoder.
        scale: strength; 1 as trained, 0 nothing.
        source: what to call the LoRA in errors.

    Returns:
        What `unmerge` needs to restore the weights bit by bit.

    Raises:
        ModelError: as `targets`.
    """
    placed = targets(module, pairs, source=source)
    originals = {}
    for name, pair in placed.items():
        weight = module.get_parameter(f"{name}.weight")
        originals[name] = weight.detach().clone()
        weight.copy_(weight.float() + pair.delta(scale).to(weight.device))  # in place: others may share it
    return Merged(originals)


@torch.no_grad()
def unmerge(module: torch.nn.Module, merged: Merged) -> None:
    """Give `module` back the weights it had before `merge`, bit by bit."""
    for name, weight in merged.originals.items():
        module.get_parameter(f"{name}.weight").copy_(weight)


@torch.no_grad()
def attach(module: torch.nn.Module, pairs: Mapping[str, Pair], *, scale: float | int = 1.0, name: str = "lora") -> None:
    """Put a LoRA beside the weights of `module` by `peft`, so that it can be trained on; the weights stay.

    Args:
        module: the network; its layers are wrapped in place.
        pairs: as in `merge`.
        scale: as in `merge`.
        name: of the adapter, for several.

    Raises:
        ModelError: as `targets`, or `peft` is not installed.
    """
    peft = need("peft")
    placed = targets(module, pairs, source=name)
    config = peft.LoraConfig(
        target_modules=f"(?:{'|'.join(map(re.escape, placed))})",  # whole names; a list would match endings
        rank_pattern={f"^{re.escape(layer)}$": pair.rank for layer, pair in placed.items()},
        alpha_pattern={f"^{re.escape(layer)}$": pair.alpha * scale for layer, pair in placed.items()},
    )
    peft.inject_adapter_in_model(config, module, adapter_name=name)
    for layer, pair in placed.items():
        wrapped: Any = module.get_submodule(layer)
        wrapped.lora_A[name].weight.copy_(pair.down)
        wrapped.lora_B[name].weight.copy_(pair.up)


def detach(module: torch.nn.Module) -> None:
    """Take everything that `attach` put beside the weights out of `module` again."""
    wrapped = [(name, layer) for name, layer in module.named_modules() if hasattr(layer, "base_layer")]
    for name, layer in wrapped:
        module.set_submodule(name, layer.base_layer)
