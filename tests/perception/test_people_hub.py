"""Networks of the hub for people: random weights of tiny configurations, known answers put in their mouths."""

import json
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from diorama import catalog
from diorama.core.person import LANDMARKS
from diorama.errors import ModelError
from diorama.perception import hub, people_hub
from diorama.perception.people_hub_detect import LEAST_SCORE, MOST, HubDetector, found_in
from diorama.perception.people_hub_mask import FORGET, HubMasks
from diorama.perception.people_hub_pose import HubPose, cropped, in_frame, peaks, region_of
from diorama.perception.people_points import COCO

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

H, W = 90, 160
PERSON = np.array([40, 10, 80, 80], np.float32)
LABELS = {0: "bicycle", 1: "Person", 2: "car"}


def tiny_detector(config: str, name: str) -> Any:
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 12, 16, 24],
        depths=[1] * 4,
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    sizes = {"encoder_hidden_dim": 16, "encoder_ffn_dim": 16, "d_model": 16, "decoder_ffn_dim": 16, "num_queries": 12}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_layers": 2, "decoder_n_points": 2}
    channels = {"encoder_in_channels": [12, 16, 24], "decoder_in_channels": [16] * 3, "num_denoising": 0}
    names = {"num_labels": 3, "id2label": LABELS, "label2id": {v: k for k, v in LABELS.items()}}
    made = getattr(transformers, config)(backbone_config=backbone, **sizes, **heads, **channels, **names)
    return getattr(transformers, name)(made)


def tiny_pose(experts: int) -> Any:
    backbone = transformers.VitPoseBackboneConfig(
        image_size=[64, 48], hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2,
        out_features=["stage2"], num_experts=experts, part_features=8,
    )  # fmt: skip
    config = transformers.VitPoseConfig(backbone_config=backbone, num_labels=17, use_simple_decoder=True)
    return transformers.VitPoseForPoseEstimation(config)


