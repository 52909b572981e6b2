"""From a picture file to a character that can be animated: found, cut out, a body laid into it, its looks on the body.

What the picture does not show (a back, feet beyond its edge) is continued from what it does, and said so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from diorama.core.person import LANDMARKS, Points
from diorama.core.progress import Progress, Silent
from diorama.core.video import Frame
from diorama.errors import UsageError
from diorama.media.images import save_image
from diorama.media.read import open_picture
from diorama.perception.shrink import eight_bits
from diorama.pipelines._character_photo import Crop, Portrait, portrait_of

if TYPE_CHECKING:
    from diorama.figures.sight import Sight
    from diorama.figures.solve import Fit
    from diorama.figures.texture import Character

BEHIND = 200
"""Grey of what shows through a transparent picture."""
SOLID = 0.98
"""Coverage from which on a pixel is not transparent."""
SEEN = 0.5
"""Visibility from which on a landmark counts as seen."""
BELOW = (("hip", "legs"), ("knee", "lower legs"), ("ankle", "feet"))
"""What is made up where both joints are not seen."""
POOR = 0.06
"""Mean distance of landmarks from the body, of the person's size in the picture, above which the fit is doubted."""
CLOSE = {"points": 2.0, "outline": 3.0}
"""Weights of a fit to one picture: its looks must lie where they belong more than the body must be likely."""
GUESSED, LEG = 0.25, 0.4
"""What a landmark beyond the picture counts; metres of a thigh or a shin that is not seen."""
RATE = 25.0
"""Frames a second that are said of a picture, which has none."""
POSES = (("walk", 0.3), ("wave", 1.0), ("kick", 0.9))
"""Moves of the sheet, and the second that is shown."""


