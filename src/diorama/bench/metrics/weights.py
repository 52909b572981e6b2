"""The networks of published metrics, from a folder that the user gives.

| network | files in the folder |
|---|---|
| LPIPS-Alex | torchvision's ``alexnet*.pth`` and the lpips package's ``alex.pth`` (its ``weights/v0.1``) |
| LPIPS-VGG | torchvision's ``vgg16-*.pth`` and the lpips package's ``vgg.pth`` |
| I3D | ``i3d_pretrained_400.pt`` or ``rgb_imagenet.pt`` (pytorch-i3d; tensors by name, not TorchScript) |
| VideoMAE | a folder of `transformers` with ``config.json`` |

``.safetensors`` of the same names and tensors do as well; one file with all of LPIPS does not. Files are read by
`diffusion.checkpoint` (nothing is executed); torchvision's names carry the first 8 digits of the file's SHA-256, which
must agree.
"""

import re
from pathlib import Path
from typing import Any, Literal, cast

import torch
from jaxtyping import Float

from diorama.bench.metrics.frechet import VideoFeatures, resized
from diorama.bench.metrics.perceptual import Maps, Perceptual, Picture
from diorama.bench.metrics.trunks import I3D, WIDTHS, Net, Trunk
from diorama.diffusion.checkpoint import Tensors, read_tensors
from diorama.diffusion.fit import fit
from diorama.diffusion.manifest import file_hash
from diorama.errors import ModelError
from diorama.perception import hub

SHIFT, SPREAD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""ImageNet's mean and deviation for pictures in [-1, 1]: the scaling layer of LPIPS 0.1."""

TINY = 1e-10
"""Added to the length of a vector of features, as in the lpips package."""

LEAST_SIDE = 32
"""Pixels below which AlexNet's last maps are empty."""

AGAIN = "copy or download the file again"

_SUFFIX = r"\.(?:safetensors|pth|pt|ckpt|bin)"
_HASHED = r"(?:-(?P<digits>[0-9a-f]{8}))?"
_TRUNKS: dict[Net, str] = {"alex": rf"alexnet(?:-owt)?{_HASHED}{_SUFFIX}", "vgg": rf"vgg16{_HASHED}{_SUFFIX}"}
_I3D = rf"(?:i3d_pretrained_400|rgb_imagenet|i3d){_HASHED}{_SUFFIX}"


def holds(folder: Path, what: Net | Literal["i3d"]) -> bool:
    """Whether a folder has any file of a network; a network that is there in part is an error when it is loaded."""
    patterns = (_I3D,) if what == "i3d" else (_TRUNKS[what], _heads_pattern(what))
    return folder.is_dir() and any(re.fullmatch(p, path.name) for path in folder.iterdir() for p in patterns)


def load_lpips(folder: Path, net: Net = "alex") -> Perceptual:
    """LPIPS 0.1 with AlexNet (the package's default) or VGG16 (DisCo's), evaluated in float32 on the CPU.

    Raises:
        ModelError: a file missing or there twice, damaged, with NaN, of other names or shapes, with negative weights in
            the heads (which LPIPS rules out), or of another hash than its name says.
    """
    trunk_file = _only(folder, _TRUNKS[net], f"trunk of LPIPS ({net})")
    heads_file = _only(folder, _heads_pattern(net), f"heads of LPIPS ({net})")
    trunk = Trunk(net).eval().requires_grad_(False)
    tensors = read_tensors(trunk_file)
    unread = {name for name in tensors if name.startswith("classifier.")}
    fit(trunk, tensors, source=str(trunk_file), allow_unexpected=unread)
    heads = _heads(read_tensors(heads_file), heads_file, net)
    name = f"lpips-{net} (trunk {file_hash(trunk_file)[:8]}, heads {file_hash(heads_file)[:8]})"
    return Perceptual(name, _Seen(trunk, heads), LEAST_SIDE, published=True)


def load_i3d(folder: Path) -> VideoFeatures:
    """I3D with the 400 logits of Kinetics, for FVD; frames are made 224 x 224 and scaled to [-1, 1].

    Raises:
        ModelError: as `load_lpips`; TorchScript archives are refused.
    """
    file = _only(folder, _I3D, "I3D")
    network = I3D().eval().requires_grad_(False)
    counters = {name for name in network.state_dict() if name.endswith("num_batches_tracked")}
    fit(network, read_tensors(file), source=str(file), allow_missing=counters)

    def embed(clips: Float[torch.Tensor, "b 3 t h w"]) -> Float[torch.Tensor, "b 400"]:
        return cast(torch.Tensor, network(resized(clips, 224) * 2 - 1))

    return VideoFeatures(f"i3d-400 ({file_hash(file)[:8]})", embed, least=8)


