"""A character from photos: the colours of a person on a body that moves.

Each photo gives colours to the texels that it shows, free of its light; photos are joined by how well they show a
place. What none shows is taken from the other side of the body where that is seen, and else continued over the
surface: around limbs and trunk rather than along them, so that belts and hems stay at their height, and for hair only
from hair, so that no face appears on the back of a head.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from diorama.core.figure import Figure
from diorama.core.mesh import vertex_normals
from diorama.errors import UsageError
from diorama.figures._texel_kernels import relax, spread
from diorama.figures.garment import (
    check_sights,
    edges_of,
    face_of,
    hands_of,
    head_of,
    moved_out,
    offsets_to_fill,
    within,
    worn,
)
from diorama.figures.harmonics import EVEN, Lighting, shading_of
from diorama.figures.sight import Sight, Taken, taken_from
from diorama.figures.texels import SPACING, Texels, at_texels, nearest_texels, texels_of, to_vertices

FINEST = 0.002
"""Metres between texels, at least; at most `SPACING`."""
ENOUGH = 0.15
"""Weight of a texel from which its own colour is taken alone."""
TWIN = 0.6
"""What a colour of the other side is worth, against one that is seen."""
AROUND = 4.0
"""How much longer a way along a limb is than one around it, where colours are continued."""
SURE_SOURCE = 0.5
"""Weight of a vertex from which others take its colour."""
HAIRLINE = 1
"""Edges from the face within which the colour of hair is not taken for the rest of it."""
CROWN, BACK = 0.75, 0.35
"""Part of the head's height above which, and of its depth behind which, it shows the colour of hair."""
NEAREST = 0.15
"""Weight of a continued colour against 1 for one that is seen; lower is smoother."""
ALIKE = 24.0
"""Mean difference of two sides' colours (0..255) from which they do not lend to each other."""
MOST_LIT, MOST_LIT_ALONE = 2.0, 1.4
"""Factors of light that are believed: of several photos, and of one, where light and colours are easily mistaken."""
SHARPEN = 3
"""Power of the weights by which photos are joined: the photo that shows a place best decides."""


@dataclass(frozen=True, eq=False)
class Character:
    """A person's looks on a body that any motion of its skeleton moves.

    Attributes:
        body: the naked body.
        offset: how far clothes and hair stand off it, metres along the normals at rest.
        texels: places on the faces.
        colors: of the texels without light, 0..255; brightness is that of the photo where it is evenly lit.
        known: how well each texel was seen in a photo, 0..1; 0 where its colour is completed.
        lights: of each photo, in the world of its camera.
    """

    body: Figure
    offset: Float32[np.ndarray, " v"]
    texels: Texels
    colors: Float32[np.ndarray, "n 3"]
    known: Float32[np.ndarray, " n"]
    lights: tuple[Lighting, ...] = ()

    def __post_init__(self) -> None:
        if len(self.colors) != len(self.texels) or len(self.known) != len(self.texels):
            shapes = f"{len(self.texels)} texels, {len(self.colors)} colours, {len(self.known)} weights"
            raise UsageError(shapes, "Character", "give one of each")
        if len(self.texels.steps) != len(self.body.mesh.faces):
            raise UsageError("texels of another mesh", "Character.texels", "lay them out on the body's faces")
        if not (np.isfinite(self.colors).all() and np.isfinite(self.offset).all()):
            raise UsageError("a colour or offset is not finite", "Character", "make it again from sound photos")

    @cached_property
    def figure(self) -> Figure:
        """The body with its clothes on: what is posed and drawn."""
        return worn(self.body, self.offset)


