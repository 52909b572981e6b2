"""Upscaling in stereo: equal eyes stay equal, neighbours come from the right place, cuts cut, bad input is told."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution

from diorama.diffusion.upscaler import Neighbour, Upscaler, agreement
from diorama.errors import ModelError, UsageError
from diorama.pipelines import upscale_hub
from diorama.pipelines.upscale import StereoFrame, open_by_name, upscale_mono, upscale_stereo
from diorama.pipelines.upscale_config import Upscale
from diorama.pipelines.upscale_hub import HubUpscaler, blended, open_hub
from diorama.pipelines.upscale_ways import MEMORY, believed, carry, way_before, way_beside


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return open_by_name()


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Swin2SR with random weights."""
    return write_hub(tmp_path_factory.mktemp("hub"))


def write_hub(folder: Path, **options: object) -> Path:
    sizes = {"embed_dim": 8, "depths": [1], "num_heads": [2], "window_size": 4, "image_size": 16, "mlp_ratio": 1.0}
    torch.manual_seed(0)
    Swin2SRForImageSuperResolution(Swin2SRConfig(**{**sizes, **options})).save_pretrained(folder)
    return folder


def picture(height: int = 48, width: int = 80, seed: int = 0, dtype: type = np.uint8) -> np.ndarray:
    """Blots of all sizes."""
    rng, most = np.random.default_rng(seed), np.iinfo(dtype).max
    total = np.zeros((height, width, 3), np.float32)
    for size in (4, 8, 16):
        noise = rng.random((height // size + 3, width // size + 3, 3), np.float32)
        total += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) / 3
    return np.clip(total * most, 0, most).astype(dtype)


def shifted(image: np.ndarray, columns: int) -> np.ndarray:
    """What is seen moved to the left."""
    return np.roll(image, -columns, axis=1)


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("known", [True, False])
def test_a_static_clip_without_disparity_gives_equal_eyes(
    upscaler: Upscaler, factor: int, dtype: type, known: bool
) -> None:
    image = picture(37, 51, dtype=dtype)
    disparity = np.zeros((37, 51), np.float32) if known else None
    frames = [StereoFrame(image, image, disparity, first=t == 0) for t in range(3)]
    for left, right in upscale_stereo(frames, upscaler, factor=factor):
        assert left.shape == (37 * factor, 51 * factor, 3)
        assert left.dtype == dtype
        assert np.array_equal(left, right)
        assert np.abs(left[::factor, ::factor].astype(float) - image).mean() < 0.05 * np.iinfo(dtype).max


@pytest.mark.parametrize("seen_from", ["left", "center", "right"])
def test_what_both_eyes_show_gets_the_same_pixels(upscaler: Upscaler, seen_from: str) -> None:
    left = picture(48, 96)
    right = shifted(left, 6)
    disparity = np.full((48, 96), 6, np.float32)
    frame = StereoFrame(left, right, disparity)
    (made_left, made_right), *_ = upscale_stereo([frame], upscaler, seen_from=seen_from)
    assert np.array_equal(made_right[8:-8, 8:-32], made_left[8:-8, 20:-20])


def test_sixteen_bits_are_as_good_as_eight(upscaler: Upscaler) -> None:
    image = picture(24, 40)
    eight, sixteen = (next(upscale_mono([(kind, True)], upscaler)) for kind in (image, image.astype(np.uint16) * 257))
    assert np.abs(sixteen / 257 - eight).max() <= 0.51


def test_a_shot_knows_nothing_of_the_one_before(upscaler: Upscaler) -> None:
    frames = [picture(40, 56, seed) for seed in range(2)]
    alone = next(upscale_mono([(frames[1], True)], upscaler))
    cut = list(upscale_mono([(frames[0], True), (frames[1], True)], upscaler))
    assert np.array_equal(cut[1], alone)
    moved = [picture(40, 56), shifted(picture(40, 56), 2)]
    after = list(upscale_mono([(moved[0], True), (moved[1], False)], upscaler))
    assert not np.array_equal(after[1], next(upscale_mono([(moved[1], True)], upscaler)))


def test_frames_stream(upscaler: Upscaler) -> None:
    asked = []

    def frames() -> Sequence[tuple[np.ndarray, bool]]:
        for t in range(5):
            asked.append(t)
            yield picture(20, 24), t == 0

    made = upscale_mono(frames(), upscaler)
    assert asked == []
    next(made)
    assert asked == [0]


def test_the_way_back_is_found_and_leads_large_pictures_too() -> None:
    before = picture(64, 96)
    here = shifted(before, 3)
    way = way_before(here, before)
    inside = slice(12, -12), slice(12, -12)
    assert np.abs(way.flow[inside] - [3, 0]).mean() < 0.2
    assert way.mask[inside].mean() > 0.9 * MEMORY
    large = cv2.resize(before, (192, 128), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    exact = np.zeros((64, 96, 2), np.float32) + np.array([3, 0], np.float32)
    carried = carry(large, exact)
    assert np.array_equal(carried[:, :-8], large[:, 6:-2])
    other = way_before(picture(64, 96, 5), before)
    assert other.mask.mean() < 0.5


def test_the_nearer_surface_wins_and_what_it_hides_is_not_believed() -> None:
    left = picture(32, 64)
    disparity = np.zeros((32, 64), np.float32)
    disparity[:, 30:40] = 8
    right = left.copy()
    right[:, 22:32] = left[:, 30:40]
    right[:, 32:40] = 255 - left[:, 32:40]
    way = way_beside(right, left, disparity)
    assert (way.flow[:, 22:32, 0] == 8).all()
    assert (way.flow[:, :22, 0] == 0).all()
    assert (way.same[2:-2, 24:30] == 1).all()
    assert way.mask[:, 32:40].mean() < 0.2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e9, -200.0, 200.0])
