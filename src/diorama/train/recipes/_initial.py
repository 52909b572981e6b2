"""What a published recipe starts from: pieces of weights in local folders, told apart by their tensors, into networks.

`--init` names one or several folders or files (separated as in PATH): a former result, SD-1.5, AnimateDiff's motion
modules, a release of MIMO or Moore-AnimateAnyone, an image encoder. Where two have the same piece, the first counts.
Sizes are read off the tensors. At the size "tiny" pieces may be missing; they are then random.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffusers import UNet2DConditionModel, UNetMotionModel
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from torch import nn

from diorama.diffusion import key_maps
from diorama.diffusion.checkpoint import Tensors, peek_shapes, read_tensors
from diorama.diffusion.families import detect, shapes_of
from diorama.diffusion.fit import fit
from diorama.diffusion.motion_unet import adapt
from diorama.diffusion.skeletons import motion_unet_config, unet_config
from diorama.errors import ModelError

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
"""Of weight files; of files that differ in it alone, the first counts."""
DEPTH, MOST_FILES = 3, 400
ROLES = {
    **dict.fromkeys(("sd15-unet", "mimo-denoiser", "motion-unet", "animate-unet"), "unet"),
    **dict.fromkeys(("animatediff-v1", "animatediff-v2", "animatediff-v3", "motion-adapter"), "motion"),
    "reference-unet": "reference",
    "pose-guider": "pose_encoder",
    "controlnet": "controlnet",
    "vae": "vae",
    "clip-vision": "image_encoder",
    "sp4d": "dual",
    "sv4d": "single",
}
"""What the families of weights are used as."""
POSE_PREFIX = "controlnet_cond_embedding."
POSE_WIDTHS = (16, 32, 96, 256)
"""Of the published pose encoders (mimo.md 1.6)."""


@dataclass(frozen=True)
class Weights:
    """Files of weights by role.

    Attributes:
        paths: of the pieces that were found.
        where: what the user named, for messages.
    """

    paths: Mapping[str, Path] = field(default_factory=dict)
    where: str = ""

    def __contains__(self, role: str) -> bool:
        return role in self.paths

    def read(self, role: str) -> Tensors:
        """The tensors of a piece, under the names they are stored with.

        Raises:
            ModelError: there is none, or it is damaged.
        """
        return read_tensors(self.need(role))

    def need(self, role: str) -> Path:
        """The file of a piece.

        Raises:
            ModelError: there is none.
        """
        if role not in self.paths:
            found = ", ".join(f"{name} ({path.name})" for name, path in self.paths.items()) or "nothing known"
            raise ModelError(f"no {role} among the weights; found: {found}", self.where or "--init", HINT)
        return self.paths[role]


HINT = f"name the folders that hold it with --init, separated by {os.pathsep!r}; or train at --size tiny"


def find_weights(init: str) -> Weights:
    """Look for weights in folders and files; their values are not read.

    Raises:
        ModelError: a place that is not there, that holds a piece twice, or damaged files.
    """
    paths: dict[str, Path] = {}
    for place in filter(None, init.split(os.pathsep)):
        paths = _within(Path(place)) | paths
    return Weights(paths, init)


def _within(place: Path) -> dict[str, Path]:
    if not place.exists():
        raise ModelError("no such folder or file", place, "name weights to start from with --init")
    roles: dict[str, list[Path]] = {}
    for path in [place] if place.is_file() else _files(place):
        shapes = peek_shapes(path)
        role = "codes" if [len(shape) for shape in shapes.values()] == [2] and "codes" in shapes else None
        role = role or ROLES.get(detect(shapes).name)
        if role:
            roles.setdefault(role, []).append(path)
    # Of several UNets, the one beside a reference network is the trained one, another what it started from.
    home = {path.parent for path in roles.get("reference", [])}
    beside = [path for path in roles.get("unet", []) if path.parent in home]
    if beside:
        roles["unet"] = beside
    for role, found in roles.items():
        if len(found) > 1:
            names = ", ".join(str(path) for path in found)
            raise ModelError(f"{len(found)} files could be the {role}: {names}", place, "name one of them first")
    return {role: found[0] for role, found in roles.items()}


def _files(folder: Path) -> Iterator[Path]:
    chosen: dict[tuple[Path, str], Path] = {}
    for depth in range(1, DEPTH + 2):
        for path in sorted(folder.glob("/".join(["*"] * depth))):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                key = path.parent, path.name.split(".")[0]
                chosen[key] = min(chosen.get(key, path), path, key=_rank)
    if len(chosen) > MOST_FILES:
        raise ModelError(f"{len(chosen)} weight files", folder, f"name a folder of at most {MOST_FILES}")
    yield from chosen.values()


def _rank(path: Path) -> tuple[int, int, str]:
    return SUFFIXES.index(path.suffix.lower()), path.name.count("."), path.name


@dataclass(frozen=True)
class NetworkSize:
    """Sizes of networks of the SD-1.5 kind, for those that no weights give.

    Attributes:
        widths: channels of each level.
        layers: blocks of a level.
        groups: of group norms.
        context: width of the image tokens.
        pose_widths: of the pose encoder.
        frames: positions of motion modules.
    """

    widths: tuple[int, ...] = (32, 64)
    layers: int = 1
    groups: int = 8
    context: int = 32
    pose_widths: tuple[int, ...] = (16, 16, 32, 32)
    frames: int = 32

    def unet(self, channels: int, *, motion: bool = False) -> dict[str, Any]:
        """Arguments of the class in `diffusers`; every level but the last attends."""
        kind, levels = ("Motion" if motion else "2D"), len(self.widths)
        down = (*["CrossAttnDownBlock" + kind] * (levels - 1), "DownBlock" + kind)
        up = ("UpBlock" + kind, *["CrossAttnUpBlock" + kind] * (levels - 1))
        config = {
            "in_channels": channels,
            "out_channels": 4,
            "block_out_channels": self.widths,
            "layers_per_block": self.layers,
            "norm_num_groups": self.groups,
            "cross_attention_dim": self.context,
            "down_block_types": down,
            "up_block_types": up,
        }
        if not motion:
            return config | {"attention_head_dim": 8}
        heads = {"num_attention_heads": 8, "motion_num_attention_heads": 8}
        return config | heads | {"motion_max_seq_length": self.frames, "use_motion_mid_block": True}


TINY = NetworkSize()
"""For tests and trials."""


def picture_unet(weights: Weights, tiny: NetworkSize | None, role: str = "unet") -> UNet2DConditionModel:
    """A network of single pictures: SD-1.5, a former result, or (tiny) random; ready for conditions.

    Args:
        weights: may hold it as `role`; motion modules are left out.
        tiny: sizes of a network where no weights are needed; None where they are.
        role: "unet" or "reference".

    Raises:
        ModelError: weights are missing or do not fit.
    """
    if tiny is not None and role not in weights:
        return _adapted(UNet2DConditionModel(**tiny.unet(4)))
    tensors = {name: value for name, value in weights.read(role).items() if ".motion_modules." not in name}
    config = tiny.unet(4) if tiny else unet_config(shapes_of(tensors))
    if config["in_channels"] != 4:
        what = f"a {role} of {config['in_channels']} input channels, expected 4"
        raise ModelError(what, weights.paths[role], "start from SD-1.5 or from a result of the same recipe")
    network = UNet2DConditionModel(**config)
    absent = key_maps.REFERENCE_ABSENT if role == "reference" else frozenset()
    fit(network, tensors, source=str(weights.paths[role]), allow_missing=absent)
    return _adapted(network)


def _adapted(network: Any) -> Any:
    return adapt(network)


def reference_unet(weights: Weights, tiny: NetworkSize | None) -> UNet2DConditionModel:
    """A network that reads the reference: a trained one, or a copy of the picture network; without its last layers,
    whose output nobody reads.

    Raises:
        ModelError: weights are missing or do not fit.
    """
    network = picture_unet(weights, tiny, "reference" if "reference" in weights else "unet")
    network.conv_norm_out, network.conv_out = nn.Identity(), nn.Identity()
    return network


def video_unet(weights: Weights, tiny: NetworkSize | None, channels: int = 4) -> UNetMotionModel:
    """A video network: pictures' weights with motion modules; added input channels are zero (mimo.md 1.3).

    Motion modules that no weights give are random (tiny only), and say nothing at first.

    Raises:
        ModelError: weights are missing or do not fit.
    """
    found = _with_motion(weights, needed=tiny is None)
    if tiny is not None:
        found = {**_silent(UNetMotionModel(**tiny.unet(4, motion=True))).state_dict(), **found}
    tensors = key_maps.widen_input(found, channels)
    config = tiny.unet(channels, motion=True) if tiny else motion_unet_config(shapes_of(tensors))
    network = UNetMotionModel(**config)
    fit(network, tensors, source=weights.where or "random weights")
    return _adapted(network)


def _with_motion(weights: Weights, *, needed: bool) -> Tensors:
    """A UNet's tensors with motion modules: its own, or those beside it."""
    base = weights.read("unet") if needed or "unet" in weights else {}
    if any(".motion_modules." in name for name in base):
        return key_maps.with_positions(key_maps.motion_modules(base), 32)
    if "motion" not in weights and not needed:
        return base
    return key_maps.mimo_denoiser(key_maps.animatediff(weights.read("motion")), base)


