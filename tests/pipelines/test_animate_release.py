"""A character by networks of the releases' layouts: in the actor's place alone, and refused where not whole."""

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNetMotionModel
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding

from diorama.core.actor import Actor
from diorama.core.camera import Cameras
from diorama.core.figure import Motion
from diorama.core.layers import Layer, LayeredVideo, Maps
from diorama.core.person import Track
from diorama.core.video import Video
from diorama.diffusion import mimo_room
from diorama.diffusion.checkpoint import read_tensors
from diorama.diffusion.generate import EMBEDDED, load_backbone
from diorama.diffusion.key_maps import REFERENCE_ABSENT
from diorama.diffusion.mimo import MimoInputs, MimoSettings, sampled
from diorama.diffusion.mimo_folder import PeopleModel, load_people
from diorama.diffusion.store import convert
from diorama.errors import ModelError, OutOfMemoryError, UsageError
from diorama.figures.canonical import canonical_view
from diorama.figures.cast import load_cast
from diorama.figures.codes import color_map, position_colors
from diorama.figures.pose import animate as pose
from diorama.geometry.raster import rasterize
from diorama.media.encoding import Encoding
from diorama.media.read import open_video
from diorama.media.store import read_actors, read_scene, write_scene
from diorama.pipelines import animate_diffusion
from diorama.pipelines.animate import animate
from diorama.pipelines.animate_cast import Part, cast, character_of_actor, sights_of
from diorama.pipelines.animate_config import AnimateConfig
from diorama.pipelines.animate_diffusion import Embedded, Generator, generated
from diorama.pipelines.animate_engine import Asked, Made
from diorama.pipelines.animate_release import Released
from diorama.pipelines.animate_release_poses import skeleton_of, squared
from diorama.pipelines.animate_roi import roi_of
from diorama.train.config import TrainConfig
from diorama.train.recipes.animate import mimo, moore_stage1, moore_stage2
from diorama.train.recipes.person import stage2 as scd_stage2

FRAMES, SIZE, SQUARE = 6, 96, 64
WIDTHS, DIM = (32, 64), 32
PLAIN = Asked()


def actor() -> Actor:
    """Somebody of the cast who moves a little to the right."""
    figure = load_cast().figure(np.zeros(len(load_cast().components), np.float32))
    turns = np.tile(np.array([1, 0, 0, 0], np.float32), (FRAMES, len(figure.skeleton), 1))
    root = np.zeros((FRAMES, 3), np.float32)
    root[:, 0] = np.linspace(-0.1, 0.1, FRAMES)
    one = canonical_view(figure.mesh.vertices, SIZE, "front")
    one.Ks[:, :2, :2] *= 0.7  # with room around
    views, Ks = (np.repeat(a, FRAMES, axis=0) for a in (one.viewmats, one.Ks))
    boxes = np.tile(np.array([20, 2, 76, 94], np.float32), (FRAMES, 1))
    frames = np.arange(FRAMES, dtype=np.int64)
    track = Track(1, frames, boxes, np.ones(FRAMES, np.float32), np.full((FRAMES, 33, 3), 0.6, np.float32))
    seen = np.zeros(FRAMES, np.float32), np.zeros(FRAMES, bool), np.zeros((FRAMES, 2), bool)
    motion, cameras = Motion(figure.skeleton, turns, root, 25.0), Cameras(views, Ks, SIZE, SIZE)
    shape = np.zeros(3, np.float32)
    return Actor("person-1", 1, "person-1", "person-1-front", track, figure, motion, cameras, frames, *seen, shape)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray, np.ndarray]:
    """A stored scene, the clip, where the actor is, and what is before it (a bar)."""
    one = actor()
    ground = np.random.default_rng(0).integers(90, 160, (SIZE, SIZE, 3)).astype(np.uint8)
    clip, masks = np.repeat(ground[None], FRAMES, axis=0), np.zeros((FRAMES, SIZE, SIZE), bool)
    for t, vertices in enumerate(pose(one.figure, one.motion)):
        found = rasterize(vertices, one.figure.mesh.faces, one.cameras[t : t + 1])
        masks[t] = found.face_ids >= 0
        clip[t][masks[t]] = color_map(found, one.figure.mesh.faces, position_colors(one.figure.mesh))[masks[t]]
    bar = np.zeros((FRAMES, SIZE, SIZE), bool)
    bar[:, 50:56] = True
    clip[bar] = (250, 240, 20)
    color = Video.from_array(clip)
    layers = (
        Layer("scene", Video.from_array(np.repeat(ground[None], FRAMES, axis=0))),
        Layer("person-1", color, Maps.from_array(masks & ~bar)),
        Layer("person-1-front", color, Maps.from_array(bar)),
    )
    folder = tmp_path_factory.mktemp("scene") / "scene"
    write_scene(folder, LayeredVideo(layers), actors=(one,))
    return folder, clip, masks, bar