def test_disparities_that_lead_nowhere_are_unknown(upscaler: Upscaler, value: float) -> None:
    image = picture(24, 40)
    disparity = np.full((24, 40), value, np.float32)
    assert (way_beside(image, image, disparity).mask == 0).all()
    ((left, right),) = upscale_stereo([StereoFrame(image, image, disparity)], upscaler)
    assert np.array_equal(left, right)
    disparity[:, 10:] = 0
    assert (way_beside(image, image, disparity).same[2:-2, 12:-2] == 1).all()


def test_believed_is_agreement_of_eight_bits() -> None:
    here, there = picture(30, 44), picture(30, 44, 0)
    there = np.clip(there.astype(int) + np.random.default_rng(1).integers(-40, 40, there.shape), 0, 255).astype(
        np.uint8
    )
    tensors = [torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255 for image in (here, there)]
    assert np.allclose(believed(here, there), agreement(*tensors)[0, 0].numpy(), atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 3), (15, 17)])
def test_tiny_pictures_are_upscaled(upscaler: Upscaler, size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 90, np.uint8)
    frames = [StereoFrame(image, image, first=t == 0) for t in range(2)]
    for factor in (2, 4):
        for pair in upscale_stereo(frames, upscaler, factor=factor):
            for eye in pair:
                assert eye.shape == (size[0] * factor, size[1] * factor, 3)
                assert np.abs(eye.astype(int) - 90).max() < 12


