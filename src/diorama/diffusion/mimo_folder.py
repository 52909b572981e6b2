"""A folder of networks that animate people, whatever its layout, and how they are asked.

Layouts: a release as downloaded (`mimo_load`), what `diorama models convert` wrote, and the result of a training run of
`mimo-paper`, `moore-stage2` or `scd-stage2`. A config.json beside the networks may tell ``size``, ``steps``,
``guidance_scale``, ``context_frames``, ``context_overlap`` and ``closed_loop``; else the release's hold (mimo.md 1.9).
vertex_colors.npy may hold the colours of the body's vertices in motion maps.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8

from diorama.diffusion.checkpoint import Tensors, read_tensors
from diorama.diffusion.clip_image import count_positions, load_image_encoder
from diorama.diffusion.codec_kl import DiffusersCodec, open_folder
from diorama.diffusion.families import FAMILIES, shapes_of
from diorama.diffusion.fit import fit
from diorama.diffusion.manifest import MANIFEST
from diorama.diffusion.mimo import RELEASE, MimoNetworks, MimoSettings
from diorama.diffusion.mimo_load import (
    STEMS,
    check_whole,
    codec_folder,
    file_of,
    heads_of,
    image_encoder_folder,
    load_mimo,
    part_of,
    picture_network,
    schedule_of,
    video_network,
)
from diorama.diffusion.mimo_room import check_room
from diorama.diffusion.motion_unet import spatial_view
from diorama.diffusion.pose_encoder import STRIDE, load_pose_encoder
from diorama.diffusion.release import Piece, read_config
from diorama.diffusion.skeletons import skeleton
from diorama.diffusion.store import read_model
from diorama.diffusion.windows import WindowConfig
from diorama.errors import DamagedMediaError, MediaError, ModelError
from diorama.media.npy import open_array

Poses = Literal["colors", "codes", "skeletons"]
SIZE, TRAINED_SIZE = 784, {"tiny": 64, "full": 512}
"""Pixels of the square that the release makes, and that recipes train on (`train.recipes`)."""
CONFIG = "config.json"
SETTINGS = "settings.json"
"""What a training run writes beside its networks."""
OURS = ("denoiser", "reference", "pose_encoder")
"""Names of the networks in folders that were written here."""
COLORS = "vertex_colors.npy"
"""What a table of colours of vertices is called."""
RECIPES = ("mimo-paper", "moore-stage2", "scd-stage2")
SAYS = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PeopleModel:
    """Networks that animate people, and how they are asked.

    Attributes:
        networks: on their device.
        settings: their own steps, guidance and windows.
        size: pixels of the square that they make.
        poses: what they are shown of a body: colours of its vertices, learnt codes, or a skeleton.
        codes: learnt, one a vertex.
        own_pose: whether the reference is read together with the pose that it shows (SCD).
        colors: of the body's vertices in motion maps; None: told by their place at rest.
    """

    networks: MimoNetworks
    settings: MimoSettings
    size: int
    poses: Poses
    codes: Float[torch.Tensor, "v c"] | None = None
    own_pose: bool = False
    colors: UInt8[np.ndarray, "v 3"] | None = None


def load_people(folder: Path, device: str = "auto") -> PeopleModel:
    """The networks of a folder, in evaluation mode; in half precision on CUDA, as the release computes.

    Args:
        folder: of a layout told above.
        device: "auto": CUDA where there is one.

    Raises:
        ModelError: parts missing (all named, with a remedy), damaged, or of another architecture.
        OutOfMemoryError: the weights alone do not fit.
    """
    if not folder.is_dir():
        raise ModelError("no such folder", folder, "name the folder of a release, or of a training run's result")
    inner = folder / "result" if (folder / "result" / SETTINGS).is_file() else folder
    place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    dtype = torch.float16 if place.type == "cuda" else torch.float32
    own, colors = _told(read_config(inner / CONFIG), inner / CONFIG), _colors(inner)
    check_room([file for stem in (*STEMS, *OURS) if (file := file_of(inner, stem))], place, dtype)
    if (inner / MANIFEST).is_file():
        model = _converted(inner, dtype)
    elif (inner / SETTINGS).is_file():
        model = _trained(inner, dtype)
    else:
        networks = load_mimo(inner, dtype=dtype)
        poses: Poses = "colors" if networks.takes_scene else "skeletons"
        model = PeopleModel(networks, MimoSettings(), SIZE, poses)
    model = replace(_asked(model, own, inner / CONFIG), colors=colors)
    return _moved(model, place, dtype)


def _converted(folder: Path, dtype: torch.dtype) -> PeopleModel:
    """What `diorama models convert` wrote."""
    kind, found = read_model(folder)
    if kind not in ("mimo", "moore"):
        fix = "name weights of MIMO or Moore-AnimateAnyone, or a result of training"
        raise ModelError(f"weights of the kind {kind}, which animate nobody", folder, fix)
    pieces = {piece.name: piece for piece in found}
    codec: Any = pieces.get("vae") or codec_folder(folder)
    image_encoder: Any = pieces.get("image_encoder") or image_encoder_folder(folder)
    again = "convert the whole release: diorama models convert RELEASE -o FOLDER"
    check_whole(folder, {f"{name}.safetensors": again for name in OURS if name not in pieces}, codec, image_encoder)
    settings = read_config(folder / CONFIG)
    heads = heads_of(settings)
    both = {"num_attention_heads": heads, "motion_num_attention_heads": heads}
    source = {name: str(pieces[name].sources[0]) for name in OURS}
    networks = MimoNetworks(
        video_network(pieces["denoiser"].tensors, source["denoiser"], dtype, both),
        picture_network(pieces["reference"].tensors, source["reference"], dtype, {"attention_head_dim": heads}),
        load_pose_encoder(pieces["pose_encoder"].sources[0]),
        _codec_of(codec) if isinstance(codec, Piece) else open_folder(codec),
        _encoder_of(image_encoder) if isinstance(image_encoder, Piece) else load_image_encoder(image_encoder),
        **schedule_of(part_of(settings, "scheduler"), folder / CONFIG),
    )
    return PeopleModel(networks, MimoSettings(), SIZE, "colors" if networks.takes_scene else "skeletons")


def _trained(folder: Path, dtype: torch.dtype) -> PeopleModel:
    """The result of a training run; its windows are open ones, which do not join a clip's end to its beginning."""
    settings = read_config(folder / SETTINGS)
    recipe, says = str(settings.get("recipe"))[:60], str(settings.get("prediction"))
    if recipe not in RECIPES:
        fix = f"networks of {', '.join(RECIPES)} animate; start the second stage from this folder with --init"
        raise ModelError(f"the result of {recipe}, which animates nobody", folder, fix)
    if says not in SAYS:
        raise ModelError(f"prediction = {says[:50]}", folder / SETTINGS, f"known: {', '.join(SAYS)}")
    alone, paper = recipe.startswith("scd"), recipe == "mimo-paper"
    needed = ["denoiser", *([] if alone else ["reference"]), "pose_encoder", *(["codes"] if paper else [])]
    files = {name: file for name in needed if (file := file_of(folder, name))}
    again = "copy the whole result of the run"
    codec, image_encoder = codec_folder(folder), image_encoder_folder(folder)
    check_whole(folder, {f"{name}.safetensors": again for name in needed if name not in files}, codec, image_encoder)
    assert codec is not None
    assert image_encoder is not None
    walk = {"timestep_spacing": "leading" if says == "eps" else "trailing", "prediction_type": SAYS[says]}
    walk |= {name: settings[name] for name in ("beta_schedule", "rescale_betas_zero_snr") if name in settings}
    tensors = {name: read_tensors(file) for name, file in files.items() if name != "pose_encoder"}
    denoiser = video_network(tensors["denoiser"], str(files["denoiser"]), dtype, _sizes(files["denoiser"]))
    if alone:
        reference = spatial_view(denoiser)
    else:
        reference = picture_network(tensors["reference"], str(files["reference"]), dtype, _sizes(files["reference"]))
    networks = MimoNetworks(
        denoiser,
        reference,
        load_pose_encoder(files["pose_encoder"]),
        open_folder(codec),
        load_image_encoder(image_encoder),
        patches=alone,
        **schedule_of(walk, folder / SETTINGS),
    )
    size = TRAINED_SIZE.get(str(settings.get("size")), TRAINED_SIZE["full"])
    asked = MimoSettings(windows=WindowConfig(RELEASE.length, RELEASE.overlap))
    codes = _codes(tensors["codes"], files["codes"]) if paper else None
    return PeopleModel(networks, asked, size, "codes" if paper else "skeletons", codes, alone)


