"""Depth networks by folder: each family with random weights of a tiny configuration, and what is refused."""

import hashlib
import json
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from diorama import catalog
from diorama.core.video import Frame, Video
from diorama.errors import ModelError
from diorama.perception import depth_net, hub
from diorama.perception.base import Tracked
from diorama.perception.depth_hub import CHUNK, HubDepth

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

H, W, T = 60, 100, 3
SIZES = {
    "depth_anything": {"size": {"height": 56, "width": 56}, "keep_aspect_ratio": True, "ensure_multiple_of": 14},
    "dpt": {"size": {"height": 32, "width": 32}, "keep_aspect_ratio": False, "ensure_multiple_of": 1},
    "zoedepth": {"size": {"height": 64, "width": 96}, "keep_aspect_ratio": True, "ensure_multiple_of": 32},
    "depth_pro": {"size": {"height": 64, "width": 64}},
}


def tiny_config(family: str) -> Any:
    block = {"hidden_size": 16, "num_attention_heads": 2}
    neck = {"neck_hidden_sizes": [4, 4, 8, 8], "fusion_hidden_size": 8}
    stages = {"num_hidden_layers": 4, "out_indices": [1, 2, 3, 4], "reshape_hidden_states": False}
    if family == "depth_anything":
        dino = transformers.Dinov2Config(**block, **stages, mlp_ratio=2, image_size=56, patch_size=14)
        return transformers.DepthAnythingConfig(
            backbone_config=dino, reassemble_hidden_size=16, head_hidden_size=4, **neck
        )
    if family == "dpt":
        return transformers.DPTConfig(
            **block, **neck, num_hidden_layers=4, intermediate_size=32, image_size=32, backbone_out_indices=[0, 1, 2, 3]
        )
    if family == "zoedepth":
        return transformers.ZoeDepthConfig(
            backbone_config=transformers.BeitConfig(
                **block, **stages, intermediate_size=32, image_size=32, use_relative_position_bias=True
            ),
            **neck,
            bottleneck_features=8,
            num_relative_features=4,
            bin_embedding_dim=8,
            num_attractors=[4, 2, 2, 1],
            bin_configurations=[{"n_bins": 8, "min_depth": 0.1, "max_depth": 10.0, "name": "nyu"}],
            patch_transformer_hidden_size=8,
            patch_transformer_intermediate_size=16,
            patch_transformer_num_attention_heads=2,
        )
    vit = {"model_type": "dinov2", **block, "num_hidden_layers": 2, "mlp_ratio": 2, "image_size": 32, "patch_size": 8}
    return transformers.DepthProConfig(
        image_model_config=dict(vit),
        patch_model_config=dict(vit),
        fov_model_config=dict(vit),
        patch_size=32,
        fusion_hidden_size=8,
        intermediate_hook_ids=[1, 0],
        intermediate_feature_dims=[8, 8],
        scaled_images_ratios=[0.5, 1.0],
        scaled_images_overlap_ratios=[0.0, 0.2],
        scaled_images_feature_dims=[8, 8],
        use_fov_model=True,
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder a family, weights large enough that the output is no constant."""
    hub.quiet()
    torch.set_num_threads(1)  # threads only get in each other's way in networks this small
    folders = {}
    for family, name in depth_net.CLASSES.items():
        torch.manual_seed(1)
        network = getattr(transformers, name)(tiny_config(family))
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, 0.05, 0.3)
        folders[family] = tmp_path_factory.mktemp(family)
        network.save_pretrained(folders[family])
        (folders[family] / "preprocessor_config.json").write_text(json.dumps(SIZES[family]))
    return folders


@pytest.fixture
def folder(models: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the Depth Anything folder, to be broken."""
    copy = tmp_path / "model"
    copy.mkdir()
    for file in models["depth_anything"].iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def pictures(count: int = T, height: int = H, width: int = W) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (count, height, width, 3)).astype(np.uint8)
    return np.stack([cv2.GaussianBlur(image, (0, 0), 6) for image in noise])