def character_from_photos(
    figure: Figure,
    sights: Sequence[Sight],
    *,
    fill: bool = True,
    mirror: bool = True,
    relight: bool = True,
    spacing: float | int | None = None,
    together: bool = False,
) -> Character:
    """The character that one photo shows, or several photos or frames of a clip.

    Args:
        figure: the naked body of the person.
        sights: photos with that body posed in them.
        fill: whether the body is moved out to fill the masks.
        mirror: whether one side of the body lends its colours to the other.
        relight: whether the photos' light is taken off the colours.
        spacing: metres between texels; as fine as the photos show by default.
        together: whether the photos are frames of one clip in one world, and so in one light.

    Raises:
        UsageError: no photo, photos with another body, or none that shows any of it.
    """
    check_sights(figure, sights)
    offset = offsets_to_fill(figure, sights) if fill else np.zeros(len(figure.mesh.vertices), np.float32)
    faces = figure.mesh.faces
    texels = texels_of(figure.mesh, fitting_spacing(sights) if spacing is None else spacing)
    taken = [taken_from(s.moved(moved_out(s.vertices, faces, offset)), faces, texels) for s in sights]
    if not any((one.weight > 0).any() for one in taken):
        raise UsageError("no photo shows any of the body", "sights", "check that the body lies within the mask")
    lights = _lights(figure, texels, taken, together=together) if relight else (EVEN,) * len(taken)
    most = MOST_LIT if len(taken) > 1 else MOST_LIT_ALONE
    colors, known = joined([unlit(t, light, most=most) for t, light in zip(taken, lights, strict=True)])
    return Character(figure, offset, texels, completed(figure, texels, colors, known, mirror=mirror), known, lights)


def _lights(figure: Figure, texels: Texels, taken: Sequence[Taken], *, together: bool) -> tuple[Lighting, ...]:
    """The light of each photo, or the one light of all."""
    parts, areas = figure.face_parts[texels.faces], texels.areas(figure.mesh)
    if not together:
        return tuple(shading_of(t.normals, t.colors, parts, t.weight * areas) for t in taken)
    normals, colors = np.concatenate([t.normals for t in taken]), np.concatenate([t.colors for t in taken])
    weight = np.concatenate([t.weight * areas for t in taken])
    return (shading_of(normals, colors, np.tile(parts, len(taken)), weight),) * len(taken)


def fitting_spacing(sights: Sequence[Sight]) -> float:
    """Metres between texels so that there is about one for each pixel of the photo that shows the person largest."""
    finest = SPACING
    for sight in sights:
        _, (depth,) = sight.camera.project(sight.vertices.astype(np.float64))
        before = depth[depth > 0.05]
        if len(before):
            finest = min(finest, float(np.median(before) / sight.camera.Ks[0, 0, 0]))
    return max(finest, FINEST)


def unlit(taken: Taken, light: Lighting, *, most: float = MOST_LIT) -> Taken:
    """Colours without the light that fell on them; light beyond a factor of `most` either way is not believed."""
    return replace(taken, colors=(taken.colors / np.clip(light.at(taken.normals), 1 / most, most)).astype(np.float32))


def joined(taken: Sequence[Taken]) -> tuple[Float32[np.ndarray, "n 3"], Float32[np.ndarray, " n"]]:
    """Several photos as one: each is brought to the brightness of those before it, then the best ones are averaged."""
    total, sums = taken[0].weight ** SHARPEN, taken[0].colors * (taken[0].weight ** SHARPEN)[:, None]
    known = taken[0].weight
    for one in taken[1:]:
        both = (one.weight > ENOUGH) & (known > ENOUGH)
        gain = np.ones(3, np.float32)
        if both.sum() >= 500:
            mean = sums[both] / total[both, None]
            gain = np.clip(np.median(mean / np.maximum(one.colors[both], 4), axis=0), 0.5, 2).astype(np.float32)
        share = one.weight**SHARPEN
        total, sums = total + share, sums + one.colors * gain * share[:, None]
        known = np.maximum(known, one.weight)
    return (sums / np.maximum(total, 1e-12)[:, None]).astype(np.float32), known


