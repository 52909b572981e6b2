"""Networks of `transformers` that answer where people are, where they end and how they stand: found, loaded, run.

A network is a folder on disk, or what the download cache holds of a model the catalogue names: nothing is fetched in a
run. Pictures are prepared here, because the image processors of `transformers` pull torchvision or scipy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8

from diorama import catalog
from diorama.core.extras import need
from diorama.core.video import Pixels
from diorama.errors import ModelError, OutOfMemoryError
from diorama.perception import hub
from diorama.perception.depth_net import IMAGENET
from diorama.perception.shrink import eight_bits

Given = TypeVar("Given")
Answer = TypeVar("Answer")
Three = tuple[float, float, float]
LEAST_SIDE, MOST_SIDE = 32, 2048
"""Pixels of a network's input."""
SIDES = f"expected {LEAST_SIDE} to {MOST_SIDE} pixels; download the model again"
AS_IT_IS: tuple[Three, Three] = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""Mean and deviation of networks that take colours in 0..1."""


@dataclass(frozen=True)
class Question:
    """What a network is asked, and which ones can answer.

    Attributes:
        name: of the question in the catalogue, and of the option.
        wanted: what the network must be, for messages.
        classes: class in `transformers` for each architecture.
        normal: mean and deviation of the colours, where the folder says nothing.
    """

    name: str
    wanted: str
    classes: Mapping[str, str]
    normal: tuple[Three, Three] = IMAGENET

    @property
    def option(self) -> str:
        """As the user types it."""
        return f"--{self.name}"


def locate(name: str | Path, question: Question, note: Callable[[str], None]) -> hub.ModelFolder:
    """Find a model by folder, by catalogue name or by hub name; `note` receives its licence.

    Raises:
        ModelError: it is not on this machine, is not known, or does not answer the question.
    """
    folder = hub.locate(name, note) if Path(name).is_dir() else _cached(str(name), question, note)
    if folder.family not in question.classes:
        known = ", ".join(sorted(question.classes))
        what = f"a model of the family {folder.family!r} is no {question.wanted}"
        raise ModelError(what, folder.path, f"give {question.option} one of the families {known}")
    note(folder.terms)
    return folder


def _cached(text: str, question: Question, note: Callable[[str], None]) -> hub.ModelFolder:
    """What the download cache holds of a model."""
    entries = tuple(weights for weights in catalog.PEOPLE if weights.question == question.name)
    entry = next((weights for weights in entries if text in (weights.name, weights.source)), None)
    if entry is None and not hub.HUB_NAME.fullmatch(text):
        known = ", ".join(weights.name for weights in entries)
        raise ModelError(
            f"{text!r} is no folder and no {question.wanted} that is known",
            question.option,
            f"give a folder with config.json and model.safetensors, or one of {known}",
        )
    source = text if entry is None else entry.source
    found = catalog.cached(source)
    if found is None:
        get = f"hf download {source} --local-dir model; then {question.option} model"
        if entry is not None:
            get = f"diorama models get {entry.name} ({entry.megabytes} MB, {entry.licence})"
        raise ModelError(f"the model {text!r} is not on this machine", question.option, f"{get}; or name a folder")
    folder = hub.locate(found, note)
    return folder if entry is None else replace(folder, name=text, terms=entry.terms)


@dataclass(frozen=True, eq=False)
class Network:
    """A loaded network.

    Attributes:
        module: of `transformers`, in evaluation mode.
        config: contents of its config.json.
        normal: mean and deviation of its input's colours, of RGB in 0..1.
        device: where it runs.
        where: its folder, for messages.
    """

    module: Any
    config: Mapping[str, Any]
    normal: tuple[Three, Three]
    device: str
    where: Path

    @classmethod
    def load(cls, folder: hub.ModelFolder, question: Question, device: str = "auto") -> "Network":
        """Load a network onto a device: "auto" (CUDA where there is one), "cpu", "cuda", ...

        Raises:
            ModelError: see `diorama.perception.hub.load`; values of the preprocessor or a device that cannot be used.
        """
        normal = _normal(folder, question)
        module, torch = hub.load(folder, question.classes), need("torch")
        chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        try:
            module = module.to(chosen)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0][:160]
            raise ModelError(f"cannot use the device {chosen!r} ({reason})", folder.path, "use cpu") from error
        return cls(module, folder.config, normal, chosen, folder.path)

    @property
    def batch(self) -> int:
        """Pictures to give at once."""
        return 8 if self.device.startswith("cuda") else 1

    def resized(self, images: Sequence[Pixels], height: int, width: int) -> Any:
        """Pictures stretched to the network's size, smoothed where they shrink, as a tensor "b 3 height width"."""
        torch = need("torch")
        resize = torch.nn.functional.interpolate
        parts = []
        for image in images:
            pixels = self._floats(eight_bits(image)[None])
            parts.append(resize(pixels, (height, width), mode="bilinear", align_corners=False, antialias=True))
        return self._normalized(torch.cat(parts))

    def prepared(self, pictures: UInt8[np.ndarray, "b nh nw 3"]) -> Any:
        """Pictures of the network's size as a tensor "b 3 nh nw"."""
        return self._normalized(self._floats(pictures))

    def run(self, call: Callable[[Given], Answer], given: Given, doing: str) -> Answer:
        """The answer of `call` to what is given, without gradients.

        Raises:
            OutOfMemoryError: the device's memory does not hold it.
            ModelError: the network does not run on its input.
        """
        torch = need("torch")
        try:
            with torch.inference_mode():
                return call(given)
        except torch.OutOfMemoryError as error:
            raise OutOfMemoryError(doing, self.device, "use a smaller model, or a smaller clip") from error
        except (RuntimeError, ValueError, IndexError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"the model does not run: {doing} ({reason})", self.where) from error

    def _floats(self, pictures: UInt8[np.ndarray, "b h w 3"]) -> Any:
        torch = need("torch")
        return torch.from_numpy(np.ascontiguousarray(pictures)).to(self.device).permute(0, 3, 1, 2).float() / 255

    def _normalized(self, pixels: Any) -> Any:
        torch = need("torch")
        mean, std = (torch.tensor(values, device=self.device).view(1, 3, 1, 1) for values in self.normal)
        return (pixels - mean) / std


