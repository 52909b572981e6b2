"""Characters from photos: a photo gives itself back, nothing beside the person leaks in, the unseen is continued."""

from dataclasses import replace

import numpy as np
import pytest

from diorama.core.camera import Cameras
from diorama.errors import LimitError, UsageError
from diorama.figures.cast import load_cast
from diorama.figures.garment import IN, OUT, face_of, hands_of, head_of, offsets_to_fill, worn
from diorama.figures.show import Shown, show_one
from diorama.figures.sight import Sight, taken_from
from diorama.figures.texels import at_texels, nearest_texels, texels_of, to_vertices
from diorama.figures.texture import Character, character_from_photos

FIGURE = load_cast().figure(load_cast().names[0])
MESH = FIGURE.mesh
SPACING = 0.008
TEXELS = texels_of(MESH, SPACING)
STILL = np.zeros(len(MESH.vertices), np.float32)


def camera(turn: float = 0.0, size: int = 360) -> Cameras:
    """A camera 4 m away that goes around the figure; 0 looks at its front."""
    c, s = np.cos(turn), np.sin(turn)
    viewmat = np.eye(4)
    viewmat[:3, :3] = np.diag([1.0, -1, -1]) @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    middle = (MESH.vertices.min(axis=0) + MESH.vertices.max(axis=0)) / 2
    viewmat[:3, 3] = -viewmat[:3, :3] @ middle + [0, 0, 4]
    focal = 0.9 * size * 4 / np.ptp(MESH.vertices[:, 1])
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return Cameras(viewmat[None], K[None], size, size)


def painted(colors: np.ndarray) -> Character:
    """A character in the colours of its texels' places at rest, without clothes."""
    return Character(FIGURE, STILL, TEXELS, colors.astype(np.float32), np.ones(len(TEXELS), np.float32))


PLACES = at_texels(TEXELS, MESH.faces, MESH.vertices)
SYMMETRIC = np.stack(
    [
        100 + 60 * np.sin(12 * PLACES[:, 1]),
        120 + 80 * np.cos(9 * np.abs(PLACES[:, 0])),
        90 + 50 * np.sin(7 * PLACES[:, 1]),
    ],
    1,
)


def seen(character: Character, view: Cameras, beside: tuple[int, int, int] = (0, 0, 0)) -> tuple[Sight, Shown]:
    shown = show_one(character, character.figure.mesh.vertices, view)
    photo = shown.over(np.full((view.height, view.width, 3), beside, np.uint8))
    return Sight(photo, shown.alpha > 0.5, MESH.vertices, view), shown


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    return float(-10 * np.log10((((a.astype(float) - b) / 255)[where] ** 2).mean() + 1e-12))


def test_texels_hold_what_is_linear_exactly() -> None:
    again, weight = to_vertices(TEXELS, MESH.faces, PLACES, np.ones(len(TEXELS), np.float32), count=len(MESH.vertices))
    assert np.abs(again - MESH.vertices).max() < 0.02
    assert weight == pytest.approx(1, abs=1e-4)
    view = camera()
    shown = show_one(painted(100 + 60 * PLACES), MESH.vertices, view)
    (pixels,), (depth,) = view.project(MESH.vertices.astype(float))
    x, y = np.floor(pixels).astype(int).T
    front = np.abs(depth - shown.depth[y, x]) < 0.005
    front &= shown.alpha[y, x] == 1
    off = np.abs(shown.image[y, x].astype(float) - (100 + 60 * MESH.vertices))[front]
    assert front.sum() > 500
    assert np.percentile(off, 99) < 2


def test_the_nearest_texel_is_that_of_plain_search() -> None:
    rng = np.random.default_rng(0)
    places, asked = (rng.random((n, 3)).astype(np.float32) for n in (400, 50))
    up = np.tile(np.array([0, 1, 0], np.float32), (400, 1))
    found = nearest_texels(places, up, asked, up[:50], reach=0.3)
    assert (found == np.linalg.norm(asked[:, None] - places, axis=-1).argmin(axis=1)).all()
    assert (nearest_texels(places, up, asked, -up[:50], reach=0.3) == -1).all()


def test_a_photo_gives_itself_back_and_nothing_beside_it_leaks_in() -> None:
    colors = SYMMETRIC * [0, 1, 1]  # a person without red before a red wall
    sight, shown = seen(painted(colors), camera(0.4), (255, 0, 0))
    for mask in (np.roll(sight.mask, 1, 1), sight.mask):  # also where the mask lies a pixel off
        made = character_from_photos(FIGURE, [replace(sight, mask=mask)], fill=False, relight=False, spacing=SPACING)
        assert made.colors[:, 0].max() < 1
    again = show_one(made, MESH.vertices, sight.camera)
    assert psnr(again.image, shown.image, shown.alpha == 1) > 30
    assert (again.alpha == shown.alpha).all()


def test_hidden_and_grazing_places_say_nothing() -> None:
    sight, _ = seen(painted(SYMMETRIC), camera())
    taken = taken_from(sight, MESH.faces, TEXELS)
    back = taken.normals[:, 2] < 0
    assert back.any()
    assert not taken.weight[back].any()
    assert ((taken.weight >= 0) & (taken.weight <= 1 + 1e-6)).all()
    assert np.abs(taken.colors - SYMMETRIC)[taken.weight > 0.3].mean() < 4


