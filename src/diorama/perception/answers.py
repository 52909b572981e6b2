"""From what the user typed after ``--depth`` to the thing that answers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diorama import catalog
from diorama.core.video import Video
from diorama.errors import MediaError, ModelError
from diorama.media.safe import Limits, local_path
from diorama.perception.base import DepthEstimator, PeopleSegmenter
from diorama.perception.depth_file import DepthKind, FileDepth, ignore
from diorama.perception.depth_hub import HubDepth
from diorama.perception.depth_maps import SUFFIXES
from diorama.perception.hub import HUB_NAME

EMBEDDED, HUB = "embedded", "hub"


@dataclass(frozen=True)
class DepthOptions:
    """What a depth answer may need besides its name.

    Attributes:
        kind: of a file: "inverse" (larger is nearer) or "metric" (distances).
        near, far: of a file: values of the nearest and farthest surface, None to find them.
        people: of the embedded answer: whether person masks are used where the extra `people` is installed.
        device: of a network: "auto", "cpu", "cuda", "mps".
        limits: of a file: pixels of a map, and number of maps.
    """

    kind: DepthKind = "inverse"
    near: float | None = None
    far: float | None = None
    people: bool = True
    device: str = "auto"
    limits: Limits = Limits()


def resolve(
    choice: str | Path,
    work: Path,
    options: DepthOptions | None = None,
    *,
    note: Callable[[str], None] = ignore,
) -> DepthEstimator:
    """The depth estimator called `choice`; nothing is opened or loaded yet (see `check`).

    Args:
        choice: ``embedded``, a path (a folder with config.json is a network, anything else holds depth maps), ``hub``
            (the network `catalog.DEFAULT_DEPTH`), a name of the catalogue, or a hub name ``organisation/model``. A
            path wins over a name.
        work: folder for maps that wait on disk.
        options: kind, range, device, limits.
        note: receives what the user should know.

    Raises:
        MediaError: a path that does not exist.
        ModelError: a name that is not known.
        UsageError: a URL, or options that contradict each other.
    """
    options, text = options or DepthOptions(), str(choice)
    if text == EMBEDDED:
        return _embedded(people=options.people)
    path = local_path(choice)
    if (path / "config.json").is_file():
        return HubDepth(path, work, options.device, note)
    if path.exists():
        return FileDepth(path, options.kind, options.near, options.far, note, options.limits)
    if text == HUB:
        return HubDepth(catalog.DEFAULT_DEPTH, work, options.device, note)
    if text in catalog.names("depth") or (HUB_NAME.fullmatch(text) and path.suffix.lower() not in SUFFIXES):
        return HubDepth(text, work, options.device, note)
    if path.suffix or len(path.parts) > 1:
        raise MediaError("no such depth file", path, "check the path")
    raise _unknown(text)


def _unknown(text: str) -> ModelError:
    """What can be said of a name that answers no depth."""
    own = f"{EMBEDDED}, {HUB} (the same as {catalog.DEFAULT_DEPTH})"
    try:
        catalog.find(text)
    except ModelError as error:
        return ModelError(f"{text!r} is no file and no depth model", "--depth", f"{error.fix}, {own}")
    known = ", ".join(catalog.names("depth"))
    return ModelError(f"{text!r} does not answer depth", "--depth", f"known: {known}, {own}")


def check(estimator: DepthEstimator, video: Video) -> None:
    """Find out before the run whether an estimator can answer for a clip.

    Raises:
        DioramaError: see `FileDepth.check` and `HubDepth.check`; embedded depth always can.
    """
    if isinstance(estimator, FileDepth | HubDepth):
        estimator.check(video)


def provenance(estimator: DepthEstimator) -> dict[str, str]:
    """What answers, for the recipe: the same words wherever the same models lie.

    Returns:
        dict[str, str]: ``depth``: the estimator, the model's name, or its folder's; ``depth_sha`` of a network
        (`ModelFolder.fingerprint`); ``people`` of embedded depth: the package with its version, or none.

    Raises:
        ModelError: the network is not to be found.
    """
    from diorama.perception.depth import EmbeddedDepth

    if isinstance(estimator, HubDepth):
        model = Path(estimator.model)
        name = model.resolve().name if model.is_dir() else str(estimator.model)
        return {"depth": name, "depth_sha": estimator.folder.fingerprint}
    if isinstance(estimator, EmbeddedDepth):
        people = estimator.people
        return {
            "depth": estimator.name,
            "people": "none" if people is None else getattr(people, "release", people.name),
        }
    return {"depth": estimator.name}


def _embedded(*, people: bool) -> DepthEstimator:
    from diorama.perception.depth import EmbeddedDepth
    from diorama.perception.people import MediapipePeople, people_available

    segmenter: PeopleSegmenter | None = MediapipePeople() if people and people_available() else None
    return EmbeddedDepth(segmenter)