def _silent(network: UNetMotionModel) -> UNetMotionModel:
    """Motion modules that add nothing: AnimateDiff's start."""
    for name, module in network.named_modules():
        if name.endswith("proj_out") and "motion_modules" in name:
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return network


def pose_encoder(
    weights: Weights, width: int, channels: int, tiny: NetworkSize | None
) -> ControlNetConditioningEmbedding:
    """A pose encoder: trained, or a ControlNet's with a new last layer that says nothing (mimo.md 2.2), or new.

    Args:
        weights: may hold it.
        width: of the first convolution of the network that listens.
        channels: of the pose pictures; for other than 3 no weights are looked for but those of a former result.
        tiny: sizes where there are no weights.

    Raises:
        ModelError: weights that do not fit.
    """
    widths = tiny.pose_widths if tiny else POSE_WIDTHS
    network = ControlNetConditioningEmbedding(width, channels, widths)
    if "pose_encoder" in weights:
        tensors = key_maps.pose_guider(weights.read("pose_encoder"))
        if tensors["conv_in.weight"].shape[1] == channels:
            fit(network, tensors, source=str(weights.paths["pose_encoder"]))
    elif "controlnet" in weights and channels == 3:
        found = {k.removeprefix(POSE_PREFIX): v for k, v in weights.read("controlnet").items() if POSE_PREFIX in k}
        kept = {name: value for name, value in found.items() if not name.startswith("conv_out.")}
        last = frozenset({"conv_out.weight", "conv_out.bias"})
        fit(network, kept, source=str(weights.paths["controlnet"]), allow_missing=last)
    return network
