"""Depth from networks of the hub: Depth Anything, DPT, ZoeDepth, Depth Pro, one scale over a shot."""

import hashlib
import itertools
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8, UInt16

from diorama.core.extras import need
from diorama.core.video import Frame, Video
from diorama.errors import ModelError, OutOfMemoryError
from diorama.media.atomic import atomic_path
from diorama.perception import depth_net, hub
from diorama.perception.base import Tracked

CHUNK = 8
BATCH = {"cpu": 1, "cuda": 8}


@dataclass(frozen=True, eq=False)
class HubDepth:
    """Answers with a network. Maps of a shot wait on disk until the shot's range is known.

    Attributes:
        model: a folder, a catalogue name, or a hub name; see `diorama.perception.hub.locate`.
        work: folder for waiting maps, two bytes a value at the network's resolution (0.9 MB a frame of 16:9 for
            Depth Anything). They are named by model and picture, so that a run that was killed takes them up
            again; the caller removes the folder when the film is done.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...
        note: receives what the user should know, the licence among it.
        threads: CPU threads of torch, for the whole process; None leaves its setting.
        batch: frames at once, None for 1 on CPU and 8 on CUDA.

    Raises:
        ModelError: the model cannot be found, loaded or used; see `diorama.perception.hub`.
    """

    name = "hub"
    whole_shot = True
    model: str | Path
    work: Path
    device: str = "auto"
    note: Callable[[str], None] = lambda message: None
    threads: int | None = None
    batch: int | None = None

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
        return Network.load(self.folder, self.device, self.threads)

    def check(self, video: Video) -> None:
        """Load the model, so that what is wrong with it shows before the run; any clip suits it."""
        _ = self.network

    def __call__(self, shot: Iterable[Tracked]) -> Iterator[Float32[np.ndarray, "dh dw"]]:
        """One map a frame; see `diorama.perception.base.DepthEstimator`.

        The whole shot is consumed before the first map comes; a caller that needs the frames again decodes again.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        frames = (tracked.frame for tracked in shot)
        chunks = []
        while group := list(itertools.islice(frames, CHUNK)):
            chunks.append(self._chunk(group))
        lowest = min((float(chunk.lows.min()) for chunk in chunks), default=0.0)
        highest = max((float(chunk.highs.max()) for chunk in chunks), default=0.0)
        for chunk in chunks:
            yield from chunk.scaled(lowest, highest)

    def _chunk(self, frames: list[Frame]) -> "Chunk":
        """The maps of a few frames, from disk where an earlier run left them."""
        wanted, size = self.network.wanted, frames[0].image.shape[:2]
        inputs = np.stack([depth_net.prepare(eight_bits(frame), wanted) for frame in frames])
        key = hashlib.blake2b(digest_size=16)
        key.update(f"{self.folder.fingerprint()} {inputs.shape} {size}".encode())
        key.update(inputs.tobytes())
        path = self.work / f"depth-{key.hexdigest()}.npz"
        found = Chunk.open(path)
        if found is not None:
            return found
        step = self.batch or BATCH[self.network.kind]
        maps = [
            depth_net.fit_to(depth, wanted, *size)
            for start in range(0, len(inputs), step)
            for depth in self.network(inputs[start : start + step])
        ]
        return Chunk.write(path, np.stack(maps))


def eight_bits(frame: Frame) -> UInt8[np.ndarray, "h w 3"]:
    """A frame's picture in 8 bits; networks are trained on no more."""
    image = frame.image
    return image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Chunk:
    """Consecutive maps on disk: 16-bit codes, with each map's range beside them.

    Codes rather than float16: the same bytes, 32 times as fine near the top of the range, and no overflow for
    networks whose values run to thousands (DPT).
    """

    path: Path
    lows: Float32[np.ndarray, "t"]
    highs: Float32[np.ndarray, "t"]

    @classmethod
    def write(cls, path: Path, maps: Float32[np.ndarray, "t dh dw"]) -> "Chunk":
        """Store maps; the file appears under its name only when whole."""
        lows, highs = maps.min(axis=(1, 2)), maps.max(axis=(1, 2))
        spans = np.where(highs > lows, highs.astype(np.float64) - lows, 1.0)
        codes = np.rint((maps - lows[:, None, None]) * (65535 / spans)[:, None, None]).astype(np.uint16)
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez(file, codes=codes, lows=lows, highs=highs)
        return cls(path, lows, highs)

    @classmethod
    def open(cls, path: Path) -> "Chunk | None":
        """A chunk left by an earlier run, or None where there is none that can be read."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(path, stored["lows"], stored["highs"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None

    def scaled(self, lowest: float, highest: float) -> Iterator[Float32[np.ndarray, "dh dw"]]:
        """The maps on the scale of their shot: `lowest` becomes 0 and `highest` 1; a flat shot is 0.5."""
        with np.load(self.path, allow_pickle=False) as stored:
            codes: UInt16[np.ndarray, "t dh dw"] = stored["codes"]
        span = highest - lowest
        for code, low, high in zip(codes, self.lows, self.highs, strict=True):
            if span <= 1e-6 * max(abs(lowest), abs(highest)):
                yield np.full(code.shape, 0.5, np.float32)
                continue
            slope = np.float32((float(high) - float(low)) / 65535 / span)
            yield np.clip(code * slope + np.float32((float(low) - lowest) / span), 0, 1, dtype=np.float32)


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
    def load(cls, folder: hub.ModelFolder, device: str, threads: int | None = None) -> "Network":
        """Load a network onto a device.

        Raises:
            ModelError: see `diorama.perception.hub.load`; or the device is not there.
        """
        # The field-of-view branch of Depth Pro, a third of its weights, would only give the focal length.
        options = {"use_fov_model": False} if folder.family == "depth_pro" else {}
        wanted = depth_net.input_for(folder.config, folder.preprocessor, folder.path)
        module = hub.load(folder, depth_net.CLASSES, **options)
        torch = need("torch")
        if threads is not None:
            torch.set_num_threads(threads)
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
