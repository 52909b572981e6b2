"""Person, things before it and scene are told apart on a drawn figure."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from diorama.perception._peel_kernels import GOOD, planes, unlike_body
from diorama.perception.peel import Around, Cues, lab_of, peel
from diorama.perception.peel_memory import Memory

HIGH, WIDE = 160, 120
SHIRT, GRASS, WHITE = (60, 70, 160), (70, 130, 60), (235, 235, 230)


def drawn(*, ball: bool = False, pole: bool = False) -> tuple[Around, dict[str, np.ndarray]]:
    """A blue upright figure on grass, with a white ball before it, or a pole of the scene."""
    rng = np.random.default_rng(0)
    grass = np.clip(np.array(GRASS) + rng.normal(0, 3, (HIGH, WIDE, 3)), 0, 255).astype(np.uint8)
    plate = grass.copy()
    if pole:
        plate[:, 55:65] = (150, 120, 90)
    body = np.zeros((HIGH, WIDE), np.uint8)
    cv2.ellipse(body, (60, 80), (22, 60), 0, 0, 360, 1, -1)
    inner, image = body > 0, plate.copy()
    where = inner & ~((plate != grass).any(axis=-1))
    image[where] = SHIRT
    thing = np.zeros_like(body)
    if ball:
        cv2.circle(thing, (75, 90), 14, 1, -1)
        image[thing > 0] = WHITE
    soft = cv2.GaussianBlur((where | ((thing > 0) & inner)).astype(np.float32), (0, 0), 1.0)
    colors = np.broadcast_to(lab_of(np.full((4, 4, 3), SHIRT, np.uint8))[1, 1], (HIGH, WIDE, 3)).astype(np.float32)
    outside = cv2.distanceTransform((~inner).astype(np.uint8), cv2.DIST_L2, 5)
    inside = cv2.distanceTransform(body, cv2.DIST_L2, 5)
    nobody, known = np.zeros((HIGH, WIDE), np.float32), np.ones((HIGH, WIDE), bool)
    level = np.ones((HIGH, WIDE), np.float32)
    around = Around(image, plate, known, soft, nobody, nobody, colors, outside, inside, 120.0, level, nobody)
    return around, {"person": where & ~(thing > 0), "ball": thing > 0, "pole": inner & ~where}


def iou(one: np.ndarray, two: np.ndarray) -> float:
    return float((one & two).sum() / max((one | two).sum(), 1))


def test_a_person_alone_has_nothing_before_it() -> None:
    around, truth = drawn()
    found = peel(around)
    assert iou(found.person > 0.5, truth["person"]) > 0.95
    assert not found.occluder.any()


def test_a_ball_before_a_person_is_found_though_the_mask_takes_it_for_the_person() -> None:
    around, truth = drawn(ball=True)
    found = peel(around)
    assert iou(found.occluder > 0.5, truth["ball"]) > 0.85
    assert iou(found.person > 0.5, truth["person"]) > 0.92
    assert ((found.person >= 0) & (found.person <= 1)).all()


def test_what_stands_still_before_a_person_is_found_where_the_body_should_be() -> None:
    around, truth = drawn(pole=True)
    found = peel(around)
    assert iou(found.occluder > 0.5, truth["pole"]) > 0.8
    assert iou(found.person > 0.5, truth["person"]) > 0.9


def test_other_people_are_no_things() -> None:
    around, truth = drawn(ball=True)
    others = truth["ball"].astype(np.float32)
    soft = np.where(truth["ball"], 0, around.soft).astype(np.float32)
    found = peel(replace(around, others=others, soft=soft))
    assert not (found.occluder > 0.5)[truth["ball"]].any()


def hedge(around: Around, *, high: float = 1.6) -> tuple[Around, np.ndarray]:
    """Leaves before the figure's legs, the same in the plate, and a coarse map of depth that sees them."""
    there = np.zeros((HIGH, WIDE), bool)
    there[100:, 20:100] = True
    image, plate = (np.where(there[..., None], (30, 60, 25), a).astype(np.uint8) for a in (around.image, around.plate))
    coarse = cv2.resize(there[::8, ::8].astype(np.float32), (WIDE, HIGH), interpolation=cv2.INTER_LINEAR)
    soft = np.where(there, 0, around.soft).astype(np.float32)
    return replace(around, image=image, plate=plate, soft=soft, ahead=1 + (high - 1) * coarse), there