def completed(
    figure: Figure,
    texels: Texels,
    colors: Float32[np.ndarray, "n 3"],
    known: Float32[np.ndarray, " n"],
    *,
    mirror: bool = True,
) -> Float32[np.ndarray, "n 3"]:
    """Colours for all texels: as seen where they are, else those of the mirrored place, else continued.

    Args:
        figure: the naked body.
        texels: on its faces.
        colors: of the texels that are seen.
        known: how well; 0 where not.
        mirror: whether the other side of the body is asked.
    """
    own = np.minimum(known / ENOUGH, 1).astype(np.float32)
    if mirror:
        twin = mirrored(figure, texels, own > 0)
        lent = own[twin] * TWIN * (1 - own) * _alike(figure, texels, colors, own, twin)
        lent = np.where(twin >= 0, lent, 0).astype(np.float32)
        both = np.maximum(own + lent, 1e-9)[:, None]
        colors = (colors * own[:, None] + colors[twin] * lent[:, None]) / both
        own = own + lent
    wide = continued(figure, texels, colors, own)
    share = np.minimum(own, 1)[:, None]
    return np.clip(share * colors + (1 - share) * wide, 0, 255).astype(np.float32)


def _alike(
    figure: Figure,
    texels: Texels,
    colors: Float32[np.ndarray, "n 3"],
    own: Float32[np.ndarray, " n"],
    twin: Int64[np.ndarray, " n"],
) -> Float32[np.ndarray, " n"]:
    """How alike both sides of each texel's part look where both are seen, 0..1; 1 where that is not known."""
    parts = figure.face_parts[texels.faces]
    both = (twin >= 0) & (own > 0.5) & (own[twin] > 0.5)
    off = np.abs(colors - colors[twin]).mean(axis=1)
    alike = np.ones(len(figure.parts), np.float32)
    for part in np.unique(parts[both]):
        chosen = off[both & (parts == part)]
        if len(chosen) >= 30:
            alike[part] = np.clip(2 - chosen.mean() / (ALIKE / 2), 0, 1)
    return alike[parts]


