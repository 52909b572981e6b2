"""``--segmenter`` of parts and rigs, whole: the subject of pictures and clips, and borders of decoded parts."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from diorama.core.progress import Silent
from diorama.errors import ModelError, UsageError
from diorama.media.images import save_image
from diorama.perception import hub, people_hub
from diorama.perception.object_hub import ObjectMasks
from diorama.pipelines.cutout import cutouts
from diorama.pipelines.cutout_config import CutoutConfig
from diorama.pipelines.part_views import PartViews, write_views
from diorama.pipelines.rig import rig
from diorama.pipelines.rig_config import RigConfig
from diorama.pipelines.rig_refine import refiner
from diorama.pipelines.rig_views import told_apart
from diorama.rigging.decode import decode

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

H, W = 96, 128
SIDE = 96
PARTS = np.array([[200, 40, 40], [40, 60, 200]], np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with SAM 2 that has learnt nothing."""
    hub.quiet()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    det = transformers.Sam2HieraDetConfig(
        hidden_size=8, blocks_per_stage=[1, 1, 2, 1], embed_dim_per_stage=[8, 16, 32, 64], image_size=[128, 128],
        num_attention_heads_per_stage=[1, 1, 2, 2], window_size_per_stage=[4] * 4, global_attention_blocks=[3],
        window_positional_embedding_background_size=[2, 2],
    )  # fmt: skip
    vision = transformers.Sam2VisionConfig(
        backbone_config=det, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=128,
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
    )  # fmt: skip
    network = transformers.Sam2VideoModel(
        transformers.Sam2VideoConfig(
            vision_config=vision.to_dict(), image_size=128,
            prompt_encoder_config={"hidden_size": 128, "image_size": 128, "patch_size": 16},
            mask_decoder_config={"hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2},
            memory_attention_hidden_size=128, memory_attention_num_layers=1, memory_attention_rope_feat_sizes=[8, 8],
            memory_encoder_hidden_size=128, mask_downsampler_embed_dim=128, memory_fuser_embed_dim=128,
            memory_fuser_intermediate_dim=32,
        )
    )  # fmt: skip
    with torch.no_grad():  # what it is asked for is always there
        network.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(10.0)
    folder = tmp_path_factory.mktemp("segmenter") / "tiny-sam2"
    network.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return str(folder)


def saying(monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Any]) -> None:
    """Put other words into the mouth of networks that are loaded."""
    load = people_hub.Network.load

    def loaded(folder: hub.ModelFolder, question: people_hub.Question, device: str = "auto") -> people_hub.Network:
        network = load(folder, question, device)
        module = type("Said", (), {"__call__": lambda _, *given, **named: answer(*given, **named)})()
        module.config = network.module.config
        return people_hub.Network(module, network.config, network.normal, network.device, network.where)

    monkeypatch.setattr(people_hub.Network, "load", loaded)


