"""Answers of a study: read from files that anybody may have written, and what follows from them."""

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from diorama.bench._study_page import QUESTIONS, VALUES, Scale
from diorama.core.extras import need
from diorama.errors import UsageError

HEAD = ("study", "rater", "trial", "left", "right", "question", "value")
MOST_BYTES = 10_000_000
SHOWN: Mapping[Scale, int] = {"preference": 2, "rating": 1}
"""Films of a trial."""
DIGITS = 9
"""Of the number of a trial, at most."""
DRAWS = 2000
"""Of the bootstrap."""
ENOUGH = 5
"""Raters from which on each counts once, by its mean; with fewer every answer does."""


@dataclass(frozen=True)
class Key:
    """What the page hides.

    Attributes:
        study: its number.
        scale: of the answers.
        videos: method and clip of each code.
        trials: codes of each trial, by its number.
    """

    study: str
    scale: Scale
    videos: Mapping[str, tuple[str, str]]
    trials: Mapping[int, tuple[str, ...]]

    @property
    def methods(self) -> list[str]:
        """By name."""
        return sorted({method for method, _ in self.videos.values()})


@dataclass(frozen=True)
class Answer:
    """One of them.

    Attributes:
        rater: the number that the page drew for whoever answered.
        question: one of `QUESTIONS`.
        films: method and clip of what was shown, as it was shown: left first.
        value: one of `VALUES`.
    """

    rater: str
    question: str
    films: tuple[tuple[str, str], ...]
    value: int


@dataclass(frozen=True)
class Verdict:
    """Two methods by one question.

    Attributes:
        question: one of `QUESTIONS`.
        first, second: the methods; numbers above 0 speak for the first.
        answers, raters: how many.
        mean: of the answers (of a rating: of the differences on the same clip).
        low, high: 95 % interval of the mean (bootstrap).
        wins, ties, losses: answers for the first, for none, for the second.
        wilcoxon, sign: p-values that neither is better (signed rank; sign test).
        by_rater: whether each rater counts once.
    """

    question: str
    first: str
    second: str
    answers: int
    raters: int
    mean: float
    low: float
    high: float
    wins: int
    ties: int
    losses: int
    wilcoxon: float
    sign: float
    by_rater: bool

    @property
    def win_rate(self) -> float:
        """Of the first, ties counted half."""
        return (self.wins + self.ties / 2) / self.answers


@dataclass(frozen=True)
class Rating:
    """A method by one question of a study of ratings; 1 is very bad, 7 very good."""

    question: str
    method: str
    answers: int
    mean: float
    low: float
    high: float


def read_key(path: Path) -> Key:
    """The key that was written beside a page.

    Raises:
        UsageError: missing, or no key.
    """
    try:
        told = json.loads(_text(path))
        videos = {str(code): (str(each["method"]), str(each["clip"])) for code, each in told["videos"].items()}
        trials = {int(each["number"]): tuple(map(str, each["films"])) for each in told["trials"]}
        scale: Scale = told["scale"]
        if scale not in VALUES or any(code not in videos for films in trials.values() for code in films):
            raise ValueError("its films or its scale are unknown")
        if not all(_apart_in(films, videos) == SHOWN[scale] == len(films) for films in trials.values()):
            raise ValueError(f"a trial without {SHOWN[scale]} films of one clip")
        return Key(str(told["study"]), scale, videos, trials)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UsageError(
            f"no key of a study ({error})", path, "give the key.json that was made with the page"
        ) from error


def _apart_in(films: Sequence[str], videos: Mapping[str, tuple[str, str]]) -> int:
    """How many methods films of one clip are of; 0 where they are of several clips."""
    methods, clips = ({videos[code][part] for code in films} for part in (0, 1))
    return len(methods) if len(clips) == 1 else 0


def read_answers(paths: Iterable[Path], key: Key) -> list[Answer]:
    """All answers of some files; a rater is who has one number, under whatever name.

    Raises:
        UsageError: a file that is missing, of another study, or damaged; a rater who answered in two ways.
    """
    found: dict[tuple[str, int, str], Answer] = {}
    for path in paths:
        head, *lines = _lines(path)
        if tuple(head) != HEAD:
            raise UsageError("no answers of a study", path, f"its first line must be {','.join(HEAD)}")
        for number, line in enumerate(lines, start=2):
            trial, answer = _answer(line, key, f"{path}:{number}")
            place = answer.rater, trial, answer.question
            if found.setdefault(place, answer) != answer:
                given = f"{answer.rater} answered {answer.question} of trial {trial} in two ways"
                raise UsageError(given, path, "leave the older file out")
    return list(found.values())


def _lines(path: Path) -> list[list[str]]:
    try:
        return list(csv.reader(_text(path).splitlines())) or [[]]
    except csv.Error as error:
        raise UsageError(f"no table ({error})", path, "give the file as the page saved it") from error


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"a file of {path.stat().st_size} bytes", path, f"give one of up to {MOST_BYTES}")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"it cannot be read ({error.strerror})", path, "check the path") from error
    except UnicodeDecodeError as error:
        raise UsageError("no text in UTF-8", path, "give what the page saved") from error