def tiny_segmenter() -> Any:
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
    return transformers.Sam2VideoModel(config)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each family."""
    hub.quiet()
    torch.set_num_threads(1)
    makers: dict[str, Callable[[], Any]] = {
        "rt_detr": lambda: tiny_detector("RTDetrConfig", "RTDetrForObjectDetection"),
        "rt_detr_v2": lambda: tiny_detector("RTDetrV2Config", "RTDetrV2ForObjectDetection"),
        "vitpose": lambda: tiny_pose(1),
        "vitpose-plus": lambda: tiny_pose(6),
        "sam2": tiny_segmenter,
    }
    folders = {}
    for name, make in makers.items():
        torch.manual_seed(1)
        folders[name] = tmp_path_factory.mktemp(name)
        make().save_pretrained(folders[name])
    for name in ("rt_detr", "rt_detr_v2"):
        size = {"size": {"height": 64, "width": 96}, "do_normalize": False}
        (folders[name] / "preprocessor_config.json").write_text(json.dumps(size))
    return folders


def answering(network: people_hub.Network, answer: Callable[..., Any]) -> people_hub.Network:
    """The network with other words in its mouth."""
    module = SimpleNamespace(config=network.module.config)
    module_type = type("Said", (), {"__call__": lambda _, *given, **named: answer(*given, **named), **vars(module)})
    return people_hub.Network(module_type(), network.config, network.normal, network.device, network.where)


def pictures(count: int, height: int = H, width: int = W) -> list[np.ndarray]:
    noise = np.random.default_rng(0).integers(0, 256, (count, height, width, 3)).astype(np.uint8)
    return [cv2.GaussianBlur(image, (0, 0), 5) for image in noise]


@pytest.mark.parametrize("family", ["rt_detr", "rt_detr_v2"])
def test_detectors_look_at_batches_as_at_single_frames(family: str, models: dict[str, Path]) -> None:
    detector = HubDetector(models[family])
    assert detector.size == (64, 96)
    assert detector.labels == [1]
    scores, boxes = detector.network.run(detector._looked, pictures(2), "")
    assert scores.shape == (2, 12)
    for place, image in enumerate(pictures(2)):
        one, there = detector.network.run(detector._looked, [image], "")
        np.testing.assert_allclose(one[0], scores[place], atol=1e-5)
        np.testing.assert_allclose(there[0], boxes[place], atol=1e-4)
    deep = [image.astype(np.uint16) * 257 for image in pictures(1)]
    np.testing.assert_allclose(detector.network.run(detector._looked, deep, "")[0], scores[:1], atol=1e-5)


def test_boxes_are_within_the_picture_and_the_surest_come_first() -> None:
    random = np.random.default_rng(0)
    found = found_in(random.random(300), random.normal(0.5, 0.4, (300, 4)).clip(-2, 2), (H, W))
    assert len(found) == MOST
    assert all(one.score >= other.score for one, other in pairwise(found))
    for one in found:
        assert (one.box >= 0).all()
        assert (one.box <= [W, H, W, H]).all()


def test_only_people_count_and_their_boxes_are_pixels_of_the_frame(models: dict[str, Path]) -> None:
    detector = HubDetector(models["rt_detr"])
    logits = torch.full((1, 5, 3), -9.0)
    logits[0, 0, 2] = 9.0  # a car
    logits[0, 1, 1], logits[0, 2, 1], logits[0, 3, 1] = 1.0, 2.0, 1.9  # people, the last two the same
    logits[0, 4, 1] = float(np.log(LEAST_SCORE / (1 - LEAST_SCORE))) - 0.01  # hardly anybody
    boxes = torch.tensor(
        [[[0.5, 0.5, 1, 1], [0.95, 0.5, 0.3, 0.5], [0.25, 0.5, 0.1, 0.4], [0.25, 0.5, 0.1, 0.41], [0.5, 0.5, 0.5, 0.5]]]
    )
    detector.__dict__["network"] = answering(
        detector.network, lambda pixel_values: SimpleNamespace(logits=logits, pred_boxes=boxes)
    )
    (found,) = detector(pictures(1))
    assert [round(one.score, 4) for one in found] == [0.8808, 0.7311]
    np.testing.assert_allclose(found[0].box, [0.2 * W, 0.3 * H, 0.3 * W, 0.7 * H], rtol=1e-5)
    np.testing.assert_allclose(found[1].box, [0.8 * W, 0.25 * H, W, 0.75 * H], rtol=1e-5)


def test_resizing_keeps_places(models: dict[str, Path]) -> None:
    """The middle of a blob stays at the same part of the sides."""
    ys, xs = np.mgrid[:H, :W] + 0.5
    blob = 255 * np.exp(-((xs - 100) ** 2 + (ys - 30) ** 2) / 100)
    image = np.repeat(blob[..., None], 3, axis=2).astype(np.uint8)
    small = HubDetector(models["rt_detr"]).network.resized([image], 45, 64)[0, 0].numpy()
    rows, columns = np.mgrid[:45, :64] + 0.5
    middle = np.array([(columns * small).sum(), (rows * small).sum()]) / small.sum()
    np.testing.assert_allclose(middle / [64, 45], [100 / W, 30 / H], atol=2e-3)


def test_a_dot_in_the_picture_comes_back_to_its_place() -> None:
    """Crop and decoding together, the crop taken for its own heatmap: within a twentieth of a pixel."""
    ys, xs = np.mgrid[:H, :W] + 0.5
    for place in ((60.0, 40.0), (51.3, 22.8), (70.5, 61.5)):
        for size in ((64, 48), (48, 36)):
            region = region_of(PERSON, size)
            assert region[3] / region[2] == pytest.approx(size[0] / size[1])
            image = 255 * np.exp(-((xs - place[0]) ** 2 + (ys - place[1]) ** 2) / 18)
            crop = cropped(np.repeat(image[..., None], 3, axis=2).round().astype(np.uint8), region, size)
            found, score = peaks(crop[None, None, ..., 0].astype(np.float32) / 255)
            np.testing.assert_allclose(in_frame(found[0], region, size)[0], place, atol=0.06)
            assert score[0, 0] > 0.8


def test_poses_are_those_of_the_published_processor(models: dict[str, Path]) -> None:
    """Its places count from the middle of the first pixel, ours from the edge."""
    kind = pytest.importorskip("transformers.models.vitpose.image_processing_pil_vitpose").VitPoseImageProcessorPil
    pytest.importorskip("scipy")
    theirs = kind(size={"height": 64, "width": 48})
    left, top, right, bottom = (PERSON - 0.5).tolist()
    boxes = [[[left, top, right - left, bottom - top]]]
    image, pose = pictures(1)[0], HubPose(models["vitpose"])
    expected = theirs(image, boxes=boxes, return_tensors="pt")["pixel_values"]
    crops = cropped(image, region_of(PERSON, pose.size), pose.size)[None]
    assert float((pose.network.prepared(crops) - expected).abs().max()) < 0.05  # two levels of 256
    heatmaps = np.zeros((1, 17, 16, 12), np.float32)
    rows, columns = np.mgrid[:16, :12]
    for k, (x, y) in enumerate(np.random.default_rng(0).uniform(2, 9, (17, 2))):
        heatmaps[0, k] = 0.9 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
    output = SimpleNamespace(heatmaps=torch.from_numpy(heatmaps))
    (((published,),),) = (theirs.post_process_pose_estimation(output, boxes=boxes),)
    pose.__dict__["network"] = answering(pose.network, lambda pixels: output)
    (ours,) = pose(image, PERSON[None])
    assert ours is not None
    order = [LANDMARKS.index(name) for name in COCO]
    np.testing.assert_allclose(ours[order, :2], published["keypoints"].numpy() + 0.5, atol=0.02)
    np.testing.assert_allclose(ours[order, 2], published["scores"].numpy(), atol=1e-6)
    others = [k for k in range(33) if k not in order]
    assert (ours[others, 2] == 0).all()


@pytest.mark.parametrize("family", ["vitpose", "vitpose-plus"])
def test_random_poses_are_within_their_regions(family: str, models: dict[str, Path]) -> None:
    pose = HubPose(models[family])
    boxes = np.stack([PERSON, PERSON + 30, PERSON * 0.5])
    together, alone = pose(pictures(1)[0], boxes), [pose(pictures(1)[0], box[None])[0] for box in boxes]
    for points, single, box in zip(together, alone, boxes, strict=True):
        assert (points is None) == (single is None)
        if points is not None and single is not None:
            np.testing.assert_allclose(points, single, atol=1e-3)
            x, y, width, height = region_of(box, pose.size)
            known = points[points[:, 2] > 0]
            assert (np.abs(known[:, :2] - [x, y]) <= np.array([width, height]) * 0.5001).all()
    assert pose(pictures(1)[0], np.zeros((0, 4), np.float32)) == []


def test_unsure_heatmaps_give_no_pose(models: dict[str, Path]) -> None:
    pose, output = HubPose(models["vitpose"]), SimpleNamespace(heatmaps=torch.full((1, 17, 16, 12), -0.1))
    pose.__dict__["network"] = answering(pose.network, lambda pixels: output)
    assert pose(pictures(1)[0], PERSON[None]) == [None]
    output.heatmaps = torch.full((1, 21, 16, 12), 0.5)
    with pytest.raises(ModelError, match="21 landmarks"):
        pose(pictures(1)[0], PERSON[None])


def test_outlines_lie_where_the_network_sees_them(models: dict[str, Path]) -> None:
    masks, given = HubMasks(models["sam2"]), []

    def said(session: Any, frame: Any, frame_idx: int) -> Any:
        given.append(session.point_inputs_per_obj[0][frame_idx]["point_coords"].reshape(-1).tolist())
        session.output_dict_per_obj[0]["non_cond_frame_outputs"] = {}
        logits = torch.full((1, 1, 32, 32), -20.0)
        logits[..., 8:24, 16:28] = 20.0
        return SimpleNamespace(pred_masks=logits)

    masks.__dict__["network"] = answering(masks.network, said)
    wanted = np.array([16 / 32 * W, 8 / 32 * H, 28 / 32 * W, 24 / 32 * H], np.float32)
    mask = masks(pictures(1)[0], {1: wanted})[1]
    np.testing.assert_allclose(given[0], [64, 32, 112, 96], rtol=1e-5)  # of the network's 128 x 128
    assert mask is not None
    whole = mask.whole(H, W)
    assert whole.shape == (H, W)
    ys, xs = np.mgrid[:H, :W] + 0.5
    inside = (xs > wanted[0]) & (ys > wanted[1]) & (xs < wanted[2]) & (ys < wanted[3])
    off = np.minimum(
        np.abs(xs - wanted[[0, 2]][:, None, None]).min(0), np.abs(ys - wanted[[1, 3]][:, None, None]).min(0)
    )
    np.testing.assert_array_equal((whole > 0.5)[off > 1], inside[off > 1])
    bounds = mask.bounds()
    assert bounds is not None
    np.testing.assert_allclose(bounds, wanted, atol=1.1)
    assert mask.values.size < 0.5 * H * W


def kept_bytes(masks: HubMasks) -> int:
    """What all sessions hold."""
    total = 0
    for person in masks._people.values():
        outputs = person.session.output_dict_per_obj[0]
        for kept in (*outputs["cond_frame_outputs"].values(), *outputs["non_cond_frame_outputs"].values()):
            total += sum(value.numel() * value.element_size() for value in kept.values())
        assert len(person.session.processed_frames) == 0
        assert len(person.session.point_inputs_per_obj[0]) == len(person.session.frames_tracked_per_obj[0]) == 0
    return total


def test_what_is_forgotten_is_not_missed_and_memory_stays_small(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outlines led by a session that forgets equal those of one that keeps all; features are computed once a frame."""
    images, boxes = pictures(11), {1: PERSON, 5: PERSON + 60}
    monkeypatch.setattr("diorama.perception.people_hub_mask._fits", lambda mask, box: True)  # no prompt but the first
    looked = []

    def run(forgets: bool) -> tuple[list[Any], list[int]]:
        masks, sizes, out = HubMasks(models["sam2"]), [], []
        encoder = masks.network.module.vision_encoder
        encoder.register_forward_hook(lambda *_: looked.append(1))
        soft: list[Any] = []
        masks._soft = lambda logits, size: soft.append(logits.clone())  # type: ignore[method-assign,assignment]
        if not forgets:
            masks._forget_past = lambda session: None  # type: ignore[method-assign]
        for image in images:
            masks(image, boxes)
            sizes.append(kept_bytes(masks) if forgets else 0)
        out = soft
        return out, sizes

    short, sizes = run(True)
    assert len(looked) == len(images)
    long, _ = run(False)
    assert len(short) == len(long) == 2 * len(images)
    for one, other in zip(short, long, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert sizes[-1] == sizes[-2] == sizes[8]
    assert sizes[-1] < 5 * sizes[0]


def test_people_come_and_go(models: dict[str, Path]) -> None:
    masks, image = HubMasks(models["sam2"]), pictures(1)[0]
    masks(image, {1: PERSON, 2: PERSON + 60})
    assert set(masks._people) == {1, 2}
    for _ in range(FORGET + 1):
        assert masks(image, {}) == {}
    assert masks._people == {}
    masks(image, {3: PERSON})
    masks.cut()
    assert masks._people == {}
    masks.close()


def edited(folder: Path, to: Path, **changes: Any) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    config = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps(config | changes))
    return to


