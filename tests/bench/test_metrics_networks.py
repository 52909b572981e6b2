"""LPIPS and I3D from files with random weights, files that are refused, and what the stand-ins tell apart."""

import hashlib
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from diorama.bench.metrics import disco, weights
from diorama.bench.metrics.frechet import clip_features, compare
from diorama.bench.metrics.perceptual import Perceptual, lpips
from diorama.bench.metrics.standins import fvd_standin, lpips_standin
from diorama.bench.metrics.suite import Networks, measure, networks
from diorama.bench.metrics.trunks import I3D, WIDTHS, Trunk
from diorama.errors import ModelError, UsageError

Tensors = dict[str, torch.Tensor]

# Of torchvision's files: number of the layer, channels out and in, side of the kernel.
ALEX = ((0, 64, 3, 11), (3, 192, 64, 5), (6, 384, 192, 3), (8, 256, 384, 3), (10, 256, 256, 3))
VGG = (
    *((0, 64, 3, 3), (2, 64, 64, 3), (5, 128, 64, 3), (7, 128, 128, 3), (10, 256, 128, 3), (12, 256, 256, 3)),
    *((14, 256, 256, 3), (17, 512, 256, 3), (19, 512, 512, 3), (21, 512, 512, 3), (24, 512, 512, 3)),
    *((26, 512, 512, 3), (28, 512, 512, 3)),
)


@cache
def trunk_tensors(net: str) -> Tensors:
    draw = torch.Generator().manual_seed(0)
    made: Tensors = {"classifier.1.weight": torch.zeros(4, 4)}
    for number, out, given, side in ALEX if net == "alex" else VGG:
        scale = (2 / (given * side**2)) ** 0.5
        made[f"features.{number}.weight"] = scale * torch.randn(out, given, side, side, generator=draw)
        made[f"features.{number}.bias"] = 0.1 * torch.randn(out, generator=draw)
    return made


def head_tensors(net: str) -> Tensors:
    draw = torch.Generator().manual_seed(1)
    return {f"lin{n}.model.1.weight": torch.rand(1, c, 1, 1, generator=draw) for n, c in enumerate(WIDTHS[net])}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("metrics")
    torch.save(trunk_tensors("alex"), made / "part.pth")
    digits = hashlib.sha256((made / "part.pth").read_bytes()).hexdigest()[:8]
    (made / "part.pth").rename(made / f"alexnet-owt-{digits}.pth")
    torch.save(head_tensors("alex"), made / "alex.pth")
    save_file(trunk_tensors("vgg"), made / "vgg16.safetensors")
    torch.save(head_tensors("vgg"), made / "vgg.pth")
    return made


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """A picture with the spectrum of photographs (1/f) and a few edges, "112 112 3" in [0, 1]."""
    draw = np.random.default_rng(5)
    ys, xs = np.meshgrid(*(np.fft.fftfreq(112),) * 2, indexing="ij")
    spectrum = np.fft.fft2(draw.standard_normal((112, 112, 3)), axes=(0, 1)) / (np.hypot(xs, ys) + 1 / 112)[..., None]
    made = np.fft.ifft2(spectrum, axes=(0, 1)).real
    made = np.clip(0.5 + 0.15 * made / made.std(), 0, 1)
    made[60:90, 65:100] *= 0.5
    cv2.circle(made, (70, 30), 14, (0.1, 0.2, 0.7), -1)
    return made


@pytest.fixture(scope="module")
def picture(scene: np.ndarray) -> np.ndarray:
    """Its middle, "1 96 96 3"."""
    return cut(scene)


def cut(scene: np.ndarray, shift: int = 0) -> np.ndarray:
    return scene[None, 8:104, 8 + shift : 104 + shift]


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_lpips_is_the_published_formula(folder: Path, picture: np.ndarray, net: str) -> None:
    network = weights.load_lpips(folder, net)
    assert network.name.startswith(f"lpips-{net} (trunk ")
    assert network.published
    picture = picture[:, :72, :64]
    other = np.clip(picture + 0.1 * np.random.default_rng(0).standard_normal(picture.shape), 0, 1)
    expected = by_hand(net, picture, other, 2, -1)
    assert lpips(network, picture, other).value == pytest.approx(expected, rel=1e-4)
    assert lpips(network, picture, other).by == network.name
    assert lpips(network, picture, picture).value == 0
    assert lpips(network, other, picture).value == pytest.approx(expected, rel=1e-4)
    whole = np.ones(picture.shape[:3], bool)
    assert 0 < lpips(network, picture, other, whole).value == pytest.approx(expected, rel=0.2)
    rounded = [np.floor(x * 255 + 0.5).astype(np.uint8) for x in (picture, other)]
    unscaled = disco.lpips_unscaled_disco(network, *rounded)
    assert unscaled.value == pytest.approx(by_hand(net, *(x / 255 for x in rounded), 1, 0), rel=1e-4)
    assert unscaled.by.endswith("not scaled (DisCo)")


