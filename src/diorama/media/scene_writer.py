"""Writing a scene frame by frame: all layers of a frame at once, so that what makes them runs once."""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np

from diorama.core.actor import Actor
from diorama.core.layers import Map
from diorama.core.video import ColorTags, Pixels
from diorama.errors import LimitError, UsageError
from diorama.media.actors import write_actor
from diorama.media.atomic import atomic_folder, content_hash
from diorama.media.manifest import (
    MOST_ACTORS,
    NAME,
    Manifest,
    StoredActor,
    StoredDepth,
    StoredFile,
    StoredLayer,
    to_json,
)
from diorama.media.masks import MapWriter
from diorama.media.patches import PatchWriter
from diorama.media.recipe import Recipe
from diorama.media.safe import regular_file


@dataclass(frozen=True)
class LayerSpec:
    """What a layer will hold.

    Attributes:
        name: unique.
        alpha_bits: 8 or 16 of its coverage; None: it covers everything.
        depth: scale and offset of its depth codes; None: it has none.
    """

    name: str
    alpha_bits: int | None = None
    depth: tuple[float, float] | None = None


@dataclass(frozen=True)
class SceneSpec:
    """What a scene will hold.

    Attributes:
        height, width, bits: of its pixels.
        time_base: seconds a tick.
        color: tags.
        layers: from far to near.
        source: the clip it is taken from, copied byte for byte; None: layers differ from black.
        source_start: frame of it that is the scene's first.
    """

    height: int
    width: int
    bits: int
    time_base: Fraction
    color: ColorTags
    layers: tuple[LayerSpec, ...]
    source: Path | None = None
    source_start: int = 0


@dataclass(frozen=True, eq=False)
class Piece:
    """One layer in one frame: colours, and coverage and depth codes where its `LayerSpec` has them."""

    color: Pixels
    alpha: Map | None = None
    depth: Map | None = None


class SceneWriter:
    """Writes a scene; the folder appears under its name when the block ends well.

    Args:
        path: the folder to make.
        spec: what it holds.
        overwrite: replace a scene that is there, whole and only at the end.

    Raises:
        UsageError: `path` exists or cannot be written.
    """

    def __init__(self, path: Path, spec: SceneSpec, *, overwrite: bool = False) -> None:
        self.path, self.spec = path, spec
        self.actors: Sequence[Actor] = ()
        self.provenance: Recipe | None = None
        self._overwrite = overwrite
        self._stack = ExitStack()
        self._clock: list[tuple[int, int]] = []

    def __enter__(self) -> "SceneWriter":
        spec = self.spec
        self.folder = self._stack.enter_context(atomic_folder(self.path, overwrite=self._overwrite))
        self._files = self._stack.enter_context(ExitStack())
        self.source = None if spec.source is None else f"source{spec.source.suffix.lower()}"
        if spec.source is not None:
            shutil.copyfile(regular_file(spec.source), self.folder / str(self.source))
        size = {"height": spec.height, "width": spec.width}
        self._patches = [self._files.enter_context(PatchWriter(self._file(n, ".patches"))) for n in self._numbers]
        self._alphas = [
            None
            if layer.alpha_bits is None
            else self._files.enter_context(MapWriter(self._file(n, "-alpha.mkv"), **size, bits=layer.alpha_bits))
            for n, layer in enumerate(spec.layers)
        ]
        self._depths = [
            None
            if layer.depth is None
            else self._files.enter_context(MapWriter(self._file(n, "-depth.mkv"), **size, bits=16))
            for n, layer in enumerate(spec.layers)
        ]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if error is None:
                self._finish()
        except BaseException as fault:
            self._stack.__exit__(type(fault), fault, fault.__traceback__)
            raise
        self._stack.__exit__(kind, error, at)

    def write(self, base: Pixels, clock: tuple[int, int], pieces: Sequence[Piece]) -> None:
        """The next frame.

        Args:
            base: of the source, black without one.
            clock: when it is shown, and for how long, ticks.
            pieces: one a layer.
        """
        outs = zip(self.spec.layers, self._patches, self._alphas, self._depths, pieces, strict=True)
        for layer, patches, alphas, depths, piece in outs:
            for out, values, part in ((alphas, piece.alpha, "coverage"), (depths, piece.depth, "depth")):
                if (out is None) != (values is None):
                    given = "no" if values is None else "some"
                    raise UsageError(f"{given} {part}, other than announced", f"layer {layer.name}")
                if out is not None and values is not None:
                    out.write(values)
            patches.write(base, piece.color)
        self._clock.append(clock)

    @property
    def _numbers(self) -> range:
        return range(len(self.spec.layers))

    def _file(self, number: int, ending: str) -> Path:
        return self.folder / f"layer{number}{ending}"

    def _finish(self) -> None:
        if not self._clock:
            raise UsageError("a scene of 0 frames", self.path, "give at least one frame")
        check_actors(self.actors, [layer.name for layer in self.spec.layers], len(self._clock))
        self._files.close()
        np.save(self.folder / "clock.npy", np.array(self._clock, np.int64).T)
        layers = tuple(self._stored(n) for n in self._numbers)
        actors = tuple(_store_actor(self.folder, *item) for item in enumerate(self.actors))
        spec = self.spec
        manifest = Manifest(
            len(self._clock),
            spec.height,
            spec.width,
            spec.bits,
            (spec.time_base.numerator, spec.time_base.denominator),
            spec.color,
            "clock.npy",
            self.source,
            spec.source_start,
            layers,
            actors=actors,
            provenance=self.provenance,
        )
        names = sorted(self.folder.iterdir())
        files = {item.name: StoredFile(item.stat().st_size, content_hash(item)) for item in names}
        (self.folder / NAME).write_bytes(to_json(replace(manifest, files=files)))

    def _stored(self, number: int) -> StoredLayer:
        layer, patches = self.spec.layers[number], self._file(number, ".patches")
        if not self._patches[number].changed:
            patches.unlink()
        alpha = None if layer.alpha_bits is None else self._file(number, "-alpha.mkv").name
        depth = None
        if layer.depth is not None:
            depth = StoredDepth(self._file(number, "-depth.mkv").name, float(layer.depth[0]), float(layer.depth[1]))
        return StoredLayer(layer.name, alpha, layer.alpha_bits or 8, patches.name if patches.is_file() else None, depth)


def check_actors(actors: Sequence[Actor], known: Sequence[str], frames: int) -> None:
    """Refuse actors of one name, of layers that are not known, or of frames beyond the scene's.

    Raises:
        UsageError: says which.
        LimitError: more than `MOST_ACTORS`.
    """
    if len(actors) > MOST_ACTORS:
        raise LimitError(f"{len(actors)} actors are over the limit of {MOST_ACTORS}", "actors", "leave some out")
    names = [actor.name for actor in actors]
    for place, actor in enumerate(actors):
        where = f"actor {actor.name!r}"
        if actor.name in names[:place]:
            raise UsageError("two actors of this name", where, "name each differently")
        for name in (actor.layer, actor.occluder):
            if name is not None and name not in known:
                raise UsageError(f"no layer {name!r}", where, f"layers: {', '.join(known)}")
        if actor.frames[-1] >= frames:
            raise UsageError(f"frames up to {actor.frames[-1]} of a scene of {frames}", where, "cut it to the scene")


def _store_actor(folder: Path, number: int, actor: Actor) -> StoredActor:
    file = f"actor{number}.safetensors"
    write_actor(folder / file, actor)
    return StoredActor(actor.name, file)