def _sizes(file: Path) -> dict[str, int]:
    """What a network's configuration beside its weights tells that shapes do not."""
    names = ("num_attention_heads", "motion_num_attention_heads", "attention_head_dim", "norm_num_groups")
    config = read_config(file.with_suffix(".json"))
    return {
        name: _number(config[name], name, (1, 256), file.with_suffix(".json"))
        for name in names
        if config.get(name) is not None
    }


def _codes(tensors: Tensors, file: Path) -> Float[torch.Tensor, "v c"]:
    codes = tensors.get("codes")
    if codes is None or codes.ndim != 2 or len(tensors) != 1:
        raise ModelError("no vertex codes", file, "expected one tensor called codes, vertices x channels")
    return codes.float()


def _colors(folder: Path) -> UInt8[np.ndarray, "v 3"] | None:
    """A table of colours that the user put there: the release keeps its own with its body model (mimo.md 8)."""
    file = folder / COLORS
    if not file.is_file():
        return None
    try:
        table = open_array(file)
    except (MediaError, DamagedMediaError) as error:
        raise ModelError(error.what, file, error.fix) from error
    if table.ndim != 2 or table.shape[1] != 3 or table.dtype != np.uint8:
        what = f"{table.dtype} numbers of the shape {table.shape}"
        raise ModelError(what, file, "expected bytes, red, green and blue of each vertex")
    return np.array(table)