def test_bad_input_is_told(upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(20, 24)
    for factor in (1, 3, 8):
        with pytest.raises(UsageError, match="upscaling by"):
            upscale_mono([(image, True)], upscaler, factor=factor)
    wrong = [
        ([StereoFrame(image, image[:, 1:])], "eyes of"),
        ([StereoFrame(image, image.astype(np.uint16))], "eyes of"),
        ([StereoFrame(image, image, np.zeros((20, 23), np.float32))], "disparity of 23x20"),
        ([StereoFrame(image, image), StereoFrame(image[1:], image[1:])], "after 24x20"),
        ([StereoFrame(image[:0], image[:0])], "24x0"),
    ]
    for frames, said in wrong:
        with pytest.raises(UsageError, match=said):
            list(upscale_stereo(frames, upscaler))
    monkeypatch.setattr("diorama.pipelines.upscale.MOST_PIXELS", 1000)
    with pytest.raises(UsageError, match="a result of 48x40"):
        list(upscale_mono([(image, True)], upscaler))


def test_options_are_checked() -> None:
    assert Upscale().upscale == 1
    with pytest.raises(UsageError, match="no upscaler"):
        Upscale(upscaler=" ")


@pytest.mark.parametrize(("factor", "of"), [(2, 2), (4, 4), (4, 2)])
def test_a_hub_upscaler_takes_the_place_of_the_embedded_one(tmp_path: Path, factor: int, of: int) -> None:
    said: list[str] = []
    model = open_by_name(str(write_hub(tmp_path, upscale=of)), said.append)
    assert isinstance(model, Upscaler)
    assert model.factor == of
    assert any("licence" in line for line in said)
    image = picture(13, 22)
    zero = np.zeros((13, 22), np.float32)
    frames = [StereoFrame(image, image, zero, first=t == 0) for t in range(2)]
    for left, right in upscale_stereo(frames, model, factor=factor):
        assert left.shape == (13 * factor, 22 * factor, 3)
        assert np.array_equal(left, right)


def test_a_hub_upscaler_computes_where_it_is_told(hub_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_by_name(str(hub_folder), device="cpu").network.device.type == "cpu"
    with pytest.raises(ModelError, match=r"cannot use the device 'cuda:97'.*--device"):
        open_by_name(str(hub_folder), device="cuda:97")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # auto would take it
    assert open_hub(hub_folder, lambda text: None, "cpu").network.device.type == "cpu"
    placed: list[str] = []
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, place: placed.append(str(place)) or self)
    open_hub(hub_folder, lambda text: None)
    assert placed == ["cuda"]


def test_a_hub_upscaler_of_four_cannot_give_two(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="with a model of 4"):
        upscale_mono([], open_hub(write_hub(tmp_path, upscale=4), lambda text: None), factor=2)


def test_padding_and_tiles_leave_the_inside_alone(hub_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_hub(hub_folder, lambda text: None)
    frame = torch.rand(1, 3, 16, 24)
    with torch.inference_mode():
        whole = model(frame, None, None)
        direct = model.network(pixel_values=frame).reconstruction.clamp(0, 1)
        assert torch.allclose(whole[..., :16, :32], direct[..., :16, :32], atol=0.05)
        monkeypatch.setattr(upscale_hub, "TILE", 8)
        monkeypatch.setattr(upscale_hub, "MARGIN", 8)
        tiled = model(frame, None, None)
    assert tiled.shape == whole.shape == (1, 3, 32, 48)
    assert (tiled - whole).abs().mean() < 0.02


def test_blending_is_the_mean_where_a_neighbour_is_believed() -> None:
    made, image = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    none, full = (Neighbour(image, torch.full((1, 1, 2, 2), float(mask))) for mask in (0, 1))
    assert (blended(made, []) == 0).all()
    assert (blended(made, [none, none]) == 0).all()
    assert torch.allclose(blended(made, [full]), torch.tensor(0.5))
    assert torch.allclose(blended(made, [full, full]), torch.tensor(0.5))


@pytest.mark.parametrize("name", ["nofolder", "upscale-s", "depth-pro", "no/such/folder"])
def test_names_of_other_networks_are_no_upscalers(name: str) -> None:
    told = rf"'{name}' is no folder and no upscaler .*--upscaler — give embedded .*Swin2SR$"
    with pytest.raises(ModelError, match=told) as refused:
        open_by_name(name)
    assert "known:" not in str(refused.value)


def test_hub_models_that_do_not_fit_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        open_by_name(str(tmp_path))
    folder = write_hub(tmp_path / "aux", upsampler="pixelshuffle_aux")
    with pytest.raises(ModelError, match="pixelshuffle_aux"):
        open_hub(folder, lambda text: None)
    (folder / "config.json").write_text('{"model_type": "dpt"}')
    with pytest.raises(ModelError, match="dpt"):
        open_hub(folder, lambda text: None)
    folder = write_hub(tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError):
        open_hub(folder, lambda text: None)


def test_an_answer_that_is_no_picture_is_told(hub_folder: Path) -> None:
    model = open_hub(hub_folder, lambda text: None)
    torch.nn.init.constant_(next(model.network.upsample.parameters()), float("nan"))
    with pytest.raises(ModelError, match="not finite"), torch.inference_mode():
        HubUpscaler(model.network, 2, hub_folder)(torch.rand(1, 3, 8, 8), None, None)
