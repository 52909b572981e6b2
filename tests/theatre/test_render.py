"""The renderer's truth: layers put the frame together, and flow, depth and shadows agree with the cameras."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.core.camera import Cameras
from diorama.core.mesh import Mesh
from diorama.errors import UsageError
from diorama.geometry.raster import rasterize
from diorama.theatre.light import Light, random_light, shadow_camera
from diorama.theatre.render import SKY, FrameView, Layer, render
from diorama.theatre.surface import PLAIN, put_together

SIZE = 64
SKY_PICTURE = np.full((SIZE, SIZE, 3), (150, 190, 230), np.uint8)


def ball(radius: float, middle: tuple[float, float, float]) -> Mesh:
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 17)[:-1], np.linspace(0, np.pi, 9), indexing="ij")
    points = np.stack([np.cos(u) * np.sin(v), np.cos(v), np.sin(u) * np.sin(v)], -1).reshape(-1, 3)
    grid = np.arange(16 * 9).reshape(16, 9)
    a, b = grid[:, :-1].ravel(), np.roll(grid, -1, 0)[:, :-1].ravel()
    faces = np.concatenate([np.stack([a, b, b + 1], 1), np.stack([a, b + 1, a + 1], 1)])
    colors = np.random.default_rng(0).integers(40, 250, (len(points), 3)).astype(np.uint8)
    return Mesh((points * radius + middle).astype(np.float32), faces.astype(np.int32), colors=colors)


def ground() -> Mesh:
    corners = np.array([[-6, 0, -6], [6, 0, -6], [6, 0, 6], [-6, 0, 6]], np.float32)
    faces = np.array([[0, 2, 1], [0, 3, 2]], np.int32)
    texture = np.kron(np.eye(2, dtype=np.uint8) * 150 + 80, np.ones((8, 8), np.uint8))[..., None].repeat(3, 2)
    return Mesh(corners, faces, corners[:, [0, 2]] / 2, faces, texture=texture)


def cameras(frames: int, step: float = 0.0, turn: float = 0.0) -> Cameras:
    """From above and before the origin, moving to the right and turning."""
    mats = []
    for i in range(frames):
        eye = np.array([step * i, 1.6, 3.6])
        forward = np.array([np.sin(turn * i), -0.25, -np.cos(turn * i)])
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 1, 0]) / np.linalg.norm(np.cross(forward, [0, 1, 0]))
        axes = np.stack([right, np.cross(forward, right), forward])
        mat = np.eye(4)
        mat[:3, :3], mat[:3, 3] = axes, -axes @ eye
        mats.append(mat)
    K = np.array([[SIZE, 0, SIZE / 2], [0, SIZE, SIZE / 2], [0, 0, 1.0]])
    return Cameras(np.stack(mats), np.repeat(K[None], frames, 0), SIZE, SIZE)


def layers(frames: int = 3) -> list[Layer]:
    actor = ball(0.6, (0, 0.7, 0))
    steps = np.stack([actor.vertices + np.array([0.1 * i, 0, 0], np.float32) for i in range(frames)])
    moving = put_together([actor], [steps])
    codes = np.full((len(actor.vertices), 3), (9, 99, 199), np.uint8)
    return [
        Layer("scene", "scene", put_together([ground()])),
        Layer("actor", "actor", moving, moving, codes),
        Layer("stone", "occluder", put_together([ball(0.3, (0.3, 0.8, 1.2))])),
    ]


def view(frame: int = 0, **motion: float) -> FrameView:
    return render(layers(), cameras(3, **motion), frame, light=Light(), sky=SKY_PICTURE)


def test_visible_layers_put_the_frame_together_exactly() -> None:
    seen = view()
    again = SKY_PICTURE.copy()
    for number, layer in enumerate(seen.layers):
        shown = seen.visible(number)
        assert not (shown & ~layer.alpha).any()
        again[shown] = layer.image[shown]
    assert np.array_equal(again, seen.image)
    assert np.array_equal(seen.owner == SKY, np.isinf(seen.depth))
    assert (seen.layers[1].alpha & (seen.owner == 2)).any(), "the stone should hide part of the actor"


def test_the_background_is_what_is_there_without_anybody() -> None:
    seen = view()
    alone = render(layers()[:1], cameras(3), 0, light=Light(), sky=SKY_PICTURE)
    assert np.array_equal(seen.background, alone.image)
    darker = (seen.owner == 0) & (seen.image.astype(int).sum(-1) < seen.background.astype(int).sum(-1) - 30)
    assert darker.sum() > 30, "no shadow on the ground"


def test_flow_leads_to_the_same_surface() -> None:
    motion = {"step": 0.05, "turn": 0.02}
    now, later = view(0, **motion), view(1, **motion)
    ys, xs = np.mgrid[:SIZE, :SIZE]
    u, v = np.rint(xs + now.flow[..., 0]), np.rint(ys + now.flow[..., 1])
    inside = (u >= 0) & (u < SIZE) & (v >= 0) & (v < SIZE)
    found = later.layers[1].alpha[v[inside].astype(int), u[inside].astype(int)]
    assert found[now.visible(1)[inside]].mean() > 0.95


def test_flow_and_depth_agree_with_the_cameras() -> None:
    path = cameras(3, step=0.05, turn=0.02)
    seen = view(0, step=0.05, turn=0.02)
    shown = seen.visible(0)
    ys, xs = np.nonzero(shown)
    pixels = np.stack([xs, ys], 1)[None] + 0.5
    points = path[0:1].unproject(pixels, seen.depth[shown][None].astype(np.float64))[0]
    moved = path[1:2].project(points)[0][0] - pixels[0]
    assert np.abs(moved - seen.flow[shown]).max() < 0.02


def test_disparity_of_a_pair_is_focal_times_baseline_over_depth() -> None:
    baseline = 0.065
    pair = cameras(2, step=baseline)
    seen = render(layers(2), pair, 0, light=Light(), sky=SKY_PICTURE, after=1)
    still = seen.visible(0) | seen.visible(2)
    expected = -SIZE * baseline / seen.depth[still]
    assert np.abs(seen.flow[still][:, 0] - expected).max() < 0.02
    assert np.abs(seen.flow[still][:, 1]).max() < 0.02


def test_codes_parts_and_determinism() -> None:
    seen, again = view(), view()
    assert seen.layers[0].codes is None
    codes = seen.layers[1].codes
    assert codes is not None
    assert (codes[seen.layers[1].alpha] == (9, 99, 199)).all()
    assert ((seen.layers[1].parts >= 0) == seen.layers[1].alpha).all()
    assert np.array_equal(seen.image, again.image)


@pytest.mark.parametrize("seed", range(3))
def test_lights_come_from_above_and_their_camera_holds_the_points(seed: int) -> None:
    light = random_light(np.random.default_rng(seed), indoors=seed == 1)
    assert light.towards[1] > 0.3
    body = ball(0.6, (0, 0.7, 0))
    found = rasterize(body.vertices, body.faces, shadow_camera(light, body.vertices, 64))
    edge = np.concatenate([found.face_ids[0], found.face_ids[-1], found.face_ids[:, 0], found.face_ids[:, -1]])
    assert (edge < 0).all()
    assert (found.face_ids >= 0).mean() > 0.5
    with pytest.raises(UsageError, match="light"):
        replace(light, direction=(0.0, 0.0, 0.0))


def test_surfaces_keep_textures_apart() -> None:
    both = put_together([ground(), ball(1, (0, 0, 0)), ground()])
    assert sorted(set(both.face_textures.tolist())) == [PLAIN, 0, 3]
    assert both.sizes[[0, 3]].tolist() == [[0, 16, 16, 2], [336, 16, 16, 2]]
    assert both.still
    with pytest.raises(UsageError, match="nothing"):
        put_together([])
    one = ground()
    with pytest.raises(UsageError, match="frames"):
        put_together([one, one], [np.repeat(one.vertices[None], k, 0) for k in (2, 3)])