@dataclass(frozen=True, eq=False)
class Subject:
    """Somebody of a picture.

    Attributes:
        character: its looks on its body.
        fit: of that body to the picture, one frame.
        sight: the picture with the mask and the posed body.
        photo: the part of the picture around the person.
        picture: all of it.
        crop: left, top, right, bottom of that part in the picture.
        notes: what the user should know: who was chosen, what is made up.
    """

    character: "Character"
    fit: "Fit"
    sight: "Sight"
    photo: UInt8[np.ndarray, "h w 3"]
    picture: UInt8[np.ndarray, "ph pw 3"]
    crop: Crop
    notes: tuple[str, ...]

    def coverage(self) -> Float32[np.ndarray, "ph pw"]:
        """Of the person in the whole picture, 0..1."""
        left, top, right, bottom = self.crop
        whole = np.zeros(self.picture.shape[:2], np.float32)
        mask = self.sight.mask.astype(np.float32)
        whole[top:bottom, left:right] = cv2.resize(mask, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
        return whole


def character_of_photo(
    path: str | Path,
    *,
    person: int | None = None,
    boxes: str = "",
    mask: str = "",
    side: int = 1280,
    progress: Progress | None = None,
) -> Subject:
    """The character of a picture.

    Args:
        path: any image file; where it is transparent, its coverage is the mask.
        person: which of several, from 1 at the left, or as `boxes` numbers them; the largest by default.
        boxes: a file that says where people are (as `perception.people_files.read_boxes`).
        mask: a picture of the person's coverage, of the picture's shape.
        side: pixels of the longer side to which what is around the person is reduced, 128 or more.
        progress: told of steps and notes.

    Raises:
        UsageError: a clip, nobody there, too small, or options that do not fit; says what to do.
        MediaError, LimitError: the file is none, damaged or too large.
        ModelError: mediapipe is not installed or not usable.
    """
    from diorama.figures.texture import character_from_photos

    if side < 128:
        raise UsageError(f"a side of {side} pixels", "side", "give 128 or more")
    told = Silent() if progress is None else progress
    told.begin("character", 3)
    frame, coverage = _read(path)
    portrait = portrait_of(frame, coverage, person=person, boxes=boxes, mask=mask, side=side, where=str(path))
    told.advance()
    fit, sight = _fitted(portrait, str(path))
    told.advance()
    character = character_from_photos(fit.figure, [sight])
    told.advance()
    notes = (*portrait.notes, *made_up(portrait), *_doubts(fit, sight), _shown(character))
    for note in notes:
        told.note(f"{Path(path).name}: {note}")
    return Subject(character, fit, sight, portrait.photo, frame.image, portrait.crop, notes)


def character_of_photos(
    paths: Sequence[str | Path], *, person: int | None = None, progress: Progress | None = None
) -> Subject:
    """The character of several photos of one person, standing as in the first one.

    Args:
        paths: one picture or more; the first says what shape the body has, the others what it does not show.
        person: which of several in the first one, from 1 at the left; the largest by default, and in the others.
        progress: told of steps and notes.

    Raises:
        DioramaError: as `character_of_photo`.
    """
    from diorama.figures.texture import character_from_photos

    first = character_of_photo(paths[0], person=person, progress=progress)
    if len(paths) == 1:
        return first
    told = Silent() if progress is None else progress
    sights = [first.sight]
    for path in paths[1:]:
        frame, coverage = _read(path)
        portrait = portrait_of(frame, coverage, where=str(path))
        fit, sight = _fitted(portrait, str(path), first.fit.shape)
        for note in (*portrait.notes, *_doubts(fit, sight)):
            told.note(f"{Path(path).name}: {note}")
        sights.append(sight)
    character = character_from_photos(first.fit.figure, sights)
    told.note(f"{len(sights)} photos: {_shown(character)}")
    return replace(first, character=character)


def _read(path: str | Path) -> tuple[Frame, Float32[np.ndarray, "h w"] | None]:
    """The picture in 8 bits over grey, and its coverage where it is transparent anywhere."""
    frame = open_picture(path, "give a photo; people of clips become actors by diorama decompose")
    if frame.alpha is None:
        return replace(frame, image=eight_bits(frame.image)), None
    alpha = (frame.alpha / np.float32(np.iinfo(frame.alpha.dtype).max)).astype(np.float32)
    if not (alpha >= SOLID).any():
        raise UsageError("a picture that is transparent everywhere", path, "save it with the person in it")
    share = alpha[..., None]
    image = np.rint(eight_bits(frame.image) * share + BEHIND * (1 - share)).astype(np.uint8)
    return replace(frame, image=image, alpha=None), None if (alpha >= SOLID).all() else alpha


def _fitted(portrait: Portrait, where: str, shape: Float32[np.ndarray, " k"] | None = None) -> tuple["Fit", "Sight"]:
    """The body in the picture, of a shape that is known or looked for."""
    from diorama.figures.cast import load_cast
    from diorama.figures.observation import Observation
    from diorama.figures.pose import animate
    from diorama.figures.sight import SURE, Sight
    from diorama.figures.solve import FitConfig, fit

    points, world = standing(portrait)
    solid = portrait.mask >= SURE
    if not solid.any():
        raise UsageError("the mask shows nobody", where, "give a clearer photo, or one that is transparent around it")
    space = None if world is None else world[None]
    seen = Observation(points[None], "mediapipe33", portrait.camera, RATE, space, solid[None])
    found = fit(seen, load_cast(), FitConfig(weights=replace(FitConfig().weights, **CLOSE)), shape=shape)
    vertices: Float32[np.ndarray, "v 3"] = animate(found.figure, found.motion)[0]
    return found, Sight(portrait.photo, portrait.mask, vertices, portrait.camera)


def standing(portrait: Portrait) -> tuple[Points, Points | None]:
    """Landmarks in the picture and in space, where legs beyond the picture's edge hang straight down from the trunk.

    What the network guesses there folds them into the picture as often as not. Other points beyond count for less.
    """
    points, world = portrait.points.copy(), None if portrait.world is None else portrait.world.copy()
    points[portrait.beyond, 2] *= GUESSED
    for side in ("left", "right"):
        hip, knee, ankle, *foot = (_at(f"{side}_{joint}") for joint in ("hip", "knee", "ankle", "heel", "toes"))
        for above, joint in ((hip, knee), (knee, ankle)):
            if portrait.beyond[joint]:
                points[[joint, *foot], 2] = 0
                if world is not None:
                    trunk = world[hip] - world[_at(f"{side}_shoulder")]
                    down = trunk / max(float(np.linalg.norm(trunk)), 1e-6)
                    world[[joint, *foot]] += world[above] + LEG * down - world[joint]
    return points, world


def made_up(portrait: Portrait) -> tuple[str, ...]:
    """What the picture does not show of the body, in words."""
    notes = []
    seen = (portrait.points[:, 2] >= SEEN) & ~portrait.beyond
    for joint, what in BELOW:
        if not (seen[_at(f"left_{joint}")] or seen[_at(f"right_{joint}")]):
            notes.append(f"the {what} are not in the picture: their pose and looks are made up")
            break
    arms = [side for side in ("left", "right") if not seen[_at(f"{side}_wrist")]]
    if arms:
        notes.append(f"the {' and the '.join(arms)} hand {'are' if len(arms) > 1 else 'is'} not seen well")
    if turned_away(portrait.world):
        notes.append("the person is seen from behind: face and front are made up")
    return tuple(notes)


def turned_away(world: Points | None) -> bool:
    """Whether a body shows its back: its left shoulder and hip are further left than the right ones."""
    if world is None:
        return False
    across = [world[_at(f"left_{joint}"), 0] - world[_at(f"right_{joint}"), 0] for joint in ("shoulder", "hip")]
    return bool(np.mean(across) < -0.05)


def _at(name: str) -> int:
    return LANDMARKS.index(name)


def _doubts(fit: "Fit", sight: "Sight") -> tuple[str, ...]:
    """A word where the body lies badly in the picture."""
    rows, columns = np.nonzero(sight.person)
    tall = max(float(np.ptp(rows)), float(np.ptp(columns)), 1.0)
    if not fit.error[0] > POOR * tall:
        return ()
    return (f"the body lies badly in the picture, {fit.error[0]:.0f} pixels off: is the whole person seen?",)


def _shown(character: "Character") -> str:
    areas = character.texels.areas(character.body.mesh)
    share = float((areas * (character.known > 0)).sum() / max(float(areas.sum()), 1e-9))
    return f"the picture shows {100 * share:.0f} % of the body's surface, the rest is continued from it"


def redrawn(subject: Subject) -> UInt8[np.ndarray, "h w 3"]:
    """The character in the pose and the light of its picture, over that picture."""
    from diorama.figures.garment import moved_out
    from diorama.figures.show import show_one

    character, sight = subject.character, subject.sight
    posed = moved_out(sight.vertices, character.body.mesh.faces, character.offset)
    return show_one(character, posed, sight.camera, light=character.lights[0]).over(sight.photo)


def likeness(subject: Subject) -> float:
    """PSNR of the redrawn character against its picture where the mask surely shows it, dB."""
    off = (redrawn(subject).astype(np.float32) - subject.photo)[subject.sight.person]
    return float(10 * np.log10(255**2 / max(float((off**2).mean()), 1e-6)))


def character_sheet(subject: Subject, *, height: int = 480) -> UInt8[np.ndarray, "h w 3"]:
    """A picture to look at: the photo, what is cut out, the body over it, redrawn; both sides of it; other poses.

    Args:
        subject: of a photo.
        height: pixels of each of the two rows, 64 or more.
    """
    from diorama.figures.canonical import canonical_pictures

    if height < 64:
        raise UsageError(f"rows of {height} pixels", "height", "give 64 or more")
    share = subject.sight.mask[..., None]
    cut = np.rint(subject.photo * share + np.array([255, 0, 255]) * (1 - share)).astype(np.uint8)
    top = [subject.photo, cut, _body_over(subject), redrawn(subject)]
    sides, _ = canonical_pictures(subject.character, max(height, 64))
    rows = [[_high(picture, height) for picture in row] for row in (top, [*sides, *_in_poses(subject, height)])]
    lines = [np.concatenate(row, axis=1) for row in rows]
    width = max(line.shape[1] for line in lines)
    return np.concatenate([np.pad(a, ((0, 0), (0, width - a.shape[1]), (0, 0)), constant_values=255) for a in lines])


def write_character_sheet(target: str | Path, subject: Subject, *, height: int = 480, overwrite: bool = True) -> None:
    """Write `character_sheet` as a picture file; arguments as there.

    Raises:
        UsageError: a name without a known suffix, a folder that is missing, or a file that may not be replaced.
    """
    path = Path(target)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise UsageError(f"a sheet called {path.name!r}", target, "let the name end with .png or .jpg")
    save_image(path, character_sheet(subject, height=height), overwrite=overwrite)


def _high(picture: UInt8[np.ndarray, "h w 3"], height: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _body_over(subject: Subject) -> UInt8[np.ndarray, "h w 3"]:
    """The naked body over the photo, in the colours of its motion map."""
    from diorama.figures.codes import color_map, position_colors
    from diorama.geometry.raster import rasterize

    mesh, sight = subject.character.body.mesh, subject.sight
    found = rasterize(sight.vertices, mesh.faces, sight.camera)
    colors = color_map(found, mesh.faces, position_colors(mesh))
    mixed = (subject.photo.astype(np.uint16) + colors) // 2
    return np.where((found.face_ids >= 0)[..., None], mixed, subject.photo).astype(np.uint8)


def _in_poses(subject: Subject, size: int) -> list[UInt8[np.ndarray, "h w 3"]]:
    """The character in moves of the theatre, from the front, on white."""
    from diorama.figures.canonical import canonical_light, canonical_view
    from diorama.figures.show import posed, show_one
    from diorama.theatre.choreography import Dance, perform
    from diorama.theatre.style import random_style

    figure, style, found = subject.character.figure, random_style(np.random.default_rng(0)), []
    for move, second in POSES:
        motion = perform(Dance((move,), (second + 1,), style), subject.character.body, round(second * RATE) + 1, RATE)
        vertices = next(posed(figure, motion[len(motion) - 1 :]))
        camera = canonical_view(vertices, size, "front")
        shown = show_one(subject.character, vertices, camera, light=canonical_light("front"))
        columns = np.flatnonzero(shown.alpha.any(axis=0))
        beside = slice(max(int(columns.min(initial=size)) - size // 20, 0), int(columns.max(initial=0)) + size // 20)
        found.append(shown.over(np.full((size, size, 3), 255, np.uint8))[:, beside])
    return found
