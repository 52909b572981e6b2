"""What a bench of stereo engines keeps in its folder: clips, scores by all that they depend on, pictures and films."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import diorama
from diorama.bench._stereo_table import StereoScore
from diorama.bench._stereo_truth import StereoCase
from diorama.bench.miniature.files import damaged, read_json, write_json
from diorama.diffusion.codec_load import NAMED
from diorama.diffusion.prior_scene import EMBEDDED
from diorama.media.atomic import content_hash, write_bytes

CODE = (
    *("core/**/*.py", "media/**/*.py", "geometry/**/*.py", "figures/**/*.py", "theatre/**/*.py", "perception/**/*.py"),
    *("diffusion/**/*.py", "pipelines/matrix*.py", "pipelines/eyes.py", "pipelines/frames.py", "pipelines/presets.py"),
    *("bench/stereo.py", "bench/_stereo_*.py", "bench/metrics/**/*.py"),
    *("figures/data/*", "theatre/data/*", "perception/data/*"),
)
"""Files of the package that scores depend on: with another content of one of them they are made again."""
_ARRAYS = ("left", "right", "disparity", "holes", "sides", "never")


def digest(*told: object) -> str:
    """A name for values that JSON can hold."""
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def code_digest(root: Path = Path(diorama.__file__).parent) -> str:
    """Of the files of `CODE` in the folder of the package, and of its version."""
    files = sorted({path for pattern in CODE for path in root.glob(pattern) if path.is_file()})
    return digest(diorama.__version__, [(path.relative_to(root).as_posix(), content_hash(path)) for path in files])


def weights_digest(given: str) -> str:
    """Of the content of weights: of the embedded prior and its codec ("embedded"), or of all files of a folder."""
    if given == "embedded":
        return digest([content_hash(path) for path in (EMBEDDED, *NAMED.values()) if path.is_file()])
    root = Path(given)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return digest([(path.relative_to(root).as_posix(), content_hash(path)) for path in files])


@dataclass(frozen=True)
class Store:
    """The folder of a bench.

    Attributes:
        folder: made when something is kept.
    """

    folder: Path

    def case(self, key: str) -> StereoCase | None:
        """A clip that was drawn before; None where it is not there, or damaged."""
        try:
            with np.load(self._case(key), allow_pickle=False) as file:
                told = json.loads(str(file["told"]))
                arrays = {name: file[name] for name in _ARRAYS if name in file.files}
            return StereoCase(str(told["name"]), str(told["tag"]), fps=float(told["fps"]), **arrays)
        except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
            return None

    def keep_case(self, key: str, case: StereoCase) -> None:
        """Keep a clip."""
        arrays = {name: getattr(case, name) for name in _ARRAYS if getattr(case, name) is not None}
        data = io.BytesIO()
        told = json.dumps({"name": case.name, "tag": case.tag, "fps": case.fps})
        np.savez_compressed(data, allow_pickle=False, told=np.array(told), **arrays)
        self._case(key).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(self._case(key), data.getvalue())

    def score(self, case: str, row: str, key: str) -> StereoScore | None:
        """A score that was measured before.

        Raises:
            ModelError: a damaged file.
        """
        path = self._score(case, row, key)
        found = read_json(path)
        return None if found is None else _score(found, path)

    def keep_score(self, key: str, score: StereoScore) -> None:
        """Keep a score."""
        write_json(self._score(score.clip, score.row, key), asdict(score))

    @property
    def pictures(self) -> Path:
        """Folder of the pictures of the sheet."""
        return self.folder / "frames"

    def film(self, row: str, case: StereoCase) -> Path:
        """Where the film of a row is: a folder for each row, so that `bench study` compares them."""
        return self.folder / "films" / row / f"{case.label}.mp4"

    def _case(self, key: str) -> Path:
        return self.folder / "clips" / f"{key}.npz"

    def _score(self, case: str, row: str, key: str) -> Path:
        return self.folder / "scores" / f"{case}-{row}-{key}.json"


def _score(found: Any, path: Path) -> StereoScore:
    try:
        values: Mapping[str, Any] = found["values"]
        features = found["features"]
        pair = None if features is None else (_rows(features[0]), _rows(features[1]))
        numbers = {str(key): float(value) for key, value in values.items()}
        row, title, clip, tag = (str(found[name]) for name in ("row", "title", "clip", "tag"))
        return StereoScore(row, title, clip, tag, numbers, pair)
    except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:
        raise damaged(path, error) from error


def _rows(values: Any) -> list[list[float]]:
    return [[float(value) for value in row] for row in values]