def test_a_model_that_is_missing_or_wrong_gets_one_line_with_its_remedy(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("asked the hub"))
    (tmp_path / "empty").mkdir()
    anonymous = edited(models["rt_detr"], tmp_path / "anonymous", id2label={"0": "LABEL_0", "1": "LABEL_1"})
    cut = edited(models["sam2"], tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:-100])
    cases: list[tuple[Callable[[], object], str]] = [
        (
            lambda: HubDetector("rtdetr-r50"),
            r"not on this machine.*--detector.*diorama models get rtdetr-r50 \(172 MB, A",
        ),
        (lambda: HubMasks("me/mine"), r"not on this machine.*hf download me/mine --local-dir model.*or name a folder"),
        (lambda: HubPose("nothing"), r"no folder and no network of landmarks.*config.json.*vitpose-base-simple"),
        (lambda: HubDetector(tmp_path / "empty"), "no config.json"),
        (lambda: HubDetector(models["vitpose"]), "'vitpose' is no detector of people.*--detector.*d_fine, rt_detr"),
        (lambda: HubMasks(models["rt_detr"]), "'rt_detr' is no segmenter of clips.*sam2_video"),
        (lambda: HubDetector(anonymous), "none of them called person.*id2label"),
        (lambda: HubMasks(cut).network, "bytes, expected"),
        (
            lambda: HubPose(edited(models["vitpose"], tmp_path / "large", backbone_config={"image_size": 10**9})),
            "pixels",
        ),
        (
            lambda: HubPose(edited(models["vitpose"], tmp_path / "many", backbone_config={"num_experts": "all"})),
            "num_experts all.*expected a number",
        ),
    ]
    for asked, says in cases:
        with pytest.raises(ModelError, match=says) as caught:
            asked()
        assert caught.value.exit_code == 6
        assert "\n" not in str(caught.value)


def test_names_of_the_catalogue_come_from_the_download_cache_with_their_licence(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = next(weights for weights in catalog.PEOPLE if weights.name == "rtdetr-r18")
    snapshots = tmp_path / f"models--{entry.source.replace('/', '--')}" / "snapshots"
    snapshots.mkdir(parents=True)
    (snapshots / "abc").symlink_to(models["rt_detr"])
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    notes: list[str] = []
    detector = HubDetector("rtdetr-r18", note=notes.append)
    assert detector.folder.name == "rtdetr-r18"
    assert notes == [entry.terms]
    assert "Apache-2.0" in notes[0]
    questions = {weights.question for weights in catalog.PEOPLE}
    assert questions == {"detector", "segmenter", "pose"}
    assert not [name for name in sys.modules if name.partition(".")[0] == "torchvision"]