def shot(images: np.ndarray) -> Iterator[Tracked]:
    for index, image in enumerate(images):
        yield Tracked(Frame(image, index, 1, index), 0, index == 0, np.zeros((H // 2, W // 2, 3), np.uint8))


@pytest.mark.parametrize("family", sorted(depth_net.FAMILIES))
def test_each_family_answers_on_one_scale_in_the_aspect_of_the_frame(
    family: str, models: dict[str, Path], tmp_path: Path
) -> None:
    estimator = HubDepth(models[family], tmp_path)
    estimator.check(Video.from_array(pictures()))
    maps = list(estimator(shot(pictures())))
    assert len(maps) == T
    assert all(depth.dtype == np.float32 for depth in maps)
    assert min(depth.min() for depth in maps) == pytest.approx(0, abs=1e-5)
    assert max(depth.max() for depth in maps) == pytest.approx(1, abs=1e-5)
    height, width = maps[0].shape
    assert width / height == pytest.approx(W / H, rel=0.03)
    assert height <= H


@pytest.mark.parametrize("family", sorted(depth_net.FAMILIES))
def test_larger_is_nearer_for_every_family(family: str, models: dict[str, Path], tmp_path: Path) -> None:
    """Compared with the network's own output by what its documentation calls it; ZoeDepth gives distances."""
    estimator = HubDepth(models[family], tmp_path)
    network = estimator.network
    inputs = np.stack([depth_net.prepare(image, network.wanted) for image in pictures()])
    pixels = torch.from_numpy(inputs).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (network.wanted.mean, network.wanted.std))
    with torch.inference_mode():
        raw = network.module(pixel_values=(pixels - mean) / std).predicted_depth.numpy()
    ours = network(inputs)
    agreement = np.corrcoef(raw.ravel(), ours.ravel())[0, 1]
    assert agreement < -0.5 if family == "zoedepth" else agreement > 0.999


def test_a_killed_run_takes_up_its_maps_and_gives_the_same(models: dict[str, Path], tmp_path: Path) -> None:
    images = pictures(CHUNK + 3)
    whole = list(HubDepth(models["dpt"], tmp_path / "a")(shot(images)))
    killed = HubDepth(models["dpt"], tmp_path / "b")
    list(killed(shot(images[:CHUNK])))
    left = {path: path.stat().st_mtime_ns for path in (tmp_path / "b").iterdir()}
    assert len(left) == 1
    resumed = HubDepth(models["dpt"], tmp_path / "b")
    for one, other in zip(whole, resumed(shot(images)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert all(path.stat().st_mtime_ns == before for path, before in left.items())
    for path in left:  # a chunk that was damaged is made again
        path.write_bytes(path.read_bytes()[:50])
    for one, other in zip(whole, HubDepth(models["dpt"], tmp_path / "b")(shot(images)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not list((tmp_path / "b").glob(".*"))


def test_maps_of_another_model_or_picture_are_not_taken_up(models: dict[str, Path], tmp_path: Path) -> None:
    list(HubDepth(models["dpt"], tmp_path)(shot(pictures())))
    list(HubDepth(models["depth_anything"], tmp_path)(shot(pictures())))
    list(HubDepth(models["dpt"], tmp_path)(shot(pictures()[::-1])))
    assert len(list(tmp_path.iterdir())) == 3


def test_sixteen_bit_frames_give_the_maps_of_their_upper_bits(models: dict[str, Path], tmp_path: Path) -> None:
    deep = pictures().astype(np.uint16) * 257
    for one, other in zip(
        HubDepth(models["dpt"], tmp_path / "a")(shot(pictures())),
        HubDepth(models["dpt"], tmp_path / "b")(shot(deep)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_maps_stay_until_they_were_handed_out(models: dict[str, Path], tmp_path: Path) -> None:
    estimator = HubDepth(models["dpt"], tmp_path)
    maps = estimator(shot(pictures()))
    next(maps)
    assert estimator.shelf.past == []
    list(maps)
    assert [len(chunks) for chunks in estimator.shelf.past] == [1]


def test_an_empty_shot_gives_nothing(models: dict[str, Path], tmp_path: Path) -> None:
    assert list(HubDepth(models["dpt"], tmp_path)(iter(()))) == []


def test_the_licence_is_told_before_the_first_use(folder: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n# A model\n")
    HubDepth(folder, tmp_path, note=notes.append).check(Video.from_array(pictures()))
    assert len(notes) == 1
    assert "cc-by-nc-4.0" in notes[0]
    assert "unverified" in notes[0]


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def tensors(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def store(folder: Path, values: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    save_file(values, folder / "model.safetensors", metadata={"format": "pt"})


def truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-999])


def header_too_long(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(struct.pack("<Q", 1 << 40) + file.read_bytes()[8:])


def name_twice(folder: Path) -> None:
    entry = b'{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    header = b'{"a":' + entry + b',"a":' + entry + b"}"
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{" * 10)


def clip_model(folder: Path) -> None:
    edit(folder / "config.json", model_type="clip")


def wrong_type(folder: Path) -> None:
    edit(folder / "config.json", fusion_hidden_size="large")


def wrong_shape(folder: Path) -> None:
    edit(folder / "config.json", fusion_hidden_size=16)


def missing_tensors(folder: Path) -> None:
    store(folder, {key: value for key, value in tensors(folder).items() if not key.startswith("head.conv1")})


def not_finite(folder: Path) -> None:
    values = tensors(folder)
    values["head.conv1.weight"][0] = float("nan")
    store(folder, values)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, ("pickle_was_run", "w"))


def evil_pickle(folder: Path) -> None:
    without_weights(folder)
    torch.save({"head.conv1.weight": Evil()}, folder / "pytorch_model.bin")


def absurd_preprocessor(folder: Path) -> None:
    edit(folder / "preprocessor_config.json", size={"height": 10**9, "width": 10**9})


def odd_preprocessor(folder: Path) -> None:
    edit(folder / "preprocessor_config.json", image_mean="grey")


BAD: list[tuple[Callable[[Path], None], str]] = [
    (truncated, r"hold \d+ bytes, expected"),
    (header_too_long, "cut off in the header"),
    (name_twice, "given twice"),
    (without_weights, "no weights"),
    (without_config, "no config.json"),
    (broken_config, "not valid JSON"),
    (clip_model, "'clip'.*depth_anything, depth_pro, dpt, zoedepth"),
    (wrong_type, "fusion_hidden_size"),
    (wrong_shape, "of another shape: head"),
    (missing_tensors, "2 tensors .* missing.*head.conv1.bias, head.conv1.weight"),
    (not_finite, "NaN or infinity: head.conv1.weight"),
    (evil_pickle, "pickle refused"),
    (absurd_preprocessor, "input of"),
    (odd_preprocessor, "preprocessor_config.json"),
]


@pytest.mark.parametrize(("breaks", "says"), BAD, ids=lambda v: getattr(v, "__name__", ""))
def test_bad_folders_get_one_clear_line(
    breaks: Callable[[Path], None], says: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    breaks(folder)
    with pytest.raises(ModelError, match=says) as caught:
        HubDepth(folder, tmp_path).check(Video.from_array(pictures()))
    assert caught.value.exit_code == 6
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pickle_was_run").exists()


def test_a_plain_pickle_of_tensors_is_read(folder: Path, tmp_path: Path) -> None:
    expected = list(HubDepth(folder, tmp_path / "a")(shot(pictures())))
    values = tensors(folder)
    without_weights(folder)
    torch.save(values, folder / "pytorch_model.bin")
    for one, other in zip(expected, HubDepth(folder, tmp_path / "b")(shot(pictures())), strict=True):
        np.testing.assert_array_equal(one, other)


def test_tensors_that_inference_never_reads_may_be_missing(
    models: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    """As in the released DPT weights."""
    part = "fusion_stage.layers.0.residual_layer1."
    assert any(part in key for key in tensors(folder))
    store(folder, {key: value for key, value in tensors(folder).items() if part not in key})
    for one, other in zip(
        HubDepth(folder, tmp_path / "a")(shot(pictures())),
        HubDepth(models["depth_anything"], tmp_path / "b")(shot(pictures())),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_a_catalogue_name_comes_from_the_cache_first(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = catalog.find(catalog.DEFAULT_DEPTH)
    snapshots = tmp_path / f"models--{entry.source.replace('/', '--')}" / "snapshots"
    snapshots.mkdir(parents=True)
    (snapshots / "abc").symlink_to(models["depth_anything"])
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    notes: list[str] = []
    for name in (entry.name, entry.source):
        assert hub.locate(name, notes.append).terms == entry.terms
    assert notes == []


def test_files_are_compared_with_the_hashes_that_are_known(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = (models["dpt"] / "config.json").read_bytes()
    good = {"config.json": hashlib.sha256(config).hexdigest()}
    snapshots = tmp_path / "models--me--mine" / "snapshots"
    snapshots.mkdir(parents=True)
    (snapshots / "abc").symlink_to(models["dpt"])
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    def located(known: dict[str, str]) -> str:
        entry = catalog.Weights("mine", "depth", "me/mine", ("config.json",), "MIT", True, 1, known)
        monkeypatch.setattr(catalog, "WEIGHTS", (entry,))
        return hub.locate("mine", lambda _: None).terms

    assert "unverified" not in located(good)
    assert "unverified" in located({})
    for known in ({"config.json": "0" * 64}, good | {"absent.bin": "0" * 64}):
        with pytest.raises(ModelError, match=r"sha256 .* expected 000000000000"):
            located(known)
    monkeypatch.setattr(hub, "content_hash", lambda _: pytest.fail("a file without a known hash was read"))
    located({})


@pytest.mark.parametrize("name", [catalog.DEFAULT_DEPTH, "somebody/something"])
def test_without_a_network_the_remedy_is_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> str:
        raise ConnectionError("no route\nto host")

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    notes: list[str] = []
    with pytest.raises(ModelError, match=r"no route.*hf download .* --local-dir"):
        HubDepth(name, tmp_path, note=notes.append).check(Video.from_array(pictures()))
    assert "downloading" in notes[0]
    assert "licence" in notes[0] or "Apache" in notes[0]


def test_an_absent_device_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ModelError, match="cannot use the device 'cuda'"):
        HubDepth(models["dpt"], tmp_path, "cuda").check(Video.from_array(pictures()))


def test_nothing_pulls_torchvision_or_writes_to_the_terminal(
    models: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for folder in models.values():
        assert len(list(HubDepth(folder, tmp_path)(shot(pictures())))) == T
    assert capfd.readouterr() == ("", "")
    assert not [name for name in sys.modules if name.partition(".")[0] == "torchvision"]