def by_hand(net: str, one: np.ndarray, two: np.ndarray, gain: int, offset: int) -> float:
    """LPIPS in a few lines of plain calls, after the lpips package."""
    trunk, heads = trunk_tensors(net), head_tensors(net)
    shift, scale = (torch.tensor(v).view(1, 3, 1, 1) for v in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    taps = {"alex": (0, 3, 6, 8, 10), "vgg": (2, 7, 14, 21, 28)}[net]
    pools = {"alex": (3, 6), "vgg": (5, 10, 17, 24)}[net]  # layers with a pool before them
    found = []
    for side in (one, two):
        x = (torch.from_numpy(side).permute(0, 3, 1, 2).float() * gain + offset - shift) / scale
        maps = []
        for number, _, _, kernel in ALEX if net == "alex" else VGG:
            x = functional.max_pool2d(x, 3 if net == "alex" else 2, 2) if number in pools else x
            options = {"stride": 4, "padding": 2} if kernel == 11 else {"padding": kernel // 2}
            x = functional.conv2d(x, trunk[f"features.{number}.weight"], trunk[f"features.{number}.bias"], **options)
            x = x.relu()
            if number in taps:
                maps.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
        found.append(maps)
    both = zip(*found, heads.values(), strict=True)
    return float(sum(functional.conv2d((a - b) ** 2, head).mean() for a, b, head in both))


def test_places_of_the_published_files() -> None:
    for net, layers in (("alex", ALEX), ("vgg", VGG)):
        shapes = {name: tuple(t.shape) for name, t in trunk_tensors(net).items() if name.startswith("features.")}
        assert {name: tuple(t.shape) for name, t in Trunk(net).state_dict().items()} == shapes
        assert len(shapes) == 2 * len(layers)
    with torch.device("meta"):
        network = I3D()
    names = set(network.state_dict())
    assert sum(p.numel() for p in network.parameters()) == 12_697_264  # of pytorch-i3d with 400 classes
    assert {"Conv3d_1a_7x7.conv3d.weight", "Mixed_3b.b1a.bn.running_var", "Mixed_5c.b3b.bn.bias"} <= names
    assert {"logits.conv3d.weight", "logits.conv3d.bias"} <= names


def spoiled(kind: str, tensors: Tensors) -> Tensors:
    name = next(name for name in tensors if name.endswith("0.weight") or name.startswith("lin0"))
    if kind == "missing":
        return {key: value for key, value in tensors.items() if key != name}
    if kind == "shape":
        return tensors | {name: tensors[name][:, :2]}
    if kind == "extra":
        return tensors | {"features.99.weight": torch.zeros(3)}
    return tensors | {name: torch.full_like(tensors[name], {"nan": float("nan"), "negative": -1.0}[kind])}


@pytest.mark.parametrize(
    ("file", "kind", "message"),
    [
        ("alexnet.pth", "missing", "1 missing: features.0.weight"),
        ("alexnet.pth", "shape", "of another shape: features.0.weight"),
        ("alexnet.pth", "extra", "unexpected: features.99"),
        ("alexnet.pth", "nan", "NaN"),
        ("alex.pth", "missing", "1 missing: lin0"),
        ("alex.pth", "shape", "of another shape: lin0"),
        ("alex.pth", "nan", "NaN"),
        ("alex.pth", "negative", "negative weights"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, file: str, kind: str, message: str) -> None:
    both = {"alexnet.pth": trunk_tensors("alex"), "alex.pth": head_tensors("alex")}
    for name, tensors in both.items():
        torch.save(spoiled(kind, tensors) if name == file else tensors, tmp_path / name)
    with pytest.raises(ModelError, match=message):
        weights.load_lpips(tmp_path)


def test_folders_that_do_not_serve(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        weights.load_lpips(tmp_path / "nowhere")
    assert networks(tmp_path).lpips.name == "lpips-standin"
    torch.save(head_tensors("alex"), tmp_path / "alex.pth")
    with pytest.raises(ModelError, match="0 files for the trunk"):
        networks(tmp_path)  # there in part: no silent stand-in
    trunk = next(folder.glob("alexnet*"))
    (tmp_path / "alexnet-owt-00000000.pth").write_bytes(trunk.read_bytes())
    with pytest.raises(ModelError, match="does not begin with 00000000"):
        weights.load_lpips(tmp_path)
    (tmp_path / trunk.name).write_bytes(trunk.read_bytes())
    with pytest.raises(ModelError, match="2 files for the trunk"):
        weights.load_lpips(tmp_path)
    (tmp_path / "i3d.pt").write_bytes(b"\x80\x02cos\nsystem\n.")
    with pytest.raises(ModelError, match=r"i3d\.pt"):
        weights.load_i3d(tmp_path)
    with pytest.raises(ModelError, match="config"):
        weights.load_videomae(tmp_path)


def test_i3d_and_tables_with_published_networks(tmp_path: Path, folder: Path, picture: np.ndarray) -> None:
    torch.manual_seed(0)
    tensors = {name: t for name, t in I3D().state_dict().items() if "num_batches" not in name}
    torch.save(tensors, tmp_path / "i3d_pretrained_400.pt")
    video = np.repeat(picture, 8, axis=0)
    found = weights.load_i3d(tmp_path)
    features = clip_features(found, video, frames=8, stride=8)
    assert features.shape == (1, 400)
    assert found.name.startswith("i3d-400 (")
    with pytest.raises(UsageError, match="takes 8 or more"):
        clip_features(found, video, frames=4, stride=4)
    by = Networks(weights.load_lpips(folder), fvd_standin(), frames=4)
    row = measure(video[:4], video[:4], by=by, method="m", clip="c")
    assert row.values["lpips"] == row.values["lpips_unscaled_disco"] == 0


def test_videomae_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.VideoMAEConfig(image_size=32, patch_size=16, num_frames=4, **sizes)
    transformers.VideoMAEModel(config).save_pretrained(tmp_path)
    found = weights.load_videomae(tmp_path)
    video = np.random.default_rng(0).random((4, 40, 50, 3))
    assert clip_features(found, video, frames=4, stride=4).shape == (1, 8)
    assert found.name.startswith("videomae (")
    with pytest.raises(UsageError, match="takes 4"):
        clip_features(found, np.repeat(video, 2, axis=0), frames=8, stride=8)
    (tmp_path / "preprocessor_config.json").write_text('{"image_std": [0, 1, 1]}')
    with pytest.raises(ModelError, match="image_std"):
        weights.load_videomae(tmp_path)


def seen(network: Perceptual, one: np.ndarray, two: np.ndarray) -> float:
    return lpips(network, np.clip(one, 0, 1), np.clip(two, 0, 1)).value


def test_the_stand_in_for_lpips_orders_distortions(scene: np.ndarray, picture: np.ndarray) -> None:
    network = lpips_standin()
    assert not network.published
    draw = np.random.default_rng(0).standard_normal(picture.shape)
    blurred = {s: cut(cv2.GaussianBlur(scene, (0, 0), s)) for s in (0.5, 1, 2, 4)}
    ladders = {
        "noise": [picture + s * draw for s in (0.01, 0.03, 0.1, 0.3)],
        "blur": list(blurred.values()),
        "shift": [cut(scene, s) for s in (1, 2, 4, 8)],
        "tint": [picture * (1, 1 - s, 1 - 2 * s) for s in (0.05, 0.1, 0.2, 0.4)],
    }
    for name, ladder in ladders.items():
        found = [seen(network, step, picture) for step in ladder]
        assert found == sorted(found), name
        assert found[0] > 0, name
        assert found[-1] < seen(network, picture[:, ::-1, ::-1].copy(), picture), name
        assert seen(network, picture, ladder[-1]) == pytest.approx(found[-1], rel=1e-4)
    assert seen(network, picture, picture) == 0
    shifted = cut(scene, 2)  # worse than the blur by PSNR, nearer to the eye
    assert np.mean((shifted - picture) ** 2) > np.mean((blurred[4] - picture) ** 2)
    assert seen(network, shifted, picture) < 0.8 * seen(network, blurred[4], picture)
    where = np.zeros(picture.shape[:3], bool)
    where[:, 10:40, 10:40] = True
    spoiled = np.where(where[..., None], picture, 0.5)
    assert lpips(network, spoiled, picture, ~where).value > 4 * lpips(network, spoiled, picture, where).value


def test_pictures_too_small_for_a_network() -> None:
    small = np.zeros((1, 20, 40, 3))
    with pytest.raises(UsageError, match="takes 32 pixels"):
        lpips(lpips_standin(), small, small)


def test_the_stand_in_for_fvd_orders_distortions(scene: np.ndarray) -> None:
    network, draw = fvd_standin(), np.random.default_rng(3)
    true = [moving(scene, draw) for _ in range(6)]
    noise = [draw.standard_normal(v.shape) for v in true]

    def features(made: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([clip_features(network, np.clip(v, 0, 1), frames=8, stride=8) for v in made])

    wanted = features(true)
    for name, ladder in {
        "noise": [[v + s * n for v, n in zip(true, noise, strict=True)] for s in (0.05, 0.2)],
        "blur": [[np.stack([cv2.GaussianBlur(f, (0, 0), s) for f in v]) for v in true] for s in (1, 3)],
        "time": [[v[::-1] for v in true], [v[[3, 0, 6, 1, 7, 4, 2, 5]] for v in true]],
        "stills": [[np.repeat(v[:1], 8, axis=0) for v in true]],
    }.items():
        found = [compare(features(made), wanted, by="", frames=8, stride=8).value for made in ladder]
        assert found == sorted(found), name
        assert found[-1] > 1, name
    assert compare(wanted, wanted, by="", frames=8, stride=8).value == pytest.approx(0, abs=1e-6)


def moving(image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A window of 64 pixels that travels over a picture for 8 frames."""
    start, speed = draw.uniform(20, 28, 2), draw.uniform(-3, 3, 2)
    steps = [np.float64([[1, 0, -(start + speed * t)[0]], [0, 1, -(start + speed * t)[1]]]) for t in range(8)]
    return np.stack([cv2.warpAffine(image, step, (64, 64), borderMode=cv2.BORDER_REFLECT) for step in steps])