def scene(middle: float) -> np.ndarray:
    """A red disc before a patchy background."""
    noise = np.random.default_rng(0).normal(0, 1, (H // 8, W // 8, 3)).astype(np.float32)
    picture = (np.array([60, 120, 130]) + 25 * cv2.resize(noise, (W, H))).clip(0, 255).astype(np.uint8)
    cv2.circle(picture, (round(middle), 48), 20, (200, 40, 30), -1)
    return picture


def clip_of(folder: Path, count: int) -> Path:
    folder.mkdir()
    for place in range(count):
        save_image(folder / f"frame{place:04d}.png", scene(50 + 10 * place))
    return folder


def square(left: int, top: int, size: int) -> Any:
    """What a network says of a square, on its grid of 32 x 32."""
    logits = torch.full((1, 1, 32, 32), -20.0)
    logits[..., top : top + size, left : left + size] = 20.0
    return SimpleNamespace(pred_masks=logits)


def test_a_network_that_has_learnt_nothing_runs_through_a_picture_and_a_clip(model: str, tmp_path: Path) -> None:
    save_image(tmp_path / "one.png", scene(64))
    clip = clip_of(tmp_path / "clip", 3)
    for source, box, count in ((tmp_path / "one.png", (0.3, 0.2, 0.7, 0.8), 1), (clip, None, 3)):
        told = Silent()
        config = CutoutConfig(subject="object", segmenter=model, box=box)
        found = cutouts(source, config, size=32, progress=told)
        assert 1 <= len(found) <= count
        assert found.frames.shape[1:] == (32, 32, 3)
        assert 0 <= found.alpha.min() <= found.alpha.max() <= 1
        assert any("SAM 2 outlines in the box" in note for note in found.notes)
        assert ("GrabCut" in " ".join(found.notes)) == (box is None)
        assert sum("apache-2.0" in note for note in told.notes) == 1


def test_the_subject_is_what_the_network_outlines(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A square that moves on by eight pixels a frame, and a speck far away that is not it."""
    asked: list[Any] = []

    def said(session: Any, frame: Any, frame_idx: int) -> Any:
        points = session.point_inputs_per_obj[0]
        asked.append(points[frame_idx]["point_coords"].reshape(-1).tolist() if frame_idx in points else None)
        session.output_dict_per_obj[0]["non_cond_frame_outputs"] = {}
        answer = square(6 + 2 * (len(asked) - 1), 10, 12)
        answer.pred_masks[..., 30, 30] = 20.0
        return answer

    saying(monkeypatch, said)
    found = cutouts(clip_of(tmp_path / "clip", 3), CutoutConfig(subject="object", segmenter=model), size=64)
    assert len(found) == 3
    left, top, right, bottom = asked[0]  # around the disc at 50, 48, on the network's 128 x 128
    np.testing.assert_allclose([left, top, right, bottom], [30, 28 / 0.75, 70, 68 / 0.75], atol=6)
    assert asked[1:] == [None, None]
    x, y, side = found.crop
    assert (x + side / 2, y + side / 2) == pytest.approx((24 + 8 + 24, 48), abs=1)
    solid = found.alpha >= 0.5
    widths = [np.ptp(np.flatnonzero(one.any(axis=0))) + 1 for one in solid]
    np.testing.assert_allclose(np.array(widths) * side / 64, 48, atol=2.5)
    starts = np.array([np.flatnonzero(one.any(axis=0))[0] for one in solid]) * side / 64
    np.testing.assert_allclose(np.diff(starts), 8, atol=2.5)
    assert not any("lost" in note for note in found.notes)


def test_a_subject_that_is_lost_is_told_and_one_that_is_not_there_is_refused(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    answers = [square(10, 10, 10), square(11, 10, 10), square(0, 0, 0), square(0, 0, 0)]

    def said(session: Any, frame: Any, frame_idx: int) -> Any:
        session.output_dict_per_obj[0]["non_cond_frame_outputs"] = {}
        seen.append(frame_idx)
        return answers[len(seen) - 1]

    saying(monkeypatch, said)
    config = CutoutConfig(subject="object", segmenter=model, box=(0.2, 0.2, 0.6, 0.8))
    found = cutouts(clip_of(tmp_path / "clip", 4), config, size=32)
    assert len(found) == 2
    assert [note for note in found.notes if "lost" in note] == ["the subject is lost from frame 2 on"]
    answers[:] = [square(0, 0, 0)] * 9
    with pytest.raises(UsageError, match=r"SAM 2 sees nothing in the box.*--box"):
        cutouts(tmp_path / "clip", config)


def test_what_says_more_plainly_where_it_is_comes_first(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ObjectMasks, "__call__", lambda *_: pytest.fail("the network is asked"))
    plain = np.full((H, W, 3), 255, np.uint8)
    cv2.circle(plain, (60, 48), 25, (200, 40, 30), -1)
    save_image(tmp_path / "plain.png", plain)
    save_image(tmp_path / "busy.png", scene(60))
    save_image(tmp_path / "mask.png", np.repeat((plain[..., 1:2] < 128) * np.uint8(255), 3, axis=2))
    found = cutouts(tmp_path / "plain.png", CutoutConfig(subject="object", segmenter=model), size=32)
    assert any("plain white" in note for note in found.notes)
    given = CutoutConfig(segmenter=model, mask=str(tmp_path / "mask.png"))
    assert len(cutouts(tmp_path / "busy.png", given, size=32)) == 1


def test_a_model_that_is_none_is_told_before_anything_is_made(tmp_path: Path) -> None:
    save_image(tmp_path / "one.png", scene(64))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "other" / "model.safetensors").write_bytes(b"")
    views = views_of(two_parts())
    write_views(tmp_path / "views", views)
    for name, said in (("missing", "no folder and no segmenter"), ("other", "'bert' is no segmenter of clips")):
        with pytest.raises(ModelError, match=said):
            cutouts(tmp_path / "one.png", CutoutConfig(segmenter=str(tmp_path / name)))
        with pytest.raises(ModelError, match=said):
            rig(tmp_path / "views", tmp_path / "out.glb", RigConfig(segmenter=str(tmp_path / name)))
    assert not list(tmp_path.glob("*out*"))


def two_parts(border: int = 48) -> np.ndarray:
    """A column in two parts, upper and lower, seen from four sides."""
    labels = np.full((4, 1, SIDE, SIDE), -1, np.int16)
    labels[:, :, 12:border, 32:64], labels[:, :, border:84, 32:64] = 0, 1
    return labels


def views_of(labels: np.ndarray) -> PartViews:
    palette = np.concatenate([PARTS, np.full((1, 3), 255, np.uint8)])
    return PartViews(np.arange(0, 360, 90, dtype=np.float32), 0.0, 0.72, 10.0, colored=palette[labels])


def test_borders_of_parts_are_moved_to_where_the_network_sees_them(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees the border six pixels farther down than the colours have it: a row and a half of its grid of 32."""
    moved = two_parts(54)[0, 0]

    def said(**named: Any) -> Any:
        heights = named["input_points"][0, :, 0, 1] / 128 * SIDE
        part = [cv2.resize((moved == (y >= 48)).astype(np.float32), (32, 32)) for y in heights.tolist()]
        logits = 40 * (torch.from_numpy(np.stack(part)) - 0.5)
        return SimpleNamespace(pred_masks=logits[None, :, None], image_embeddings=None)

    saying(monkeypatch, said)
    views, told = views_of(two_parts()), Silent()
    plain, count = told_apart(views)
    # Parts are numbered by size, and these are of one size.
    upper = int(plain[0, 0, 20, 48])
    found, again = told_apart(views, refiner(model, told, told.note))
    assert again == count == 2
    assert found.dtype == plain.dtype
    assert np.array_equal(found < 0, plain < 0)
    rows = (found[:, 0, :, 48] == upper).sum(axis=1)
    assert ((plain[:, 0, :, 48] == upper).sum(axis=1) == 36).all()
    assert (abs(rows - 42) <= 1).all()
    assert any("agrees with 8 of 8 parts" in note for note in told.notes)
    assert any("apache-2.0" in note for note in told.notes)


def test_a_network_that_has_learnt_nothing_leaves_parts_their_numbers(model: str, tmp_path: Path) -> None:
    views, told = views_of(two_parts()), Silent()
    assert views.colored is not None
    plain = decode(views.colored)
    found, count = told_apart(views, refiner(model, told))
    assert count == len(plain.colors)
    assert found.shape == plain.labels.shape
    for number in (-1, 0, 1):
        assert (found == number).sum() >= (plain.labels == number).sum() / 2
    write_views(tmp_path / "views", views)
    made = rig(tmp_path / "views", tmp_path / "out.glb", RigConfig(segmenter=model, bare=True, cells=32), progress=told)
    assert made.parts == 2
    assert sum("of 8 parts in pictures" in note for note in told.notes) == 2
    assert sum("apache-2.0" in note for note in told.notes) == 1  # of the run; the refiner alone was not to tell


def test_numbers_that_are_given_are_believed(model: str, tmp_path: Path) -> None:
    views = PartViews(np.arange(0, 360, 90, dtype=np.float32), 0.0, 0.72, 10.0, labels=two_parts())
    write_views(tmp_path / "views", views)
    told = Silent()
    made = rig(tmp_path / "views", tmp_path / "out.glb", RigConfig(segmenter=model, bare=True, cells=32), progress=told)
    assert made.parts == 2
    assert any("the segmenter is not asked" in note for note in told.notes)
    assert refiner("", told) is None