def test_the_other_side_lends_its_colours_only_where_both_are_alike() -> None:
    sight, _ = seen(painted(SYMMETRIC), camera(np.pi / 2))
    far = PLACES[:, 0] < -0.15
    errors = []
    for mirror in (True, False):
        made = character_from_photos(FIGURE, [sight], fill=False, relight=False, mirror=mirror, spacing=SPACING)
        errors.append(np.abs(made.colors - SYMMETRIC)[far].mean())
    assert errors[0] < 12
    assert errors[0] < 0.5 * errors[1]
    motley = np.where(PLACES[:, :1] > 0, [200.0, 20, 20], [20.0, 20, 200])
    sight, _ = seen(painted(motley), camera())
    made = character_from_photos(FIGURE, [sight], fill=False, relight=False, spacing=SPACING)
    away = np.abs(PLACES[:, 0]) > 0.12
    assert np.abs(made.colors - motley)[away].mean() < 12


def test_no_face_appears_on_the_back_of_a_head() -> None:
    face = at_texels(TEXELS, MESH.faces, face_of(FIGURE)[:, None].astype(np.float32))
    hair = at_texels(TEXELS, MESH.faces, (head_of(FIGURE) & ~face_of(FIGURE))[:, None].astype(np.float32))
    colors = 60 + face * [160, 60, 40] - hair * [40, 40, 40]
    sight, _ = seen(painted(colors), camera(0.2))
    made = character_from_photos(FIGURE, [sight], fill=False, relight=False, spacing=SPACING)
    head = PLACES[head_of(FIGURE)[MESH.faces[TEXELS.faces, 0]]]
    behind = (hair[:, 0] == 1) & (PLACES[:, 2] < head[:, 2].mean() - 0.05)
    assert behind.sum() > 100
    assert np.abs(made.colors[behind] - 20).mean() < 25  # a face is 110 off


def test_two_photos_show_both_sides() -> None:
    colors = np.where(PLACES[:, 2:] > 0, SYMMETRIC, 255 - SYMMETRIC)
    sights = [seen(painted(colors), camera(turn))[0] for turn in (0.0, np.pi)]
    one, two = (character_from_photos(FIGURE, sights[:n], fill=False, relight=False, spacing=SPACING) for n in (1, 2))
    assert (two.known > 0.1).mean() > 1.4 * (one.known > 0.1).mean()
    well = two.known > 0.3
    assert np.abs(two.colors - colors)[well].mean() < 6


def test_a_body_is_moved_out_to_fill_the_mask() -> None:
    give = np.full(len(MESH.vertices), 0.03, np.float32)
    give[hands_of(FIGURE)[0] | hands_of(FIGURE)[1] | head_of(FIGURE)] = 0
    clothed = replace(painted(SYMMETRIC), offset=give)
    view = camera()
    shown = show_one(clothed, clothed.figure.mesh.vertices, view)
    sight = Sight(shown.image, shown.alpha, MESH.vertices, view)
    offset = offsets_to_fill(FIGURE, [sight])
    assert offset.min() >= -IN
    assert offset.max() <= OUT
    bare = show_one(painted(SYMMETRIC), MESH.vertices, view).alpha > 0.5
    filled = show_one(clothed, worn(FIGURE, offset).mesh.vertices, view).alpha > 0.5
    mask = shown.alpha > 0.5
    before, after = ((a & mask).sum() / (a | mask).sum() for a in (bare, filled))
    assert before < 0.88
    assert after > 0.965
    trunk = FIGURE.joint_parts[FIGURE.skin_joints[:, 0]] == FIGURE.parts.index("abdomen")
    assert offset[trunk].mean() == pytest.approx(0.03, abs=0.012)
    assert np.abs(offset[hands_of(FIGURE)[0]]).mean() < 0.008
    still = offsets_to_fill(FIGURE, [replace(sight, mask=bare)])
    assert np.abs(still).mean() < 0.003


def test_refusals() -> None:
    sight, _ = seen(painted(SYMMETRIC), camera(size=96))
    with pytest.raises(UsageError, match="empty mask"):
        replace(sight, mask=np.zeros((96, 96), bool))
    with pytest.raises(UsageError, match="one size"):
        replace(sight, camera=camera(size=95))
    with pytest.raises(UsageError, match="not finite"):
        replace(sight, vertices=np.full_like(MESH.vertices, np.nan))
    with pytest.raises(UsageError, match=r"outside of 0\.\.1"):
        replace(sight, mask=np.full((96, 96), np.nan, np.float32))
    with pytest.raises(UsageError, match="no photo"):
        character_from_photos(FIGURE, [])
    with pytest.raises(UsageError, match="vertices for a figure"):
        character_from_photos(FIGURE, [sight.moved(MESH.vertices[:-1])])
    corner = np.zeros((96, 96), bool)
    corner[:3, :3] = True
    with pytest.raises(UsageError, match="shows any of the body"):
        character_from_photos(FIGURE, [replace(sight, mask=corner)], fill=False)
    with pytest.raises(UsageError, match="above 0"):
        texels_of(MESH, 0)
    with pytest.raises(LimitError, match="further apart"):
        texels_of(MESH, 1e-5)
    with pytest.raises(UsageError, match="offsets"):
        worn(FIGURE, np.full(len(STILL), np.nan, np.float32))
