"""``diorama bench stereo``: engines for the other eye against the truth, the frame matrix with and without its parts.

Clips of the theatre have a true right eye and true depth; clips of the user's own are compared by the protocol of GRT
(`_stereo_truth`). Scores are kept by all that they depend on, so that the same command goes on after an interruption.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time

from diorama.bench._stereo_rows import Row, matrix_rows, plain_rows
from diorama.bench._stereo_scores import EVERY, Judges, judges, score_eyes, score_video, video_features
from diorama.bench._stereo_sheet import save_film, save_frame, sheet
from diorama.bench._stereo_store import Store, code_digest, digest, weights_digest
from diorama.bench._stereo_table import StereoScore, StereoTable, as_csv, markdown, tables
from diorama.bench._stereo_truth import Size, StereoCase, filmed_case, theatre_case
from diorama.bench.miniature.peak import PeakMemory
from diorama.core.progress import Progress, Silent
from diorama.diffusion.prior import Prior
from diorama.errors import UsageError
from diorama.media.atomic import write_bytes
from diorama.media.images import save_image
from diorama.media.safe import VIDEO_SUFFIXES, local_path
from diorama.pipelines.matrix_config import Generative
from diorama.pipelines.matrix_open import Opening

__all__ = ["StereoBenchConfig", "StereoResult", "measure_stereo", "score_video"]

SHEET = {"telea": "telea", "fast": "fast", "draft": "matrix, draft", "balanced": "matrix, balanced"}
"""Columns of the contact sheet between the holes and the truth."""
TRUTH = "truth"
WARM = 2
"""Frames that each way makes first, not timed: what is compiled or loaded then counts for no clip."""


@dataclass(frozen=True)
class StereoBenchConfig:
    """What is measured.

    Attributes:
        clips: of the theatre.
        paths: clips that were filmed with one eye, or folders of them.
        rows: names of rows; all by default.
        prior: of the frame matrix: "embedded", or a folder.
        slow: also rows that take hours without a graphics card.
        weights: folder of the networks of metrics (`_stereo_scores.judges`).
        size: of clips.
        out: folder of clips, scores, pictures and tables.
        device: of the prior.
    """

    clips: int = 8
    paths: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    prior: str = "embedded"
    slow: bool = False
    weights: str = ""
    size: Size = Size()
    out: str = "runs/bench-stereo"
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.clips < 0 or not (self.clips or self.paths):
            raise UsageError(f"{self.clips} clips of the theatre and none of your own", "bench stereo", "give some")
        if self.weights and not Path(self.weights).is_dir():
            raise UsageError("no such folder", self.weights, "give the one that holds weights of metrics")


@dataclass(frozen=True)
class StereoResult:
    """What was measured.

    Attributes:
        scores: of each row on each clip.
        tables: of all clips, and of each kind.
        markdown: the tables, to be read.
        files: that were written.
    """

    scores: tuple[StereoScore, ...]
    tables: tuple[StereoTable, ...]
    markdown: str
    files: tuple[Path, ...]

    @property
    def json(self) -> str:
        """Tables and scores."""
        told = {"tables": [asdict(each) for each in self.tables], "scores": [asdict(each) for each in self.scores]}
        return json.dumps(told, indent=1, allow_nan=False) + "\n"


def measure_stereo(
    config: StereoBenchConfig, progress: Progress | None = None, *, prior: Prior | None = None
) -> StereoResult:
    """Every row on every clip, and the tables; about two minutes a clip on two cores.

    Args:
        config: what.
        progress: told of each row of each clip.
        prior: in place of the one that `config` names; its scores are not told apart from those of another one.

    Raises:
        UsageError: unknown rows, or a folder without clips.
        ModelError: weights that are missing or damaged, or a damaged score.
    """
    told, store, by = progress or Silent(), Store(Path(config.out)), judges(config.weights)
    store.folder.mkdir(parents=True, exist_ok=True)
    rows = _rows(config, prior, told)
    films = [film for given in config.paths for film in _films(given)]
    told.begin("clips through every way", (config.clips + len(films)) * len(rows))
    code = code_digest()
    depends = code, by.named, weights_digest(config.weights) if config.weights else ""
    weights = weights_digest(config.prior) if prior is None and any(row.told for row in rows) else ""
    scores: list[StereoScore] = []
    cases: list[StereoCase] = []
    warm: set[str] = set()
    for case in _cases(config, films, store, code):
        if case.name in {other.name for other in cases}:
            raise UsageError(f"two clips are called {case.name}", "bench stereo", "rename one of them")
        for row in rows:
            key = digest(row.name, dict(row.told), case.mark, depends, weights if row.told else "")
            scores.append(_measured(row, case, by, store, key, warm))
            told.advance()
        if not store.film(TRUTH, case).is_file():
            save_film(store.film(TRUTH, case), case, case.right)
        cases.append(case)
    return _result(config, scores, cases, rows, by, store)


def _rows(config: StereoBenchConfig, prior: Prior | None, progress: Progress) -> list[Row]:
    """The rows that are asked for; the prior is opened only where one of them needs it."""
    plain = plain_rows()
    if config.rows and set(config.rows) <= {row.name for row in plain}:
        return [row for row in plain if row.name in config.rows]
    painter = prior or Opening(Generative(prior=config.prior), config.device, progress.note).prior()
    known = [*plain, *matrix_rows(painter, config.prior)]
    if wrong := sorted(set(config.rows) - {row.name for row in known}):
        names = ", ".join(row.name for row in known)
        raise UsageError(f"no row is called {', '.join(wrong)}", "--variants", f"with this prior: {names}")
    return [row for row in known if (row.name in config.rows if config.rows else config.slow or not row.slow)]


def _films(given: str) -> list[Path]:
    """The clips that a path names."""
    path = local_path(given)
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in VIDEO_SUFFIXES)
    if not found:
        raise UsageError("a folder without clips", path, "name one with videos")
    return found


def _cases(config: StereoBenchConfig, films: Sequence[Path], store: Store, code: str) -> Iterator[StereoCase]:
    size = asdict(config.size)
    made = [(digest("theatre", number, size, code), number) for number in range(config.clips)]
    for key, number in made:
        yield store.case(key) or _kept(store, key, theatre_case(number, config.size))
    for film in films:
        stat = film.stat() if film.is_file() else None
        key = digest("film", str(film), stat and (stat.st_size, stat.st_mtime_ns), size, code)
        yield store.case(key) or _kept(store, key, filmed_case(film, config.size))


def _kept(store: Store, key: str, case: StereoCase) -> StereoCase:
    store.keep_case(key, case)
    return case


def _measured(row: Row, case: StereoCase, by: Judges, store: Store, key: str, warm: set[str]) -> StereoScore:
    """A row on a clip: kept, or measured and kept; `warm` has the rows that were at work before."""
    found = store.score(case.name, row.name, key)
    if found is None:
        if row.name not in warm:
            row.way(row.given(case.start(WARM)))
            warm.add(row.name)
        found = _fresh(row, case, by, store)
        store.keep_score(key, found)
    return found


def _fresh(row: Row, case: StereoCase, by: Judges, store: Store) -> StereoScore:
    given = row.given(case)
    wall, processor = perf_counter(), process_time()
    with PeakMemory() if row.told else nullcontext() as peak:
        made = row.way(given)
    values = {"seconds": perf_counter() - wall, "processor": process_time() - processor}
    if made.counted is not None:
        values |= {"calls": float(made.counted.calls), "latent_frames": float(made.counted.latent_frames)}
    if peak is not None:
        values["megabytes"] = peak.most / 1e6
    values |= score_video(made.right, case.right, case.masks, seen=by.lpips)
    values |= score_eyes(case.left, made.right, by)
    features = video_features(made.right, by), video_features(case.right, by)
    pair = None if features[0] is None or features[1] is None else (features[0], features[1])
    save_frame(store.pictures / f"{case.label}-{row.name}.png", made.right, case)
    save_film(store.film(row.name, case), case, made.right)
    return StereoScore(row.name, row.title, case.name, case.tag, values, pair)


def _result(
    config: StereoBenchConfig,
    scores: Sequence[StereoScore],
    cases: Sequence[StereoCase],
    rows: Sequence[Row],
    by: Judges,
    store: Store,
) -> StereoResult:
    found = tables(scores)
    notes = [
        "Holes are what a warp of the left eye by its depth leaves open in the right one; never seen: those that "
        "no frame of the clip shows, by the true surfaces (clips of the theatre); beyond the side: outside the left "
        "picture. PSNR is of the error over all pixels; flicker is the mean change of the error from frame to frame, "
        "levels.",
        f"LPIPS and left-right look at every {EVERY}th frame.",
        f"Clips of {config.size.frames} frames, at most {config.size.width} pixels wide.",
        f"Seconds are those of a way that is warm: it makes {WARM} frames first that are not timed.",
        "DOVER is not measured: its network is no part of this package.",
    ]
    names = {row.name for row in rows}
    columns = {name: title for name, title in SHEET.items() if name in names}
    text = markdown(found, by.named, notes)
    paths = {name: store.folder / name for name in ("table.md", "scores.csv", "scores.json", "sheet.png")}
    result = StereoResult(tuple(scores), tuple(found), text, tuple(paths.values()))
    write_bytes(paths["table.md"], text.encode())
    write_bytes(paths["scores.csv"], as_csv(scores).encode())
    write_bytes(paths["scores.json"], result.json.encode())
    save_image(paths["sheet.png"], sheet(cases, columns, store.pictures))
    return result
