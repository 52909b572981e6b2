"""Studies with people: the page hides who made what, and answers say what was answered."""

import csv
import html.parser
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from diorama.bench._study_answers import HEAD, read_answers, read_key
from diorama.bench._study_page import QUESTIONS
from diorama.bench.study import StudyConfig, evaluate_study, films_of, make_study
from diorama.errors import UsageError
from diorama.media.encoding import Encoding
from diorama.media.write import FrameWriter, StreamSpec

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
METHODS, CLIPS = ("alpha", "beta", "gamma"), ("kitchen", "harbour")
EVIL = '</script><img src=x onerror="document.title=1">&amp;{{study}}'


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A folder a method with two films each, and one film that only the first has."""
    root = tmp_path_factory.mktemp("results")
    spec = StreamSpec(64, 48, Fraction(1, 10), Fraction(10))
    for number, method in enumerate(METHODS):
        (root / method).mkdir()
        for clip in (*CLIPS, "alone")[: 3 if number == 0 else 2]:
            with FrameWriter(root / method / f"{clip}.mp4", spec, Encoding().resolved(".mp4", 8)) as writer:
                for t in range(3):
                    writer.write(np.full((48, 64, 3), 60 * number + 20 * t, np.uint8), t)
    return [str(root / method) for method in METHODS]


def told(page: Path) -> dict[str, object]:
    found = re.search(r'<script type="text/plain" id="study">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert found is not None
    return json.loads(found[1])


def test_the_page_holds_every_pair_once_and_no_name(results: list[str], tmp_path: Path) -> None:
    study = make_study(StudyConfig(tuple(results), str(tmp_path / "study"), title=EVIL))
    text = study.page.read_text(encoding="utf-8")
    assert study.trials == 3 * 2
    assert study.methods == METHODS
    assert study.clips == tuple(sorted(CLIPS))
    for name in (*METHODS, *CLIPS):
        assert name not in text
    assert not any(name in str(path) for path in (study.page.parent / "media").iterdir() for name in METHODS)
    key = read_key(study.key)
    shown = [[key.videos[code] for code in films] for films in key.trials.values()]
    assert len({frozenset(films) for films in shown}) == 6
    assert all(left[1] == right[1] and left[0] != right[0] for left, right in shown)
    files = {file for trial in told(study.page)["trials"] for file in trial["films"]}  # type: ignore[attr-defined]
    assert files == {path.name for path in (study.page.parent / "media").iterdir()}

    class Tags(html.parser.HTMLParser):
        found: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.found.append(tag)
            assert not any(name.startswith("on") for name, _ in attrs)
            assert not any((value or "").startswith("http") for _, value in attrs)

    Tags().feed(text)
    assert "img" not in Tags.found
    assert "default-src 'none'" in text
    with pytest.raises(UsageError, match="exists"):
        make_study(StudyConfig(tuple(results), str(tmp_path / "study")))


def test_order_and_sides_come_from_the_seed(results: list[str], tmp_path: Path) -> None:
    orders = []
    for number, seed in enumerate((3, 3, 4)):
        study = make_study(StudyConfig(tuple(results), str(tmp_path / str(number)), seed=seed))
        key = read_key(study.key)
        orders.append([tuple(key.videos[code] for code in films) for _, films in sorted(key.trials.items())])
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    few = make_study(StudyConfig(tuple(results), str(tmp_path / "few"), most=2))
    assert few.trials == 2
    assert len(list((few.page.parent / "media").iterdir())) <= 4


def answer(path: Path, key_path: Path, raters: int, value: Callable[[int, str, str], int]) -> Path:
    """A file of answers; `value` tells how much a rater likes a method."""
    key = read_key(key_path)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEAD)
        for rater in range(raters):
            for number, films in key.trials.items():
                likes = [value(rater, *key.videos[code]) for code in films]
                for question in QUESTIONS:
                    said = likes[0] if len(films) == 1 else max(-3, min(3, likes[1] - likes[0]))
                    right = films[1] if len(films) > 1 else ""
                    writer.writerow([key.study, f"r{rater}", number, films[0], right, question, said])
    return path


def test_who_is_preferred_wins_whichever_side_it_was_on(results: list[str], tmp_path: Path) -> None:
    study = make_study(StudyConfig(tuple(results), str(tmp_path / "study"), seed=5))
    like = {"alpha": 3, "beta": 1, "gamma": 1}
    file = answer(tmp_path / "a.csv", study.key, 8, lambda rater, method, clip: like[method])
    found = evaluate_study([str(file)], str(study.key))
    assert found.raters == 8
    assert len(found.verdicts) == 3 * len(QUESTIONS)
    for verdict in found.verdicts:
        assert verdict.by_rater
        assert verdict.answers == 16
        if verdict.first == "alpha":
            assert verdict.mean == verdict.low == verdict.high == 2
            assert verdict.win_rate == 1
            assert verdict.wilcoxon == pytest.approx(2 / 2**8)
            assert verdict.sign == pytest.approx(2 / 2**8)
        else:
            assert verdict.mean == 0
            assert verdict.win_rate == 0.5
            assert np.isnan(verdict.wilcoxon)
    assert "alpha / beta" in found.markdown
    assert json.loads(found.json)["verdicts"][-1]["sign"] is None


def test_intervals_hold_the_mean_of_noisy_raters(results: list[str], tmp_path: Path) -> None:
    study = make_study(StudyConfig(tuple(results[:2]), str(tmp_path / "study")))
    rng = np.random.default_rng(0)
    file = answer(tmp_path / "a.csv", study.key, 20, lambda *_: int(rng.integers(-1, 2)))
    for verdict in evaluate_study([str(file)], str(study.key)).verdicts:
        assert verdict.low <= verdict.mean <= verdict.high
        assert verdict.high - verdict.low < 1.2
        assert verdict.wilcoxon > 0.01


def test_ratings_are_compared_clip_by_clip(results: list[str], tmp_path: Path) -> None:
    study = make_study(StudyConfig(tuple(results), str(tmp_path / "study"), scale="rating"))
    assert study.trials == 6
    like = {"alpha": 6, "beta": 4, "gamma": 2}
    file = answer(tmp_path / "a.csv", study.key, 6, lambda rater, method, clip: like[method] + (clip == "harbour"))
    found = evaluate_study([str(file)], str(study.key))
    assert {(r.method, r.mean) for r in found.ratings} == {("alpha", 6.5), ("beta", 4.5), ("gamma", 2.5)}
    assert {v.mean for v in found.verdicts if (v.first, v.second) == ("alpha", "gamma")} == {4}


def test_answers_are_checked(results: list[str], tmp_path: Path) -> None:
    study = make_study(StudyConfig(tuple(results[:2]), str(tmp_path / "study")))
    key = read_key(study.key)
    good = answer(tmp_path / "good.csv", study.key, 1, lambda *_: 1)
    text = good.read_text()
    assert len(read_answers([good, good], key)) == 2 * len(QUESTIONS)  # the same file twice counts once
    other = key.study[:-1] + ("0" if key.study[-1] != "0" else "1")
    cases = {
        "no answers of a study": "a,b\n1,2\n",
        "the key is of": text.replace(key.study, other),
        "values, expected": text.replace(",0\n", "\n", 1),
        "9. for .stereo": text.replace("stereo,0", "stereo,9", 1),
        "not those of trial": re.sub(r",r0,1,", ",r0,77,", text, count=1),
        "for .dance": text.replace("stereo,0", "dance,0", 1),
    }
    for what, bad in cases.items():
        (tmp_path / "bad.csv").write_text(bad, newline="")
        with pytest.raises(UsageError, match=what):
            read_answers([tmp_path / "bad.csv"], key)
    (tmp_path / "twice.csv").write_text(text.replace("stereo,0", "stereo,2", 1), newline="")
    with pytest.raises(UsageError, match="in two ways"):
        read_answers([good, tmp_path / "twice.csv"], key)
    for bad in ("{", "[]", '{"study": 1, "scale": "x", "videos": {}, "trials": []}', "[" * 100_000):
        (tmp_path / "key.json").write_text(bad)
        with pytest.raises(UsageError, match="no key of a study"):
            read_key(tmp_path / "key.json")
    with pytest.raises(UsageError, match="cannot be read"):
        evaluate_study(["none.csv"], str(study.key))


def test_results_that_do_not_belong_together_are_refused(results: list[str], tmp_path: Path) -> None:
    film = f"{results[0]}/kitchen.mp4"
    assert set(films_of([film, f"{results[1]}/harbour.mp4"])) == {"kitchen", "harbour"}
    with pytest.raises(UsageError, match="folders and single films"):
        films_of([results[0], film])
    with pytest.raises(UsageError, match="two methods are called kitchen"):
        films_of([film, f"{results[1]}/kitchen.mp4"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no film that all folders have"):
        films_of([results[0], str(tmp_path / "empty")])
    (tmp_path / "a.mkv").touch()
    with pytest.raises(UsageError, match="browsers play"):
        films_of([film, str(tmp_path / "a.mkv")])
    for given, what in ((("a",), "1 results"), (("a", "b"), "no output")):
        with pytest.raises(UsageError, match=what):
            StudyConfig(given, "")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_page_asks_in_a_browser(results: list[str], tmp_path: Path) -> None:
    study = make_study(StudyConfig(tuple(results), str(tmp_path / "study"), title=EVIL))
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"]
    command = [str(CHROMIUM), *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", study.page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert 'data-state="ready"' in done.stdout
    assert "1 of 6, 0 answered" in done.stdout
    assert done.stdout.count('type="radio"') == 7 * len(QUESTIONS)
    assert done.stdout.count("<video") == 2