def _answer(line: Sequence[str], key: Key, where: str) -> tuple[int, Answer]:
    fix = "give the file as the page saved it"
    if len(line) != len(HEAD):
        raise UsageError(f"{len(line)} values, expected {len(HEAD)}", where, fix)
    study, rater, trial, left, right, question, value = line
    if study != key.study:
        raise UsageError(f"answers of the study {study[:40]!r}, the key is of {key.study!r}", where, "give its own key")
    films = tuple(code for code in (left, right) if code)
    number = int(trial) if trial.isascii() and trial.isdecimal() and len(trial) <= DIGITS else -1
    if films not in _sides(key.trials.get(number, ())):
        raise UsageError(f"films that are not those of trial {trial[:20]!r}", where, fix)
    if question not in QUESTIONS or value not in map(str, VALUES[key.scale]):
        raise UsageError(f"{value[:20]!r} for {question[:40]!r}", where, fix)
    named = re.search(r"(?:^| )([0-9a-f]{16})$", rater)
    if named is None:
        raise UsageError(f"a rater without a number: {rater[:80]!r}", where, fix)
    return number, Answer(named[1], question, tuple(key.videos[code] for code in films), int(value))


def _sides(films: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """How pages may show a trial; never nothing."""
    return (films, films[::-1]) if films else ()


def verdicts(answers: Sequence[Answer], key: Key) -> list[Verdict]:
    """Every two methods by every question; pairs without an answer are left out."""
    found = []
    for first, second in combinations(key.methods, 2):
        for question in QUESTIONS:
            asked = [answer for answer in answers if answer.question == question]
            values = _apart(asked, first, second) if key.scale == "rating" else _preferred(asked, first, second)
            if values:
                found.append(_verdict(question, first, second, values))
    return found


def ratings(answers: Sequence[Answer], key: Key) -> list[Rating]:
    """Every method by every question; nothing of a study of preferences."""
    found = []
    for method in key.methods if key.scale == "rating" else ():
        for question in QUESTIONS:
            mine = [a for a in answers if a.question == question and a.films[0][0] == method]
            if mine:
                groups = _by_rater((answer.rater, float(answer.value)) for answer in mine)
                mean = float(np.mean([answer.value for answer in mine]))
                found.append(Rating(question, method, len(mine), mean, *_interval(groups)))
    return found


def _preferred(answers: Sequence[Answer], first: str, second: str) -> list[tuple[str, float]]:
    """Who preferred the first by how much."""
    found = []
    for answer in answers:
        shown = [method for method, _ in answer.films]
        if set(shown) == {first, second}:
            found.append((answer.rater, float(answer.value if shown[1] == first else -answer.value)))
    return found


def _apart(answers: Sequence[Answer], first: str, second: str) -> list[tuple[str, float]]:
    """Who rated the first by how much higher, clip by clip."""
    given = {(a.rater, a.films[0][1], a.films[0][0]): a.value for a in answers}
    both = ((rater, clip) for rater, clip, method in given if method == first and (rater, clip, second) in given)
    return [(rater, float(given[rater, clip, first] - given[rater, clip, second])) for rater, clip in both]


def _verdict(question: str, first: str, second: str, values: Sequence[tuple[str, float]]) -> Verdict:
    numbers = np.array([value for _, value in values])
    groups = _by_rater(values)
    alone = len(groups) >= ENOUGH
    tested = np.array([group.mean() for group in groups]) if alone else numbers
    wins, losses = int((numbers > 0).sum()), int((numbers < 0).sum())
    return Verdict(
        *(question, first, second, len(numbers), len(groups), float(numbers.mean()), *_interval(groups)),
        *(wins, len(numbers) - wins - losses, losses, *_tests(tested), alone),
    )


def _by_rater(values: Iterable[tuple[str, float]]) -> list[Float64[np.ndarray, " n"]]:
    found: dict[str, list[float]] = {}
    for rater, value in values:
        found.setdefault(rater, []).append(value)
    return [np.array(each) for each in found.values()]


def _interval(groups: Sequence[Float64[np.ndarray, " n"]]) -> tuple[float, float]:
    """95 % of means of draws with replacement: of raters where there are enough, else of answers."""
    rng = np.random.default_rng(0)
    sums, counts = (np.array([measure(group) for group in groups]) for measure in (np.sum, len))
    if len(groups) < ENOUGH:
        sums, counts = np.concatenate(groups), np.ones(sum(map(len, groups)))
    drawn = rng.integers(0, len(sums), (DRAWS, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def _tests(values: Float64[np.ndarray, " n"]) -> tuple[float, float]:
    """p-values of the signed rank test (ties by Pratt's method) and of the sign test; NaN where all is a tie."""
    wins, losses = int((values > 0).sum()), int((values < 0).sum())
    if not wins + losses:
        return nan, nan
    stats: Any = need("scipy.stats")
    rank = stats.wilcoxon(values, zero_method="pratt", method="auto")
    return float(rank.pvalue), float(stats.binomtest(wins, wins + losses).pvalue)
