"""Views that show nothing, pixels that are left out, and worlds and films of any size."""

import tracemalloc
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diorama.core.figure import Figure
from diorama.core.mesh import Mesh
from diorama.core.progress import Silent
from diorama.errors import UsageError
from diorama.figures.part_colors import part_colors
from diorama.figures.pose import animate, joint_positions
from diorama.media.mesh import read_glb, write_glb
from diorama.media.read import open_media
from diorama.pipelines import rig as module
from diorama.pipelines.part_views import PartViews, write_views
from diorama.pipelines.rig import rig
from diorama.pipelines.rig_config import RigConfig
from diorama.pipelines.rig_film import frame_of, turn_of
from diorama.pipelines.rig_views import best_elevation, colored_by, labelled, laid_into, roughly, shown_by
from diorama.rigging.draft import draft_of
from diorama.rigging.surface import Surface
from diorama.rigging.swing import range_of_motion
from diorama.theatre.menagerie import random_creature, random_motion
from diorama.theatre.turntable import Turntable, film

RADIUS = float(np.sqrt(0.75))


@cache
def _figure() -> Figure:
    return random_creature(np.random.default_rng(1), "furniture").figure


@cache
def _table() -> Turntable:
    rng = np.random.default_rng(1)
    creature = random_creature(rng, "furniture")
    return film(creature.figure, random_motion(rng, creature, frames=1), views=8, size=96)


def _painted() -> np.ndarray:
    table = _table()
    palette = np.concatenate([part_colors(table.centers, table.low, table.high), [[255, 255, 255]]])
    return palette.astype(np.uint8)[table.parts]


def _without(inside: np.ndarray, *views: int) -> np.ndarray:
    found = inside.copy()
    found[list(views)] = False
    return found


def _views(folder: Path, scale: float = 1.0, **arrays: Any) -> Path:
    table = _table()
    write_views(folder, PartViews(table.azimuths, table.elevation, RADIUS * scale, 12.0, **arrays))
    return folder


def test_a_view_that_shows_nothing_does_not_count_against_a_mesh() -> None:
    table, mesh = _table(), Mesh(_figure().mesh.vertices, _figure().mesh.faces)
    told, inside = Silent(), _without(table.alpha[:, 0], 2, 5)
    whole, none = laid_into(mesh, table.alpha[:, 0], table.cameras, RADIUS, told)
    way, notes = laid_into(mesh, inside, table.cameras, RADIUS, told)
    assert way.scale == pytest.approx(whole.scale, rel=0.05)
    assert none == ()
    assert notes == tuple(f"nothing is seen in view {view}: it is left out" for view in (2, 5))
    shares = [int(note.split("by ")[1].rstrip("%")) for note in told.notes]
    assert shares[1] >= shares[0] - 3
    with pytest.raises(UsageError, match="1 of 8 views"):
        laid_into(mesh, _without(inside, *range(7)), table.cameras, RADIUS, told)


def test_a_mesh_is_rigged_by_views_of_which_one_is_blank_and_that_is_told(tmp_path: Path) -> None:
    write_glb(tmp_path / "own.glb", Mesh(_figure().mesh.vertices, _figure().mesh.faces))
    colored = _painted()
    colored[3] = 255
    folder, told = _views(tmp_path / "views", colored=colored), Silent()
    result = rig(folder, tmp_path / "out.glb", RigConfig(mesh=str(tmp_path / "own.glb"), bare=True), progress=told)
    assert "nothing is seen in view 3: it is left out" in result.notes
    assert result.notes[-1] in told.notes


def test_the_elevation_is_found_by_the_views_that_show_something() -> None:
    table = _table()
    inside = table.alpha[:, 0]
    assert best_elevation(_without(inside, 0, 4), table.azimuths, RADIUS) == pytest.approx(table.elevation, abs=5)
    assert best_elevation(_without(inside, *range(8)), table.azimuths, RADIUS) == 0