class Answerer:
    """What answers a question with a network, which is loaded when it is first asked for.

    Args:
        model: a folder, a catalogue name, or a hub name in the download cache.
        question: what the network is asked.
        device: "auto", "cpu", "cuda", ...
        note: receives the licence.

    Raises:
        ModelError: see `locate`. When the network is asked for: see `Network.load`.
    """

    def __init__(self, model: str | Path, question: Question, device: str, note: Callable[[str], None]) -> None:
        self.folder = locate(model, question, note)
        self._question, self._device = question, device

    @cached_property
    def network(self) -> Network:
        """The loaded network."""
        return Network.load(self.folder, self._question, self._device)

    def close(self) -> None:
        """Free the network; a later call loads it again."""
        self.__dict__.pop("network", None)

    def _check_finite(self, *answers: np.ndarray) -> None:
        if not all(np.isfinite(answer).all() for answer in answers):
            what = f"a {self._question.wanted} whose answer is not finite"
            raise ModelError(what, self.folder.path, "download it again, or use another model")


def stated_size(folder: hub.ModelFolder, usual: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the input as the folder's preprocessor_config.json says, else `usual`.

    Raises:
        ModelError: a size that cannot be used.
    """
    size = folder.preprocessor.get("size", None)
    if not isinstance(size, Mapping) or not {"height", "width"} <= size.keys():
        return usual
    sides = size["height"], size["width"]
    if not all(isinstance(side, int) and LEAST_SIDE <= side <= MOST_SIDE for side in sides):
        raise ModelError(f"an input of {sides[1]}x{sides[0]} in preprocessor_config.json", folder.path, SIDES)
    return sides


def pair_of(value: object, name: str, where: object) -> tuple[int, int]:
    """Height and width from one number or two of a config.json.

    Raises:
        ModelError: anything else, or sides out of range.
    """
    sides = value if isinstance(value, list | tuple) else (value, value)
    if len(sides) != 2 or not all(isinstance(side, int) and LEAST_SIDE <= side <= MOST_SIDE for side in sides):
        raise ModelError(f"{name} {str(value)[:50]} in config.json", where, SIDES)
    return int(sides[0]), int(sides[1])


def _normal(folder: hub.ModelFolder, question: Question) -> tuple[Three, Three]:
    prepared = folder.preprocessor
    if prepared.get("do_normalize") is False:
        return AS_IT_IS
    if not prepared.get("do_normalize"):
        return question.normal
    values = [prepared.get(name, usual) for name, usual in zip(("image_mean", "image_std"), IMAGENET, strict=True)]
    for value in values:
        right = isinstance(value, list | tuple) and len(value) == 3
        if not right or not all(isinstance(part, int | float) and isfinite(part) for part in value):
            what = f"colours normalised by {str(value)[:50]} in preprocessor_config.json"
            raise ModelError(what, folder.path, "expected three numbers; download the model again")
    (r, g, b), (dr, dg, db) = values
    if 0 in (dr, dg, db):
        raise ModelError("colours divided by 0 in preprocessor_config.json", folder.path, "download the model again")
    return (float(r), float(g), float(b)), (float(dr), float(dg), float(db))