def load_videomae(folder: Path) -> VideoFeatures:
    """A VideoMAE encoder of `transformers`, its tokens averaged; the published tables of this family do not use it.

    Raises:
        ModelError: no folder of `transformers`, another architecture, or unusable weights.
    """
    if not folder.is_dir():
        raise ModelError("no such folder", folder, "name a folder with config.json and model.safetensors")
    found = hub.locate(folder, lambda _: None)
    network = hub.load(found, {"videomae": "VideoMAEModel"})
    side, frames = int(network.config.image_size), int(network.config.num_frames)
    mean, spread = (_triple(found.preprocessor, key, usual) for key, usual in _IMAGENET.items())

    def embed(clips: Float[torch.Tensor, "b 3 t h w"]) -> Float[torch.Tensor, "b d"]:
        pixels = ((resized(clips, side) - mean) / spread).transpose(1, 2)
        return cast(torch.Tensor, network(pixel_values=pixels).last_hidden_state.mean(dim=1))

    return VideoFeatures(f"videomae ({found.fingerprint[:8]})", embed, frames, exactly=frames, published=False)


_IMAGENET = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}


def _triple(config: Any, key: str, usual: tuple[float, float, float]) -> Float[torch.Tensor, "3 1 1 1"]:
    given = config.get(key, usual)
    if not (isinstance(given, list | tuple) and len(given) == 3 and all(isinstance(x, float | int) for x in given)):
        raise ModelError(f"{key} is {str(given)[:60]}, expected three numbers", "preprocessor_config.json")
    values = torch.tensor([float(x) for x in given]).view(3, 1, 1, 1)
    if not bool(torch.isfinite(values).all()) or (key == "image_std" and not bool((values > 0).all())):
        raise ModelError(f"{key} is {given}, expected finite numbers (spreads above 0)", "preprocessor_config.json")
    return values


class _Seen:
    """What LPIPS compares: maps of the trunk, of unit length at each position, weighted by the heads."""

    def __init__(self, trunk: Trunk, heads: list[Float[torch.Tensor, "1 _c 1 1"]]) -> None:
        self._trunk, self._roots = trunk, [head.sqrt() for head in heads]
        self._shift, self._spread = (torch.tensor(values).view(1, 3, 1, 1) for values in (SHIFT, SPREAD))

    def __call__(self, picture: Picture) -> Maps:
        maps = self._trunk((picture - self._shift) / self._spread)
        lengths = [found.square().sum(dim=1, keepdim=True).sqrt() + TINY for found in maps]
        return [root * found / length for root, found, length in zip(self._roots, maps, lengths, strict=True)]


def _heads(tensors: Tensors, file: Path, net: Net) -> list[Float[torch.Tensor, "1 _c 1 1"]]:
    places = torch.nn.ModuleDict(
        {f"lin{n}": torch.nn.ModuleDict({"model": _after_dropout(width)}) for n, width in enumerate(WIDTHS[net])}
    )
    fit(places, tensors, source=str(file))
    heads = [tensors[f"lin{n}.model.1.weight"].float() for n in range(len(WIDTHS[net]))]
    if any(bool((head < 0).any()) for head in heads):
        raise ModelError("heads with negative weights: no heads of LPIPS", file, AGAIN)
    return heads


def _after_dropout(width: int) -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Conv2d(width, 1, 1, bias=False))


def _heads_pattern(net: Net) -> str:
    return rf"(?:lpips_)?{net}{_HASHED}{_SUFFIX}"


def _only(folder: Path, pattern: str, title: str) -> Path:
    """The one file of a folder whose name fits, its hash checked where the name carries it."""
    if not folder.is_dir():
        raise ModelError("no such folder", folder, "name the folder with the weights of the metrics")
    fitting = [(path, found) for path in sorted(folder.iterdir()) if (found := re.fullmatch(pattern, path.name))]
    if len(fitting) != 1:
        what = f"{len(fitting)} files for the {title}, expected one"
        shown = f"found {', '.join(path.name for path, _ in fitting[:3])}: keep one" if fitting else _WANTED
        raise ModelError(what, folder, shown)
    path, found = fitting[0]
    digits = found["digits"]
    if digits and path.is_file() and not file_hash(path).startswith(digits):
        raise ModelError(f"a file whose SHA-256 does not begin with {digits}, as its name says", path, AGAIN)
    return path


_WANTED = "put alexnet*.pth and alex.pth, vgg16*.pth and vgg.pth, or i3d_pretrained_400.pt there"
