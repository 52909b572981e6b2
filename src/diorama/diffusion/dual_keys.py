"""Names of the published SP4D and SV4D 2.0 checkpoints, and of the same tensors here.

The published names follow the order of layers (`input_blocks.4.1.time_mix_blocks.0.attn1.to_q.weight`), so the map
is read off a network: its steps are numbered as there. Spec sp4d.md 2.5.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping

import torch
from diffusers.models.resnet import SpatioTemporalResBlock
from jaxtyping import Shaped
from torch import nn

from diorama.diffusion.checkpoint import Tensors, listed
from diorama.diffusion.dual_unet import DualUNet
from diorama.diffusion.view_attention import ViewTransformer
from diorama.diffusion.view_shape import CameraAttention, ViewShape
from diorama.diffusion.view_unet import ViewStage, ViewUNet
from diorama.errors import ModelError, UsageError

LOG = logging.getLogger(__name__)
Given = Mapping[str, Shaped[torch.Tensor, "..."]]
MOST_STEPS = 64
PREFIX = "model.diffusion_model."
OTHERS = ("conditioner.", "first_stage_model.")
"""Families of the published files that are other networks: image encoders and the decoder."""

# (published, here), by prefix inside a layer; the first that fits counts.
RESIDUAL = (
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
)
RESIDUAL_STAGE = (
    *((f"time_mix_blocks.{theirs}", f"temporal_res_block.{ours}") for theirs, ours in RESIDUAL),
    *((theirs, f"spatial_res_block.{ours}") for theirs, ours in RESIDUAL),
)
TRANSFORMER = (
    ("transformer_blocks.0", "picture"),
    ("time_mix_blocks.0", "camera"),
    ("motion_blocks.0", "motion"),
    ("time_mix_time_embed.0", "camera_embed.linear_1"),
    ("time_mix_time_embed.2", "camera_embed.linear_2"),
    ("time_mix_motion_embed.0", "motion_embed.linear_1"),
    ("time_mix_motion_embed.2", "motion_embed.linear_2"),
    ("time_mixer", "camera_mixer"),
    ("time_mixer_motion", "motion_mixer"),
)
ENDS = (
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("label_emb.0.0", "vector_embedding.linear_1"),
    ("label_emb.0.2", "vector_embedding.linear_2"),
    ("out.0", "norm_out"),
    ("out.2", "conv_out"),
)


def key_map(network: DualUNet | ViewUNet) -> dict[str, str]:
    """Published name -> name here, of every tensor of a network."""
    if isinstance(network, ViewUNet):
        return dict(_branch_names(network))
    names = {f"net1.{theirs}": f"rgb.{ours}" for theirs, ours in _branch_names(network.rgb)}
    names |= {f"net2.{theirs}": f"part.{ours}" for theirs, ours in _branch_names(network.part)}
    down, last = len(network.rgb.down), len(network.fusions)
    places = [f"input_cross_layers.{n}" for n in range(down)] + ["middle_cross"]
    places += [f"output_cross_layers.{n}" for n in range(last - down - 1)]
    for number, place in enumerate(places):
        for kind in ("weight", "bias"):
            names[f"{place}.fusion_conv.0.{kind}"] = f"fusions.{number}.conv_in.{kind}"
            names[f"{place}.fusion_conv.2.{kind}"] = f"fusions.{number}.conv_out.{kind}"
    return names


def _branch_names(network: ViewUNet) -> Iterator[tuple[str, str]]:
    for theirs, ours in ENDS:
        for kind in ("weight", "bias"):
            yield f"{theirs}.{kind}", f"{ours}.{kind}"
    for theirs, ours, stage in _stages(network):
        for number, layer in enumerate(stage.layers):
            for name in layer.state_dict():
                yield f"{theirs}.{number}.{_their_name(layer, name)}", f"{ours}.layers.{number}.{name}"


def _stages(network: ViewUNet) -> Iterator[tuple[str, str, ViewStage]]:
    families = {"down": "input_blocks", "middle": "middle_block", "up": "output_blocks"}
    for name, module in network.named_modules():
        if isinstance(module, ViewStage):
            family, *number = name.split(".")
            yield ".".join([families[family], *number]), name, module


def _their_name(layer: nn.Module, name: str) -> str:
    if isinstance(layer, SpatioTemporalResBlock):
        return _renamed(name, RESIDUAL_STAGE)
    if isinstance(layer, ViewTransformer):
        return _renamed(name, TRANSFORMER)
    return name.replace("conv.", "op.") if getattr(layer, "name", "") == "op" else name


def _renamed(name: str, table: Iterable[tuple[str, str]]) -> str:
    for theirs, ours in table:
        if name.startswith(f"{ours}."):
            return theirs + name.removeprefix(ours)
    return name


def network_tensors(tensors: Given, where: object) -> Tensors:
    """The tensors of the denoiser in a published file, without their common prefix.

    Raises:
        ModelError: a file of another kind.
    """
    own = {name.removeprefix(PREFIX): value for name, value in tensors.items() if name.startswith(PREFIX)}
    if not own:
        return dict(tensors)
    strange = [name for name in tensors if not name.startswith((PREFIX, *OTHERS))]
    if strange:
        raise ModelError(f"unexpected tensors: {listed(strange)}", where, f"expected {PREFIX} and {', '.join(OTHERS)}")
    LOG.info("%d tensors of image encoders and decoder are left to their own loaders", len(tensors) - len(own))
    return own


def state_for(network: DualUNet | ViewUNet, tensors: Given, where: object) -> Tensors:
    """A published file's tensors under the names here; all of them, and no others.

    Raises:
        ModelError: names the first of the missing, unexpected and mis-shaped tensors, and counts them.
    """
    names, shapes = key_map(network), {name: value.shape for name, value in network.state_dict().items()}
    missing = [name for name in names if name not in tensors]
    unexpected = [name for name in tensors if name not in names]
    wrong = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(shapes[ours])}"
        for name, ours in names.items()
        if name in tensors and tensors[name].shape != shapes[ours]
    ]
    groups = (("missing", missing), ("unexpected", unexpected), ("of another shape", wrong))
    faults = [f"{len(found)} {kind}: {listed(found)}" for kind, found in groups if found]
    if faults:
        raise ModelError("; ".join(faults), where, "the file is of another network, or damaged")
    return {ours: tensors[name] for name, ours in names.items()}


def shape_from(
    tensors: Given, where: object, *, head_dim: int = 64, camera_attention: CameraAttention = "released"
) -> ViewShape:
    """Read a network's size off its tensors, one branch or two.

    Args:
        tensors: by published name, from `network_tensors`.
        where: the file, for messages.
        head_dim: not recorded in the file; 64 in all published ones.
        camera_attention: not recorded in the file either.

    Raises:
        ModelError: tensors missing, or sizes that do not fit each other.
    """
    branch = "net1." if any(name.startswith("net1.") for name in tensors) else ""
    sizes = {n.removeprefix(branch): tuple(value.shape) for n, value in tensors.items() if n.startswith(branch)}
    try:
        levels = _levels(sizes)
        return ViewShape(
            latent_channels=sizes["out.2.weight"][0],
            widths=tuple(width for width, _, _ in levels),
            layers_per_level=levels[0][1],
            attention_levels=tuple(attends for _, _, attends in levels),
            head_dim=head_dim,
            context_dim=sizes["middle_block.1.transformer_blocks.0.attn2.to_k.weight"][1],
            vector_dim=sizes["label_emb.0.0.weight"][1],
            camera_attention=camera_attention,
        )
    except KeyError as error:
        raise ModelError(f"no tensor {error}", where, "expected a checkpoint of SP4D or SV4D 2.0") from error
    except IndexError as error:
        raise ModelError("weights with too few axes", where, "the file is damaged") from error
    except UsageError as error:
        raise ModelError(error.what, where, f"{error.fix}; or name another head_dim") from error


def _levels(sizes: Mapping[str, tuple[int, ...]]) -> list[tuple[int, int, bool]]:
    """Width, number of residual blocks and whether it attends, of each level."""
    found = [(0, 0, False)]
    for number in range(1, MOST_STEPS):
        step = f"input_blocks.{number}"
        if f"{step}.0.op.weight" in sizes:
            found.append((0, 0, False))
        elif f"{step}.0.in_layers.2.weight" in sizes:
            width = sizes[f"{step}.0.in_layers.2.weight"][0]
            found[-1] = (width, found[-1][1] + 1, f"{step}.1.norm.weight" in sizes)
    return found