def mirrored(figure: Figure, texels: Texels, seen: Bool[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """The seen texel nearest to each one's mirror image at rest (the plane is x = 0); -1 where there is none."""
    mesh = figure.mesh
    places = at_texels(texels, mesh.faces, mesh.vertices)
    normals = at_texels(texels, mesh.faces, vertex_normals(mesh.vertices, mesh.faces))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    flip = np.array([-1, 1, 1], np.float32)
    chosen = np.flatnonzero(seen)
    found = nearest_texels(places[chosen], normals[chosen], places * flip, normals * flip)
    return np.where(found >= 0, chosen[found], -1) if len(chosen) else found


def continued(
    figure: Figure, texels: Texels, colors: Float32[np.ndarray, "n 3"], weight: Float32[np.ndarray, " n"]
) -> Float32[np.ndarray, "n 3"]:
    """Colours of the texels from those of their surroundings on the surface.

    Each vertex takes the colour of the nearest well seen one, where a way along a bone counts as `AROUND` times as
    long as one around it; then colours are smoothed where they are not known. Between hair and the rest of the head
    there is no way. Pieces of which nothing is seen (eyes, teeth) take the mean of their part's colour.
    """
    mesh = figure.mesh
    count, faces = len(mesh.vertices), mesh.faces
    means, trust = to_vertices(texels, faces, colors, weight, count=count)
    edges, hair, other = _parted(figure, edges_of(faces))
    means, trust = _with_skin(figure, means, trust)
    start = _start(figure, means, trust)
    held = trust.astype(np.float64)
    relax(start, means.astype(np.float64), held + 1e-5, edges, np.full(len(edges), 0.2), 50)
    well = trust > min(SURE_SOURCE, float(trust.max()) / 2)
    for choice in (well & ~other, ~other & (trust > 0.1), well):  # hair from the best that is seen of it
        if (choice & hair).any():
            well = np.where(hair, choice, well)
            break
    sources = np.where(well, np.arange(count), -1)
    spread(sources, np.where(well, 0, np.inf), edges, _lengths(figure, edges))
    wide = np.where(sources[:, None] >= 0, start[sources], start)
    target = (held[:, None] * means + NEAREST * wide) / (held[:, None] + NEAREST)
    relax(wide, target, held + NEAREST, edges, np.full(len(edges), 0.2), 100)
    return at_texels(texels, faces, np.clip(wide, 0, 255).astype(np.float32))


def _with_skin(
    figure: Figure, means: Float32[np.ndarray, "v 3"], trust: Float32[np.ndarray, " v"]
) -> tuple[Float32[np.ndarray, "v 3"], Float32[np.ndarray, " v"]]:
    """Hands and face that nobody saw take the colour of those that were seen, not that of a sleeve or collar."""
    groups = [*hands_of(figure), face_of(figure)]
    well = [group & (trust > SURE_SOURCE) for group in groups]
    seen = [w.sum() > 0.05 * max(int(g.sum()), 1) for w, g in zip(well, groups, strict=True)]
    if all(seen) or not any(seen):
        return means, trust
    skin = np.median(means[np.logical_or.reduce([w for w, s in zip(well, seen, strict=True) if s])], axis=0)
    hidden = np.logical_or.reduce([g for g, s in zip(groups, seen, strict=True) if not s]) & (trust < SURE_SOURCE)
    return np.where(hidden[:, None], skin, means).astype(np.float32), np.where(hidden, 1, trust).astype(np.float32)


def _parted(
    figure: Figure, edges: Int64[np.ndarray, "e 2"]
) -> tuple[Int64[np.ndarray, "e2 2"], Bool[np.ndarray, " v"], Bool[np.ndarray, " v"]]:
    """The edges that do not lead from hair to other skin; the hair; and what of it has other colours than the rest.

    Hair is the head without the face; its colour is that of the crown and the back, not of ears and hairline.
    """
    head = head_of(figure)
    hair = head & ~face_of(figure)
    same = hair[edges[:, 0]] == hair[edges[:, 1]]
    near = np.zeros(len(hair), bool)
    near[edges[~same]] = True
    for _ in range(HAIRLINE):
        near[edges[near[edges].any(axis=1)]] = True
    _, up, forward = within(figure, head).T
    return edges[same], hair, hair & (near | ((up < CROWN) & (forward > BACK)))


def _lengths(figure: Figure, edges: Int64[np.ndarray, "e 2"]) -> Float64[np.ndarray, " e"]:
    """How long each edge is to a colour, metres: longer along a bone than around it."""
    places = figure.mesh.vertices
    way = (places[edges[:, 1]] - places[edges[:, 0]]).astype(np.float64)
    bones = _bone_ways(figure)[figure.skin_joints[:, 0]]
    along = (way * bones[edges[:, 0]]).sum(axis=1)
    more = np.where(head_of(figure)[edges[:, 0]], 0, AROUND**2 - 1)
    return np.sqrt((way**2).sum(axis=1) + more * along**2) + 1e-9


def _bone_ways(figure: Figure) -> Float32[np.ndarray, "j 3"]:
    """The direction of each joint's bone at rest: to the mean of its children, as its parent's where it has none."""
    places, parents = figure.skeleton.joints, figure.skeleton.parents
    ways = np.tile(np.array([0, 1, 0], np.float32), (len(parents), 1))
    for joint, parent in enumerate(parents):
        children = np.flatnonzero(parents == joint)
        way = places[children].mean(axis=0) - places[joint] if len(children) else ways[max(parent, 0)]
        length = float(np.linalg.norm(way))
        ways[joint] = way / length if length > 1e-6 else ways[max(parent, 0)]
    return ways


def _start(
    figure: Figure, means: Float32[np.ndarray, "v 3"], trust: Float32[np.ndarray, " v"]
) -> Float64[np.ndarray, "v 3"]:
    """The mean colour of each vertex's part, of all that is seen for parts of which nothing is."""
    parts: Int32[np.ndarray, " v"] = figure.joint_parts[figure.skin_joints[:, 0]]
    count = len(figure.parts)
    total = np.bincount(parts, trust, count)
    whole = (means * trust[:, None]).sum(axis=0) / max(float(trust.sum()), 1e-9)
    sums = np.stack([np.bincount(parts, trust * means[:, c], count) for c in range(3)], axis=1)
    mean = np.where(total[:, None] > 1e-3, sums / np.maximum(total, 1e-9)[:, None], whole)
    return mean[parts].astype(np.float64)
