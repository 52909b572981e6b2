"""SAM 2 for objects: random weights of a tiny configuration, known answers put in their mouths."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from diorama.errors import ModelError, UsageError
from diorama.perception import hub, people_hub
from diorama.perception.object_hub import TOGETHER, ObjectMasks, PartMasks

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

H, W = 90, 160
BOX = np.array([80, 22.5, 140, 67.5], np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with SAM 2 that has learnt nothing."""
    hub.quiet()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    det = transformers.Sam2HieraDetConfig(
        hidden_size=8, blocks_per_stage=[1, 1, 2, 1], embed_dim_per_stage=[8, 16, 32, 64], image_size=[128, 128],
        num_attention_heads_per_stage=[1, 1, 2, 2], window_size_per_stage=[4] * 4, global_attention_blocks=[3],
        window_positional_embedding_background_size=[2, 2],
    )  # fmt: skip
    vision = transformers.Sam2VisionConfig(
        backbone_config=det, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=128,
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
    )  # fmt: skip
    config = transformers.Sam2VideoConfig(
        vision_config=vision.to_dict(), image_size=128,
        prompt_encoder_config={"hidden_size": 128, "image_size": 128, "patch_size": 16},
        mask_decoder_config={"hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16},
        memory_attention_hidden_size=128, memory_attention_feed_forward_hidden_size=32, memory_attention_num_layers=1,
        memory_attention_rope_feat_sizes=[8, 8], memory_encoder_hidden_size=128, mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128, memory_fuser_intermediate_dim=32, num_maskmem=4,
        max_object_pointers_in_encoder=6,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("sam2")
    transformers.Sam2VideoModel(config).save_pretrained(folder)
    return folder


def answering(masks: Any, answer: Callable[..., Any]) -> None:
    """Put other words into a network's mouth."""
    network = masks.network
    module = type("Said", (), {"__call__": lambda _, *given, **named: answer(*given, **named)})()
    module.config = network.module.config
    masks.__dict__["network"] = people_hub.Network(
        module, network.config, network.normal, network.device, network.where
    )


def pictures(count: int) -> list[np.ndarray]:
    noise = np.random.default_rng(0).integers(0, 256, (count, H, W, 3)).astype(np.uint8)
    return [cv2.GaussianBlur(image, (0, 0), 5) for image in noise]


def test_coverage_is_soft_and_lies_where_the_network_sees_it(model: Path) -> None:
    masks, given = ObjectMasks(model), []

    def said(session: Any, frame: Any, frame_idx: int) -> Any:
        points = session.point_inputs_per_obj[0]
        given.append(points[frame_idx]["point_coords"].reshape(-1).tolist() if frame_idx in points else None)
        session.output_dict_per_obj[0]["non_cond_frame_outputs"] = {}
        logits = torch.full((1, 1, 32, 32), -2.0 if len(given) < 3 else -1024.0)
        logits[..., 8:24, 16:28] += 5
        return SimpleNamespace(pred_masks=logits)

    answering(masks, said)
    with pytest.raises(UsageError, match="without a box"):
        masks(pictures(1)[0])
    first, second, third = masks(pictures(1)[0], BOX), masks(pictures(1)[0]), masks(pictures(1)[0])
    np.testing.assert_allclose(given[0], [64, 32, 112, 96], rtol=1e-5)  # of the network's 128 x 128
    assert given[1:] == [None, None]
    assert first is not None
    assert first.shape == (H, W)
    assert first.dtype == np.float32
    assert (first.min(), first.max()) == pytest.approx((1 / (1 + np.exp(2)), 1 / (1 + np.exp(-3))), abs=1e-5)
    assert first[45, 110] > 0.9
    rows, columns = np.nonzero(first > 0.5)
    around = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(around, BOX, atol=1.5)
    np.testing.assert_array_equal(second, first)
    assert third is None


def test_a_subject_is_followed_by_memory_that_does_not_grow(model: Path) -> None:
    masks, sizes = ObjectMasks(model), []
    for place, image in enumerate(pictures(9)):
        alpha = masks(image, BOX if place == 0 else None)
        assert alpha is None or (alpha.shape == (H, W) and 0 <= alpha.min() <= alpha.max() <= 1)
        assert masks._subject is not None
        outputs = masks._subject.session.output_dict_per_obj[0]
        kept = (*outputs["cond_frame_outputs"].values(), *outputs["non_cond_frame_outputs"].values())
        sizes.append(sum(value.numel() for one in kept for value in one.values()))
    assert sizes[0] < sizes[3]
    assert sizes[-1] == sizes[-2]
    masks.close()
    assert masks._subject is None
    assert "network" not in masks.__dict__


def test_parts_are_asked_for_together_and_by_places_of_the_networks_picture(model: Path) -> None:
    masks, given = PartMasks(model), []
    count = TOGETHER + 3

    def said(**named: Any) -> Any:
        given.append(named)
        places = named["input_points"][0, :, 0]
        ys, xs = torch.meshgrid(torch.arange(32) * 4 + 2, torch.arange(32) * 4 + 2, indexing="ij")
        near = (xs - places[:, 0, None, None]).abs() + (ys - places[:, 1, None, None]).abs()
        return SimpleNamespace(pred_masks=(12 - near)[None, :, None], image_embeddings="features")

    answering(masks, said)
    points = np.stack([np.linspace(20, 140, count), np.linspace(20, 70, count)], axis=1).astype(np.float32)
    boxes = np.concatenate([points - 5, points + 5], axis=1)
    found = masks(pictures(1)[0], points, boxes)
    assert found.shape == (count, H, W)
    assert [one["input_points"].shape for one in given] == [(1, TOGETHER, 1, 2), (1, 3, 1, 2)]
    assert [one["input_boxes"].shape for one in given] == [(1, TOGETHER, 4), (1, 3, 4)]
    assert given[0]["pixel_values"].shape == (1, 3, 128, 128)
    assert given[1]["image_embeddings"] == "features"  # a picture is looked at once
    assert "pixel_values" not in given[1]
    for mask, (x, y) in zip(found, points, strict=True):
        rows, columns = np.nonzero(mask)
        assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((x, y), abs=1.5)
    assert masks(pictures(1)[0], points[:0], boxes[:0]).shape == (0, H, W)


def test_parts_of_a_network_that_has_learnt_nothing(model: Path) -> None:
    """One after the other they are outlined as all together: images too are answered by the model of clips."""
    masks = PartMasks(model)
    points = np.array([[30, 40], [100, 20], [120, 80]], np.float32)
    boxes = np.concatenate([points - 9, points + 9], axis=1)
    together = masks(pictures(1)[0], points, boxes)
    alone = [masks(pictures(1)[0], points[k : k + 1], boxes[k : k + 1])[0] for k in range(3)]
    assert type(masks.network.module).__name__ == "Sam2Model"
    for one, other in zip(together, alone, strict=True):
        assert (one != other).mean() < 0.01
    masks.close()
    assert "network" not in masks.__dict__


def test_answers_that_are_not_finite_are_refused(model: Path) -> None:
    parts, subject = PartMasks(model), ObjectMasks(model)
    broken = torch.full((1, 1, 1, 32, 32), float("nan"))
    answering(parts, lambda **_: SimpleNamespace(pred_masks=broken, image_embeddings=None))
    answering(subject, lambda *_, **__: SimpleNamespace(pred_masks=broken[0]))
    with pytest.raises(ModelError, match="not finite"):
        parts(pictures(1)[0], BOX[None, :2], BOX[None])
    with pytest.raises(ModelError, match="not finite"):
        subject(pictures(1)[0], BOX)


def test_what_is_no_such_model_is_told_at_once(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    other, empty = tmp_path / "other", tmp_path / "empty"
    other.mkdir()
    empty.mkdir()
    for file in model.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "vitpose"}))
    for kind in (ObjectMasks, PartMasks):
        with pytest.raises(ModelError, match=r"'vitpose' is no segmenter of clips.*--segmenter.*sam2_video"):
            kind(other)
        with pytest.raises(ModelError, match=r"no folder and no segmenter.*sam2-tiny"):
            kind(tmp_path / "missing")
        with pytest.raises(ModelError, match=r"not on this machine.*diorama models get sam2-tiny"):
            kind("sam2-tiny")
        with pytest.raises(ModelError, match=r"no config\.json"):
            kind(empty)
    (other / "config.json").write_text(json.dumps(config))
    weights = other / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="bytes, expected"):
        _ = PartMasks(other).network
