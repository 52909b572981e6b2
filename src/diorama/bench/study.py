"""``diorama bench study``: a blind comparison by people, as a page that needs no server, and what its answers say.

Films of several methods are shown two at a time (or one by one) under names that tell nothing, in an order of each
rater's own; each method of a pair is on either side equally often. Four questions are asked (S2VG's study, s2vg.md
1.10). Which film is whose stands in a file beside the page's folder.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import get_args

import numpy as np

from diorama.bench._study_answers import Key, Rating, Verdict, ratings, read_answers, read_key, verdicts
from diorama.bench._study_films import check_alike, copy_bare
from diorama.bench._study_page import Scale, Trial, study_page
from diorama.errors import MediaError, UsageError
from diorama.media.atomic import atomic_folder
from diorama.media.safe import local_path

PLAYED = (".mp4", ".m4v", ".webm")
"""Films that browsers play."""
PAGE, KEY = "page", "key.json"
TITLES: Mapping[Scale, str] = {"preference": "Which film is better?", "rating": "How good is this film?"}
Films = Mapping[str, Mapping[str, Path]]
"""The file of each clip, of each method."""


@dataclass(frozen=True)
class StudyConfig:
    """What is asked.

    Attributes:
        paths: a folder a method, with films of the same names; or a film a method.
        out: folder that is made: ``page`` for raters, ``key.json`` for whoever evaluates.
        title: of the page; "" for one that suits the scale.
        scale: "preference" shows two films (-3 to 3), "rating" one (1 to 7).
        seed: of order and sides, before each rater's page shuffles them.
        most: trials at most; 0: every two methods on every clip.
    """

    paths: tuple[str, ...]
    out: str
    title: str = ""
    scale: Scale = "preference"
    seed: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        if self.scale not in get_args(Scale):
            raise UsageError(f"scale {self.scale!r}", "--scale", f"known: {', '.join(get_args(Scale))}")
        if self.seed < 0 or self.most < 0:
            raise UsageError(f"seed {self.seed}, at most {self.most} trials", "bench study", "give 0 or more")
        if len(self.paths) < 2:
            raise UsageError(f"{len(self.paths)} results", "bench study", "give two or more films, or folders of them")
        if not self.out:
            raise UsageError("no output", "-o", "name a folder, for example -o study")


@dataclass(frozen=True)
class Study:
    """What was made.

    Attributes:
        page, key: the files.
        trials: how many.
        methods, clips: their names.
    """

    page: Path
    key: Path
    trials: int
    methods: tuple[str, ...]
    clips: tuple[str, ...]


@dataclass(frozen=True)
class StudyResult:
    """What answers say.

    Attributes:
        scale: of the answers.
        raters: how many.
        verdicts: on every two methods.
        ratings: of every method, where films were rated one by one.
    """

    scale: Scale
    raters: int
    verdicts: tuple[Verdict, ...]
    ratings: tuple[Rating, ...]

    @property
    def json(self) -> str:
        """As data; p-values of nothing but ties are null."""
        told = {**asdict(self), "verdicts": [{**asdict(v), "win_rate": v.win_rate} for v in self.verdicts]}
        for verdict in told["verdicts"]:
            verdict |= {name: None for name in ("wilcoxon", "sign") if verdict[name] != verdict[name]}
        return json.dumps(told, indent=1, allow_nan=False) + "\n"

    @property
    def markdown(self) -> str:
        """Tables, to be read."""
        parts = [f"{self.raters} rater{'s' if self.raters != 1 else ''}"]
        if self.ratings:
            lines = ["| question | method | answers | mean | 95 % |", "|---|---|---|---|---|"]
            lines += [
                f"| {r.question} | {_plain(r.method)} | {r.answers} | {r.mean:.2f} | {r.low:.2f} to {r.high:.2f} |"
                for r in self.ratings
            ]
            parts.append("\n".join(lines))
        lines = [
            "| question | methods | answers | raters | mean | 95 % | wins of the first | p (signed rank) | p (sign) |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [_line(verdict) for verdict in self.verdicts]
        parts.append("\n".join(lines))
        unit = "raters" if self.verdicts and self.verdicts[0].by_rater else "single answers, as raters are few"
        parts.append(
            f"Means above 0 speak for the first method; tests are over {unit}, not corrected for their number."
        )
        return "\n\n".join(parts) + "\n"


def make_study(config: StudyConfig) -> Study:
    """Write the page, its films and the key.

    Raises:
        UsageError: results that do not belong together, or an output that exists.
        MediaError: a film that cannot be read.
    """
    out = local_path(config.out)
    if out.exists() or out.is_symlink():  # answers may already rest on it: it is never replaced
        raise UsageError("the output exists", out, "choose another name, or move it away")
    films, salt = films_of(config.paths), secrets.token_hex(16)
    codes = {(m, c): _code(salt, m, c) for m, clips in films.items() for c in clips}
    trials = _trials(films, codes, config)
    shown = {code for trial in trials for code in trial.films}
    names = {
        codes[m, c]: f"{codes[m, c]}{path.suffix.lower()}" for m, clips in films.items() for c, path in clips.items()
    }
    study = hashlib.sha256(salt.encode()).hexdigest()[:16]
    with atomic_folder(out) as folder:
        (folder / PAGE / "media").mkdir(parents=True)
        for (method, clip), code in codes.items():
            if code in shown:
                copy_bare(films[method][clip], folder / PAGE / "media" / names[code])
        page = study_page(study, config.title or TITLES[config.scale], config.scale, trials, names)
        (folder / PAGE / "index.html").write_text(page, encoding="utf-8")
        told = {
            "study": study,
            "scale": config.scale,
            "videos": {code: {"method": m, "clip": c} for (m, c), code in codes.items() if code in shown},
            "trials": [asdict(trial) for trial in trials],
        }
        (folder / KEY).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    clips = tuple(next(iter(films.values())))
    return Study(out / PAGE / "index.html", out / KEY, len(trials), tuple(films), clips)


def evaluate_study(answers: Sequence[str], key: str) -> StudyResult:
    """What the answers of raters say.

    Args:
        answers: files that the page saved.
        key: the ``key.json`` that was made with it.

    Raises:
        UsageError: no such key, or files that do not belong together, or are damaged.
        ModelError: scipy is not installed.
    """
    place = local_path(key)
    if not place.is_file():
        raise UsageError("no key of a study there", place, "with --answers, -o names the folder of the study")
    known: Key = read_key(place)
    given = read_answers([local_path(path) for path in answers], known)
    if not given:
        raise UsageError("no answers", "--answers", "give files that the page saved")
    raters = len({answer.rater for answer in given})
    return StudyResult(known.scale, raters, tuple(verdicts(given, known)), tuple(ratings(given, known)))


def films_of(paths: Sequence[str]) -> Films:
    """The films of each method by clip: folders are methods, and clips are the names that all of them have.

    Raises:
        UsageError: folders and files mixed, two methods of one name, no clip that all have, a film that browsers do
            not play, or films of one clip that differ in size or length.
        MediaError: a film or folder that is not there, or a film that cannot be read.
    """
    given = [local_path(path) for path in paths]
    for path in given:
        if not path.exists():
            raise MediaError("no such file", path, "check the path")
    folders = [path.is_dir() for path in given]
    if any(folders) and not all(folders):
        raise UsageError("folders and single films", "bench study", "give one or the other")
    names = [path.resolve().name if folder else path.stem for path, folder in zip(given, folders, strict=True)]
    if len(set(names)) < len(names):
        raise UsageError(f"two methods are called {max(names, key=names.count)}", "bench study", "rename one of them")
    if not all(folders):
        found = {name: {"film": path} for name, path in zip(names, given, strict=True)}
    else:
        held = [{file.stem: file for file in sorted(path.iterdir()) if _played(file)} for path in given]
        common = [clip for clip in held[0] if all(clip in other for other in held)]
        if not common:
            raise UsageError("no film that all folders have", ", ".join(paths), f"give {', '.join(PLAYED)} of one name")
        found = {name: {clip: files[clip] for clip in common} for name, files in zip(names, held, strict=True)}
    for clips in found.values():
        for path in clips.values():
            if not _played(path):
                raise UsageError(f"a film of the kind {path.suffix!r}", path, f"browsers play {', '.join(PLAYED)}")
    for clip in next(iter(found.values())):
        check_alike([clips[clip] for clips in found.values()])
    return found


def _played(path: Path) -> bool:
    return path.suffix.lower() in PLAYED and not path.name.startswith(".")


def _code(salt: str, method: str, clip: str) -> str:
    return hmac.new(salt.encode(), f"{method}\n{clip}".encode(errors="surrogateescape"), "sha256").hexdigest()[:16]


def _trials(films: Films, codes: Mapping[tuple[str, str], str], config: StudyConfig) -> list[Trial]:
    """Everything that is shown, shuffled; of two methods the first is left as often as the second, give or take one."""
    rng = np.random.default_rng(config.seed)
    clips = list(next(iter(films.values())))
    together = 2 if config.scale == "preference" else 1
    sets = [(some, clip) for clip in clips for some in combinations(films, together)]
    chosen = [sets[i] for i in rng.permutation(len(sets))][: config.most or len(sets)]
    swapped = {some: bool(rng.integers(2)) for some in combinations(films, together)}
    found = []
    for number, (some, clip) in enumerate(chosen, start=1):
        order = some[::-1] if swapped[some] else some
        swapped[some] = not swapped[some]
        found.append(Trial(number, tuple(codes[method, clip] for method in order)))
    return found


def _line(v: Verdict) -> str:
    numbers = f"{v.answers} | {v.raters} | {v.mean:+.2f} | {v.low:+.2f} to {v.high:+.2f} | {v.win_rate:.0%}"
    tests = " | ".join("–" if p != p else f"{p:.2g}" for p in (v.wilcoxon, v.sign))
    return f"| {v.question} | {_plain(v.first)} / {_plain(v.second)} | {numbers} | {tests} |"


def _plain(text: str) -> str:
    """A name that cannot end a cell."""
    return " ".join(text.split()).replace("|", "/")
