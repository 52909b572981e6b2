"""From what the user typed about people to the things that answer: files, networks of the hub, the embedded answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from diorama.core.extras import need
from diorama.errors import UsageError
from diorama.perception import hub
from diorama.perception.people import people_available
from diorama.perception.people_files import ClipSize, MaskFile, read_boxes, read_landmarks
from diorama.perception.people_follow import Finder, Refiner
from diorama.perception.people_given import GivenFinder
from diorama.perception.people_hub_detect import HubDetector
from diorama.perception.people_hub_find import HubFinder, HubRefiner
from diorama.perception.people_hub_mask import HubMasks
from diorama.perception.people_hub_pose import HubPose
from diorama.perception.people_pose import PoseNetwork

EMBEDDED = "mediapipe"


@dataclass(frozen=True)
class PeopleChoice:
    """What the user typed; empty where the embedded answer is meant.

    Attributes:
        boxes, landmarks, masks: files, masks as number=file; see `people_files`.
        detector, segmenter, pose: models by folder or name; see `people_hub.locate`.
        device: of the models: "auto", "cpu", "cuda", ...
    """

    boxes: str = ""
    landmarks: str = ""
    masks: tuple[str, ...] = ()
    detector: str = ""
    segmenter: str = ""
    pose: str = ""
    device: str = "auto"


@dataclass(frozen=True, eq=False)
class PeopleAnswers:
    """Who answers.

    Attributes:
        finder: finds and follows people; None: the embedded answer.
        refiner: knows outlines or landmarks better; None: nobody does.
        trusted: whether people come from files, and are believed however short and unsure.
        models: what answers each question, for the recipe, with the hashes of networks.
    """

    finder: Finder | None = None
    refiner: Refiner | None = None
    trusted: bool = False
    models: Mapping[str, str] = field(default_factory=lambda: {"people": EMBEDDED})

    def close(self) -> None:
        """Free all networks and files."""
        for one in (self.finder, self.refiner):
            if one is not None:
                one.close()


def resolve(choice: PeopleChoice, size: ClipSize, note: Callable[[str], None]) -> PeopleAnswers:
    """Open files and load networks, so that what is wrong with them shows before the run.

    Args:
        choice: of the user.
        size: of the whole clip; files must fit it.
        note: receives what the user should know, licences among it.

    Raises:
        UsageError: files that do not fit, or are not what they should be.
        MediaError: no such file.
        ModelError: a model that is not here, does not answer the question, or does not load; mediapipe is needed and
            not installed.
    """
    given = _given(choice, size)
    detector = HubDetector(choice.detector, choice.device, note) if choice.detector else None
    masks = HubMasks(choice.segmenter, choice.device, note) if choice.segmenter else None
    pose = HubPose(choice.pose, choice.device, note) if choice.pose else None
    for network in (detector, masks, pose):
        if network is not None:
            _ = network.network
    models = {"people": "file" if given else EMBEDDED}
    for name, part in (("people", detector), ("segmenter", masks), ("pose", pose)):
        if part is not None:
            models |= {name: _title(part.folder), f"{name}_sha": part.folder.fingerprint}
    if detector is not None:
        finder = HubFinder(detector, pose, _network(needed=pose is None or masks is None), masks=masks is None)
        return PeopleAnswers(finder, HubRefiner(None, masks) if masks else None, models=models)
    refiner = HubRefiner(pose, masks) if pose or masks else None
    return PeopleAnswers(given, refiner, trusted=given is not None, models=models)


def _given(choice: PeopleChoice, size: ClipSize) -> GivenFinder | None:
    """People of files, None without any."""
    if not (choice.boxes or choice.landmarks or choice.masks):
        return None
    given = read_boxes(choice.boxes, size) if choice.boxes else None
    given = read_landmarks(choice.landmarks, size) if choice.landmarks else given
    masks = {}
    for pair in choice.masks:
        number, equals, path = pair.partition("=")
        if not equals or not number.isdecimal() or not path or int(number) < 1:
            raise UsageError(f"{pair!r} is not number=file", "--masks", "for example --masks 1=mask.mkv")
        if int(number) in masks:
            raise UsageError(f"masks of person {number} twice", "--masks", "give each person one file")
        masks[int(number)] = MaskFile(path, size)
    return GivenFinder(given, masks)


def _network(*, needed: bool) -> PoseNetwork | None:
    """Mediapipe's network, which looks where somebody is known to be; None where it is neither there nor needed."""
    if needed:
        need("mediapipe")
    return PoseNetwork(least=0.0) if people_available() else None


def _title(folder: hub.ModelFolder) -> str:
    """What the model is called, wherever it lies."""
    return Path(folder.name).resolve().name if Path(folder.name).is_dir() else folder.name