def test_views_that_a_thin_thing_is_lost_from_are_left_out_of_a_rough_look() -> None:
    inside = _table().alpha[:, 0].copy()
    inside[1] = False
    inside[1, :, 41] = True
    silhouettes, views, notes = shown_by(inside, _table().cameras)
    assert (len(views), notes) == (8, ())
    assert len(roughly(silhouettes, 24).inside) == 7


def test_a_surface_that_is_made_already_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    table = _table()
    low, high = table.low, table.high
    mesh = Mesh((_figure().mesh.vertices - (low + high) / 2).astype(np.float32), _figure().mesh.faces)
    views = PartViews(table.azimuths, table.elevation, RADIUS, 12.0, images=table.images)
    maps, count = table.parts[:, 0].astype(np.int16), len(_figure().parts)

    def made(surface: Surface | None) -> tuple[np.ndarray, ...]:
        colors = colored_by(mesh, views, table.cameras, surface).colors
        own, used = labelled(mesh, maps, table.cameras, count, surface=surface)
        assert colors is not None
        return colors, own, used, draft_of(mesh, own, surface=surface).rig().figure.skin_weights

    surface, before = Surface.of(mesh.vertices, mesh.faces), made(None)
    monkeypatch.setattr(Surface, "of", lambda *_: pytest.fail("it is made again"))
    for one, other in zip(before, made(surface), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("how", [{"height": 0.002}, {"scale": 1.2e-3}])
def test_a_tiny_world_gives_the_same_model_and_a_film_that_shows_it(
    how: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "turn_of", lambda figure, motion: turn_of(figure, motion, size=96, seconds=0.1))
    images, colored = _table().images, _painted()
    figures, films = [], []
    for name, options in (("large", {}), ("tiny", how)):
        folder = _views(tmp_path / f"{name}-views", options.get("scale", 1.0), images=images, colored=colored)
        config = RigConfig(cells=32, height=options.get("height", 1.0))
        result = rig(folder, tmp_path / f"{name}.glb", config)
        assert not any("fills" in note for note in result.notes)
        figures.append(read_glb(result.files[0]).figures[0])
        films.append(open_media(tmp_path / f"{name}.mp4").video[:1].stack()[0])
    large, tiny = figures
    scale = how.get("height", 1.0)
    assert tiny.skeleton.names == large.skeleton.names
    assert np.allclose(tiny.mesh.vertices / scale, large.mesh.vertices, atol=1e-3)
    assert np.allclose(tiny.skeleton.joints / scale, large.skeleton.joints, atol=1e-3)
    shown = [(film.min(axis=2) < 240).mean() for film in films]
    assert shown[0] > 0.1
    assert shown[1] == pytest.approx(shown[0], rel=0.05)


def test_a_turntable_holds_no_frame_and_shows_each_as_it_is_posed() -> None:
    figure = _figure()
    motion = range_of_motion(figure.skeleton, fps=24)
    turn_of(figure, motion, size=32, seconds=0.1)
    tracemalloc.start()
    turn = turn_of(figure, motion, size=64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * len(turn.cameras) * figure.mesh.vertices.nbytes, "bytes of all frames"
    places, joints = animate(figure, motion), joint_positions(motion)
    for number in (0, 20):
        assert np.allclose(turn.at(number) * turn.radius + turn.middle, places[number], atol=1e-5)
        assert np.allclose(turn.joints[number] * turn.radius + turn.middle, joints[number], atol=1e-5)
        assert np.linalg.norm(turn.at(number), axis=1).max() <= 1 + 1e-5
    tiny = replace(
        figure,
        mesh=replace(figure.mesh, vertices=figure.mesh.vertices * np.float32(1e-3)),
        skeleton=replace(figure.skeleton, rest=figure.skeleton.rest * _tiny()),
    )
    other = turn_of(tiny, replace(motion, skeleton=tiny.skeleton, root=motion.root * np.float32(1e-3)), size=64)
    assert (frame_of(turn, 20) != frame_of(other, 20)).mean() < 0.01


def _tiny() -> np.ndarray:
    """Factors of rest frames in millimetres."""
    factors = np.ones((4, 4), np.float32)
    factors[:3, 3] = 1e-3
    return factors