@pytest.fixture(scope="module")
def played(scene: tuple[Path, np.ndarray, np.ndarray, np.ndarray]) -> tuple[Part, LayeredVideo]:
    """The actor as its own character."""
    (one,), layered = read_actors(scene[0]), read_scene(scene[0])
    return cast(layered, one, character_of_actor(one, sights_of(layered, one, 4)), relight=False), layered


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec and an image encoder, under the release's names."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("parts")
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    vae = AutoencoderKL(block_out_channels=(8,) * 4, norm_num_groups=4, layers_per_block=1, **kinds)
    vae.save_pretrained(folder / "sd-vae-ft-mse")
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPVisionConfig(**sizes, image_size=32, patch_size=16, projection_dim=DIM)
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(folder / "image_encoder")
    return folder


@pytest.fixture(scope="module")
def release(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out as MIMO's release: random networks of small width."""
    folder = tmp_path_factory.mktemp("mimo") / "release"
    shutil.copytree(parts, folder)
    blocks = {"block_out_channels": WIDTHS, "layers_per_block": 1, "cross_attention_dim": DIM}
    video = UNetMotionModel(
        in_channels=8,
        down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"),
        up_block_types=("UpBlockMotion", "CrossAttnUpBlockMotion"),
        num_attention_heads=8,
        motion_num_attention_heads=8,
        use_motion_mid_block=True,
        **blocks,
    )
    reference = UNet2DConditionModel(
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=8,
        **blocks,
    )
    guider = ControlNetConditioningEmbedding(WIDTHS[0], 3, (8, 8, 16, 16))
    torch.nn.init.normal_(guider.conv_out.weight, std=0.1)
    whole = video.state_dict()
    for name, tensors in (
        ("denoising_unet", {key: each for key, each in whole.items() if "motion_modules" not in key}),
        ("motion_module", {key: each for key, each in whole.items() if "motion_modules" in key}),
        ("reference_unet", {k: each for k, each in reference.state_dict().items() if k not in REFERENCE_ABSENT}),
        ("pose_guider", guider.state_dict()),
    ):
        torch.save(tensors, folder / f"{name}.pth")
    own = {"size": SQUARE, "steps": 2, "guidance_scale": 2.0, "context_frames": 4, "context_overlap": 1}
    (folder / "config.json").write_text(json.dumps(own))
    return folder


@pytest.fixture(scope="module")
def model(release: Path) -> PeopleModel:
    """Its networks."""
    return load_people(release)


def piece(model: PeopleModel, played: tuple[Part, LayeredVideo], config: Asked = PLAIN) -> list[Made]:
    """The last two frames of the actor, as networks make them."""
    part, layered = played
    return Released(model, config).maker(part, layered, roi_of(part.motion, part.cameras))(FRAMES - 2)


def test_a_release_takes_the_actors_place_and_nothing_else_changes(
    scene: tuple[Path, np.ndarray, np.ndarray, np.ndarray], release: Path, tmp_path: Path
) -> None:
    folder, clip, masks, bar = scene
    who = {"character": (f"{folder}#person-1",), "encoding": Encoding("ffv1")}
    config = AnimateConfig(engine="diffusion", model=str(release), relight=False, **who)
    result = animate(folder, tmp_path / "out.mkv", config)
    made = np.stack([frame.image for frame in open_video(tmp_path / "out.mkv")])
    assert result.frames == FRAMES
    assert made.shape == clip.shape
    far = ~np.stack([cv2.dilate(mask.view(np.uint8), np.ones((25, 25), np.uint8)) > 0 for mask in masks])
    assert far.mean() > 0.3
    assert np.array_equal(made[far], clip[far])
    assert np.array_equal(made[bar & masks], clip[bar & masks])
    assert (made != clip).any(axis=-1)[masks & ~bar].mean() > 0.9  # noise, but there


def test_pieces_are_the_same_wherever_a_run_begins(
    played: tuple[Part, LayeredVideo], model: PeopleModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Released, "piece", 4)
    monkeypatch.setattr(Released, "shared", 2)
    # A run may begin where the last piece has frames of its own, and where it has none.
    generator = Generator(Released(model, Asked(1, 1.0)))
    whole = list(islice(generated(*played, 0, generator), FRAMES + 1))
    assert whole[-1] is None
    for start in (2, FRAMES - 1):
        late = islice(generated(*played, start, generator), FRAMES - start)
        for one, other in zip(whole[start:FRAMES], late, strict=True):
            assert one is not None
            assert other is not None
            assert np.array_equal(one.image, other.image)
            assert np.array_equal(one.alpha, other.alpha)


def test_a_converted_release_is_the_same(
    played: tuple[Part, LayeredVideo], release: Path, model: PeopleModel, tmp_path: Path
) -> None:
    folder = tmp_path / "converted"
    convert(release, folder, date="2026-11-21", precision="fp32")
    shutil.copy(release / "config.json", folder)
    for one, other in zip(piece(model, played), piece(load_people(folder), played), strict=True):
        assert np.abs(one.image.astype(int) - other.image).max() <= 1
        assert np.abs(one.alpha - other.alpha).max() < 0.05
    (folder / "reference.safetensors").unlink()
    with pytest.raises(ModelError):
        load_people(folder)


def test_what_counts(played: tuple[Part, LayeredVideo], model: PeopleModel) -> None:
    first = piece(model, played)[0].image
    assert np.array_equal(first, piece(model, played)[0].image)
    body = played[0].character.body.mesh
    other = replace(model, colors=255 - position_colors(body))
    for one, config in ((model, Asked(strength=0.5)), (model, Asked(seed=1)), (other, PLAIN)):
        assert not np.array_equal(first, piece(one, played, config)[0].image)
    with pytest.raises(ModelError, match="6890 vertices, the character's body has"):
        piece(replace(model, colors=np.zeros((6890, 3), np.uint8)), played)
    pictures = torch.zeros(1, SQUARE, SQUARE, 3, dtype=torch.uint8)
    known = MimoInputs(pictures, pictures, pictures)
    with pytest.raises(UsageError, match="from nothing"):
        sampled(model.networks, known, MimoSettings(share=0.2), generator=torch.Generator())
    with pytest.raises(UsageError, match=r"of the occluder.*leave it out"):
        sampled(model.networks, replace(known, occluder=pictures), generator=torch.Generator())
    with pytest.raises(UsageError, match="takes 3"):
        sampled(model.networks, replace(known, poses=torch.zeros(1, SQUARE, SQUARE, 5)), generator=torch.Generator())
    assert Released(model, PLAIN).settings.num_inference_steps == 2  # the folder's own
    assert Released(model, Asked(5, 3.0)).settings.num_inference_steps == 5
    assert Released(model, Asked(5, 3.0)).settings.guidance_scale == 3.0


@pytest.mark.parametrize("recipe", [mimo, moore_stage2, scd_stage2])
def test_what_was_trained_here_animates(
    recipe: Callable[[TrainConfig], object], played: tuple[Part, LayeredVideo], parts: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    trained = recipe(TrainConfig(steps=1, size="tiny", target="eps" if recipe is mimo else "v"))
    folder = tmp_path / "run" / "result"
    folder.mkdir(parents=True)
    trained.export(trained.networks(), folder)
    with pytest.raises(ModelError, match=r"lacks sd-vae-ft-mse/, image_encoder/.*models get sd-vae-ft-mse"):
        load_people(tmp_path / "run")
    for name in ("sd-vae-ft-mse", "image_encoder"):
        (folder / name).symlink_to(parts / name)
    made = piece(load_people(tmp_path / "run"), played, Asked(1, 1.1))
    assert len(made) == 2
    assert made[0].image.shape == (SQUARE, SQUARE, 3)
    assert made[0].alpha.max() > 0.9
    assert made[0].alpha[0].max() < 0.3  # it fades out at the border
    (folder / "denoiser.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lacks denoiser\.safetensors"):
        load_people(tmp_path / "run")


def test_networks_of_pictures_alone_are_refused(parts: Path, tmp_path: Path) -> None:
    trained = moore_stage1(TrainConfig(steps=1, size="tiny", target="v"))
    trained.export(trained.networks(), tmp_path)
    with pytest.raises(ModelError, match=r"moore-stage1.*start the second stage"):
        load_people(tmp_path)


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1/0",)


def _without(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        place = folder / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()

    return spoil


def _of_another_shape(folder: Path) -> None:
    tensors = {key: each.clone() for key, each in read_tensors(folder / "denoising_unet.pth").items()}  # mapped
    name = "down_blocks.0.resnets.0.conv2.weight"
    torch.save({**tensors, name: tensors[name][:, :4]}, folder / "denoising_unet.pth")


def _with_code(folder: Path) -> None:
    (folder / "pose_guider.pth").write_bytes(pickle.dumps(_Code()))


def _says(**values: object) -> Callable[[Path], None]:
    return lambda folder: (folder / "config.json").write_text(json.dumps(values)) and None


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_without("pose_guider.pth"), r"lacks pose_guider\.pth .*models get mimo"),
        (_without("reference_unet.pth"), r"lacks reference_unet\.pth"),
        (_without("sd-vae-ft-mse"), r"lacks sd-vae-ft-mse/ .*models get sd-vae-ft-mse"),
        (_without("image_encoder"), r"lacks image_encoder/ .*models get sd-image-variations"),
        (_without("motion_module.pth"), "no motion modules"),
        (_of_another_shape, "of another shape"),
        (_with_code, "nothing of it was executed"),
        (_says(size=100), "multiple of 8"),
        (_says(size=9000), "expected 64 to 2048"),
        (_says(context_frames=99), "context_frames"),
        (_says(steps=0), "steps"),
        (_says(guidance_scale="much"), "guidance_scale"),
        (_says(closed_loop="no"), "expected true or false"),
        (lambda folder: np.save(folder / "vertex_colors.npy", np.zeros((5, 3))), "expected bytes"),
        (lambda folder: np.save(folder / "vertex_colors.npy", np.array([_Code()], object)), "plain NPY"),
    ],
)
def test_folders_that_are_not_whole_are_refused(
    spoil: Callable[[Path], None], says: str, release: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "release"
    shutil.copytree(release, folder)
    spoil(folder)
    with pytest.raises(ModelError, match=says):
        Generator.load(folder, PLAIN)


def test_names_of_networks(tmp_path: Path, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run" / "result"
    folder.mkdir(parents=True)
    shutil.copy(EMBEDDED, folder)
    network, files = load_backbone(), list[Path]()
    monkeypatch.setattr(animate_diffusion, "load_backbone", lambda file: files.append(file) or network)
    for name in (None, Path("embedded"), EMBEDDED, folder, folder.parent):
        assert isinstance(Generator.load(name, PLAIN).engine, Embedded)
    assert files == [EMBEDDED] * 3 + [folder / EMBEDDED.name] * 2
    monkeypatch.undo()
    with pytest.raises(ModelError, match="no such file"):
        Generator.load(tmp_path / "nowhere", PLAIN)
    with pytest.raises(ModelError, match=r"lacks denoising_unet\.pth, reference_unet\.pth, pose_guider\.pth, sd-vae"):
        Generator.load(tmp_path, PLAIN)
    monkeypatch.setattr(mimo_room, "SMALL", 0)
    monkeypatch.setattr(mimo_room, "BESIDE", 1e9)
    with pytest.raises(OutOfMemoryError, match="GB are free"):
        Generator.load(release, PLAIN)


def test_skeletons_and_pictures_of_a_character() -> None:
    one = actor()
    vertices, camera = one.figure.mesh.vertices, canonical_view(one.figure.mesh.vertices, 128, "front")
    drawn = skeleton_of(vertices, camera)
    body = rasterize(vertices, one.figure.mesh.faces, camera).face_ids >= 0
    near = cv2.dilate(body.view(np.uint8), np.ones((9, 9), np.uint8)) > 0
    seen = drawn.max(axis=-1) > 60
    assert 0.02 < seen.mean() < body.mean()
    assert near[seen].all()
    with pytest.raises(ModelError, match="only those of the cast"):
        skeleton_of(vertices[:-1], camera)
    wide = squared(np.zeros((8, 5, 3), np.uint8))
    assert wide.shape == (8, 8, 3)
    assert np.array_equal(wide[0, :, 0] == 0, [False] + [True] * 5 + [False] * 2)