def test_what_is_nearer_and_overlaps_the_body_is_found_as_far_as_its_colours_reach() -> None:
    around, there = hedge(drawn()[0])
    beside = around.outside < 10
    found = peel(around).occluder > 0.5
    assert iou(found & beside, there & beside) > 0.9


def test_what_is_nearer_but_hides_nothing_is_left_to_the_scene() -> None:
    around, there = hedge(drawn()[0])
    away = np.roll(around.outside, -40, axis=0), np.roll(around.inside, -40, axis=0)  # the body ends above the leaves
    soft = np.roll(around.soft, -40, axis=0)
    found = peel(replace(around, outside=away[0], inside=away[1], soft=soft))
    assert not (found.occluder > 0.5)[there].any()


def test_where_the_fit_is_off_nothing_stands_before_the_person() -> None:
    around, truth = drawn()
    beside = np.roll(around.outside, 24, axis=1), np.roll(around.inside, 24, axis=1)
    found = peel(replace(around, outside=beside[0], inside=beside[1]))
    assert not found.occluder.any()
    assert iou(found.person > 0.5, truth["person"]) > 0.7


def test_where_nobody_is_seen_nothing_is_before_anybody() -> None:
    around = hedge(drawn(ball=True)[0])[0]
    found = peel(replace(around, soft=np.zeros_like(around.soft)))
    assert not found.person.any()
    assert not found.occluder.any()


def test_patterns_of_cloth_are_no_things() -> None:
    around, truth = drawn()
    rng = np.random.default_rng(1)
    spots = cv2.resize(rng.random((20, 15)).astype(np.float32), (WIDE, HIGH), interpolation=cv2.INTER_NEAREST) > 0.7
    image = np.where((spots & truth["person"])[..., None], (200, 80, 60), around.image).astype(np.uint8)
    plain = peel(replace(around, image=image))
    loose = peel(replace(around, image=image, loose=np.full_like(around.loose, 10)))
    taken = [(found.occluder > 0.5)[truth["person"]].mean() for found in (plain, loose)]
    assert taken[0] > 0.1
    assert taken[1] < 0.3 * taken[0]


def test_colours_of_things_are_remembered_where_they_are_foreseen() -> None:
    around, truth = drawn(ball=True)
    memory = Memory()
    assert not memory.likely(around.image).any()
    memory.see(around.image, truth["person"].astype(np.float32), truth["ball"].astype(np.float32))
    likely = memory.likely(around.image)
    assert likely[truth["ball"]].mean() > 0.8
    assert likely[truth["person"]].mean() < 0.05
    moved = np.roll(around.image, 6, axis=1)
    memory.see(
        moved, np.roll(truth["person"], 6, 1).astype(np.float32), np.roll(truth["ball"], 6, 1).astype(np.float32)
    )
    assert memory.step == pytest.approx([0, 6])


def test_a_second_look_with_another_scene_behind_is_as_a_first_one() -> None:
    around, _ = drawn(ball=True)
    cues = Cues.of(around)
    other = replace(around, plate=np.roll(around.plate, 3, axis=0), known=~around.known)
    for one, two in ((around, peel(around, cues)), (other, peel(other, cues))):
        fresh = peel(one)
        assert np.array_equal(fresh.person, two.person)
        assert np.array_equal(fresh.occluder, two.occluder)


def test_colours_are_compared_with_the_first_good_place_of_the_body_or_the_best() -> None:
    rng = np.random.default_rng(0)
    image, plate, body = (rng.normal(0, 1.2, (9, 70, 3)).astype(np.float32) for _ in range(3))
    where, shifts, least = rng.random((9, 70)) < 0.7, np.array([[0, 0], [1, 0], [0, -2], [-2, 2], [2, 2]]), 0.7
    one, found = np.ones(3, np.float32), np.full((9, 70), -1, np.float32)
    unlike_body(
        planes(image, one, 0), planes(plate, one, 0), planes(body, one, 2), where, shifts, np.float32(0.7), found
    )
    expected = np.full((9, 70), -1.0)
    for y, x in np.argwhere(where):
        best = np.inf
        for down, across in shifts:
            apart = body[np.clip(y + down, 0, 8), np.clip(x + across, 0, 69)] - plate[y, x]
            share = np.clip(((image[y, x] - plate[y, x]) @ apart) / (apart @ apart), least, 1)
            best = min(best, ((image[y, x] - plate[y, x] - share * apart) ** 2).sum())
            if best < GOOD:
                break
        expected[y, x] = best
    assert np.allclose(found, expected, atol=1e-4)
