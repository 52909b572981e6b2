"""Depth from networks of the hub: Depth Anything, DPT, ZoeDepth, Depth Pro, one scale over a shot."""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from diorama.core.extras import need
from diorama.core.video import Frame, Video
from diorama.errors import ModelError, OutOfMemoryError
from diorama.perception import depth_net, hub
from diorama.perception.base import Tracked
from diorama.perception.chunks import Chunk, Shelf
from diorama.perception.shrink import eight_bits

CHUNK = 8
BATCH = {"cpu": 1, "cuda": 8}  # frames at once


@dataclass(frozen=True, eq=False)
class HubDepth:
    """Answers with a network. Maps of a shot wait on disk until the shot's range is known.

    Attributes:
        model: a folder, a catalogue name, or a hub name; see `diorama.perception.hub.locate`.
        work: folder for waiting maps, two bytes a value at the network's resolution (0.9 MB a frame of 16:9 for
            Depth Anything). They are named by model and picture, so that a run that was killed takes them up
            again. Those of past shots are removed on the way, the caller removes the folder when the film is done.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...
        note: receives what the user should know, the licence among it.

    Raises:
        ModelError: the model cannot be found, loaded or used; see `diorama.perception.hub`.
    """

    name = "hub"
    whole_shot = True
    model: str | Path
    work: Path
    device: str = "auto"
    note: Callable[[str], None] = lambda message: None

    @cached_property
    def shelf(self) -> Shelf:
        """Where maps wait."""
        return Shelf(self.work)

    @cached_property
    def folder(self) -> hub.ModelFolder:
        """Where the model is; tells its licence."""
        found = hub.locate(self.model, self.note)
        if found.family not in depth_net.FAMILIES:
            known = ", ".join(sorted(depth_net.FAMILIES))
            raise ModelError(f"a model of the family {found.family!r} gives no depth", found.path, f"known: {known}")
        self.note(found.terms)
        return found

    @cached_property
    def network(self) -> "Network":
        """The loaded network."""
        return Network.load(self.folder, self.device)

    def check(self, video: Video) -> None:
        """Load the model, so that what is wrong with it shows before the run; any clip suits it."""
        _ = self.network

    def __call__(self, shot: Iterable[Tracked]) -> Iterator[Float32[np.ndarray, "dh dw"]]:
        """One map a frame; see `diorama.perception.base.DepthEstimator`.

        The whole shot is consumed before the first map comes; a caller that needs the frames again decodes again.

        Raises:
            LimitError: the disk does not hold the maps of another minute.
        """
        self.shelf.begin()
        frames = (tracked.frame for tracked in shot)
        chunks = []
        while group := list(itertools.islice(frames, CHUNK)):
            chunks.append(self._chunk(group))
        lowest = min((float(chunk.lows.min()) for chunk in chunks), default=0.0)
        highest = max((float(chunk.highs.max()) for chunk in chunks), default=0.0)
        for chunk in chunks:
            yield from chunk.scaled(lowest, highest)
        self.shelf.end(chunks)

    def _chunk(self, frames: list[Frame]) -> Chunk:
        """The maps of a few frames, from disk where an earlier run left them."""
        wanted, size = self.network.wanted, frames[0].image.shape[:2]
        inputs = np.stack([depth_net.prepare(eight_bits(frame.image), wanted) for frame in frames])
        key = hashlib.blake2b(digest_size=16)
        key.update(f"{self.folder.fingerprint} {inputs.shape} {size}".encode())
        key.update(inputs.tobytes())
        found = self.shelf.find(key.hexdigest())
        if found is not None:
            return found
        step = BATCH[self.network.kind]
        maps = [
            depth_net.fit_to(inverse_depth, wanted, *size)
            for start in range(0, len(inputs), step)
            for inverse_depth in self.network(inputs[start : start + step])
        ]
        return self.shelf.store(key.hexdigest(), np.stack(maps))


@dataclass(frozen=True, eq=False)
class Network:
    """A loaded depth network.

    Attributes:
        module: the `transformers` network.
        wanted: how it wants its input.
        meant: what its output means.
        device: where it runs.
        where: its folder, for messages.
    """

    module: Any
    wanted: depth_net.Input
    meant: depth_net.Meaning
    device: str
    where: Path

    @classmethod
    def load(cls, folder: hub.ModelFolder, device: str) -> "Network":
        """Load a network onto a device.

        Raises:
            ModelError: see `diorama.perception.hub.load`; or the device is not there.
        """
        # The field-of-view branch of Depth Pro, a third of its weights, would only give the focal length.
        options = {"use_fov_model": False} if folder.family == "depth_pro" else {}
        wanted = depth_net.input_for(folder.config, folder.preprocessor, folder.path)
        module = hub.load(folder, depth_net.CLASSES, **options)
        torch = need("torch")
        chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        try:
            module = module.to(chosen)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0][:160]
            raise ModelError(f"cannot use the device {chosen!r} ({reason})", "--device", "use cpu") from error
        return cls(module, wanted, depth_net.meaning(folder.config), chosen, folder.path)

    @property
    def kind(self) -> str:
        """The device without its number."""
        return "cuda" if self.device.startswith("cuda") else "cpu"

    def __call__(self, inputs: UInt8[np.ndarray, "b nh nw 3"]) -> Float32[np.ndarray, "b dh dw"]:
        """Inverse depth of prepared pictures, larger is nearer, in the network's own units.

        CUDA computes in float16, whose 11 bits keep disparity smooth where the 8 of bfloat16 draw steps; where that
        overflows, in float32.

        Raises:
            ModelError: the result is not finite.
            OutOfMemoryError: the device's memory does not hold it.
        """
        torch = need("torch")
        try:
            predicted = self._forward(inputs, half=self.kind == "cuda")
            if self.kind == "cuda" and not np.isfinite(predicted).all():
                predicted = self._forward(inputs, half=False)
        except torch.OutOfMemoryError as error:
            raise OutOfMemoryError(f"depth of {inputs.shape[0]} frames at once", self.device, "use cpu") from error
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"the model does not run on {inputs.shape[1:3]} pixels ({reason})", self.where) from error
        if not np.isfinite(predicted).all():
            raise ModelError("the model's depth is not finite", self.where)
        return depth_net.inverse(predicted, self.meant)

    def _forward(self, inputs: UInt8[np.ndarray, "b nh nw 3"], *, half: bool) -> Float32[np.ndarray, "b dh dw"]:
        torch = need("torch")
        with torch.inference_mode(), torch.autocast(self.kind, dtype=torch.float16, enabled=half):
            pixels = torch.from_numpy(inputs).to(self.device).permute(0, 3, 1, 2).float() / 255
            mean, std = (
                torch.tensor(values, device=self.device).view(1, 3, 1, 1)
                for values in (self.wanted.mean, self.wanted.std)
            )
            depth = self.module(pixel_values=(pixels - mean) / std).predicted_depth
            return depth.float().cpu().numpy()