def _codec_of(piece: Piece) -> DiffusersCodec:
    return DiffusersCodec(_network_of(piece, "vae", "the codec").float().eval().requires_grad_(False))


def _encoder_of(piece: Piece) -> torch.nn.Module:
    network = _network_of(piece, "clip-vision", "the image encoder")
    count_positions(network)
    whole: torch.nn.Module = network.float().eval().requires_grad_(False)
    return whole


def _network_of(piece: Piece, family: str, what: str) -> Any:
    """A network of `families` with the weights of a piece."""
    network: Any = skeleton(FAMILIES[family], shapes_of(piece.tensors), piece.config)
    if network is None:
        raise ModelError(f"the manifest has no configuration of {what}", piece.sources[0], "convert it again")
    fit(network, piece.tensors, source=str(piece.sources[0]))
    return network


def _told(given: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """What config.json says of size, steps, guidance and windows, checked."""
    limits = {"size": (64, 2048), "steps": (1, 1000), "context_frames": (1, 1000), "context_overlap": (0, 999)}
    told: dict[str, Any] = {}
    for name, allowed in limits.items():
        if name in given:
            told[name] = _number(given[name], name, allowed, where)
    if told.get("size", 0) % STRIDE:
        raise ModelError(f"size = {told['size']}", where, f"expected a multiple of {STRIDE}")
    guidance = given.get("guidance_scale", 1.0)
    if isinstance(guidance, bool) or not isinstance(guidance, int | float) or not 0 <= guidance <= 100:
        raise ModelError(f"guidance_scale = {str(guidance)[:50]}", where, "expected 0 to 100")
    if not isinstance(given.get("closed_loop", False), bool):
        raise ModelError(f"closed_loop = {str(given['closed_loop'])[:50]}", where, "expected true or false")
    return told | {name: given[name] for name in ("guidance_scale", "closed_loop") if name in given}


def _asked(model: PeopleModel, told: Mapping[str, Any], where: Path) -> PeopleModel:
    """With what config.json says, as far as the networks can."""
    own, longest = model.settings, int(model.networks.denoiser.config.motion_max_seq_length)
    size, factor = told.get("size", model.size), model.networks.codec.factor
    if size % factor:
        raise ModelError(f"size = {size}", where, f"expected a multiple of {factor}, as the codec needs")
    length = told.get("context_frames", min(own.windows.length, longest))
    overlap = told.get("context_overlap", min(own.windows.overlap, length // 2))
    if length > longest or overlap >= length:
        given = f"context_frames = {length}, context_overlap = {overlap}"
        raise ModelError(given, where, f"expected at most {longest} frames, and fewer that overlap")
    loop = told.get("closed_loop", own.windows.mode == "release")
    settings = replace(
        own,
        num_inference_steps=told.get("steps", own.num_inference_steps),
        guidance_scale=told.get("guidance_scale", own.guidance_scale),
        windows=WindowConfig(length, overlap, mode="release" if loop else "open"),
    )
    return replace(model, size=size, settings=settings)


def _number(value: object, name: str, limits: tuple[int, int], where: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not limits[0] <= value <= limits[1]:
        raise ModelError(f"{name} = {str(value)[:50]}", where, f"expected {limits[0]} to {limits[1]}")
    return value


def _moved(model: PeopleModel, device: torch.device, dtype: torch.dtype) -> PeopleModel:
    """All networks on one device; those that read a denoiser's own layers move with it."""
    networks = model.networks
    parts: tuple[Any, ...] = networks.denoiser, networks.reference, networks.pose_encoder, networks.image_encoder
    for part in (*parts, networks.codec):
        torch.nn.Module.to(part, device=device, dtype=dtype)  # diffusers' own `to` warns of layers there are none of
    _LOG.info("networks of %s on %s, %s", model.poses, device, dtype)
    return replace(model, codes=None if model.codes is None else model.codes.to(device))
