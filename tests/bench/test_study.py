"""Studies with people: the page hides who made what, and answers say what was answered."""

import csv
import html.parser
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from diorama.bench import study as module
from diorama.bench._study_answers import HEAD, read_answers, read_key
from diorama.bench._study_page import QUESTIONS
from diorama.bench.study import StudyConfig, evaluate_study, films_of, make_study
from diorama.errors import MediaError, UsageError
from diorama.media.encoding import Encoding
from diorama.media.read import open_video
from diorama.media.write import FrameWriter, StreamSpec

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
METHODS, CLIPS = ("alpha", "beta", "gamma"), ("kitchen", "harbour")
EVIL = '</script><img src=x onerror="document.title=1">&amp;{{study}}'


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A folder a method with two films each, and one film that only the first has."""
    root = tmp_path_factory.mktemp("results")
    for number, method in enumerate(METHODS):
        (root / method).mkdir()
        for clip in (*CLIPS, "alone")[: 3 if number == 0 else 2]:
            film(root / method / f"{clip}.mp4", 60 * number)
    return [str(root / method) for method in METHODS]


def film(path: Path, level: int = 0, *, width: int = 64, frames: int = 3) -> Path:
    spec = StreamSpec(width, 48, Fraction(1, 10), Fraction(10))
    with FrameWriter(path, spec, Encoding().resolved(path.suffix, 8)) as writer:
        for t in range(frames):
            writer.write(np.full((48, width, 3), level + 20 * t, np.uint8), t)
    return path


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
    with pytest.raises(UsageError, match="exists") as refused:
        make_study(StudyConfig(tuple(results), str(tmp_path / "study")))
    assert "overwrite" not in str(refused.value)  # the command has no such option


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


def test_each_method_is_left_as_often_as_right() -> None:
    clips = {f"{number}": Path() for number in range(6)}
    films = dict.fromkeys(METHODS, clips)
    codes = {(method, clip): method for method in METHODS for clip in clips}
    for seed in range(10):
        for most in (0, 11):
            config = StudyConfig(METHODS, "out", seed=seed, most=most)
            lefts = Counter(trial.films for trial in module._trials(films, codes, config))
            assert all(abs(lefts[a, b] - lefts[b, a]) <= 1 for a in METHODS for b in METHODS)
            assert most or set(lefts.values()) == {3}


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_films_of_the_page_tell_nothing_but_their_pictures(suffix: str, tmp_path: Path) -> None:
    secret = "made by alpha"
    for method in METHODS[:2]:
        (tmp_path / method).mkdir()
        plain = film(tmp_path / f"{method}{suffix}")
        tagged = tmp_path / method / f"kitchen{suffix}"
        with av.open(str(plain)) as given, av.open(str(tagged), "w") as made:
            made.metadata["title"] = made.metadata["comment"] = secret
            copy = made.add_stream_from_template(given.streams.video[0], opaque=True)
            copy.metadata["handler_name"] = copy.metadata["title"] = secret
            for packet in given.demux(given.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = copy
                    made.mux(packet)
        assert secret.encode() in tagged.read_bytes()
    study = make_study(StudyConfig(tuple(str(tmp_path / m) for m in METHODS[:2]), str(tmp_path / "study")))
    shown = list((study.page.parent / "media").iterdir())
    assert len(shown) == 2
    for path in shown:
        assert secret.encode() not in path.read_bytes()
        assert b"Lavf6" not in path.read_bytes()
        both = zip(open_video(path), open_video(tagged), strict=True)
        assert all(np.array_equal(a.image, b.image) and a.pts == b.pts for a, b in both)


def test_films_of_a_clip_that_differ_to_the_eye_are_refused(tmp_path: Path) -> None:
    plain = film(tmp_path / "plain.mp4")
    for other, what in (
        (film(tmp_path / "wide.mp4", width=96), "differ in size"),
        (film(tmp_path / "long.mp4", frames=9), "differ in length"),
    ):
        with pytest.raises(UsageError, match=what):
            films_of([str(plain), str(other)])


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
                    writer.writerow([key.study, f"r{rater} {rater:016x}", number, films[0], right, question, said])
    return path


def test_who_is_preferred_wins_whichever_side_it_was_on(results: list[str], tmp_path: Path) -> None:
    study = make_study(StudyConfig(tuple(results), str(tmp_path / "study"), seed=5))
    like = {"alpha": 3, "beta": 1, "gamma": 1}
    file = answer(tmp_path / "a.csv", study.key, 8, lambda rater, method, clip: like[method])
    found = evaluate_study([str(file)], str(study.key))
    assert found.raters == 8
    assert found.markdown.startswith("8 raters\n")
    assert replace(found, raters=1).markdown.startswith("1 rater\n")
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


def test_a_rater_is_one_under_any_name_and_sides_may_be_swapped(results: list[str], tmp_path: Path) -> None:
    study = make_study(StudyConfig(tuple(results[:2]), str(tmp_path / "study")))
    like = {"alpha": 3, "beta": 1}
    first = answer(tmp_path / "a.csv", study.key, 1, lambda rater, method, clip: like[method])
    text = first.read_text(encoding="utf-8")
    (tmp_path / "b.csv").write_text(text.replace("r0 ", "Ann B "), encoding="utf-8", newline="")
    (tmp_path / "c.csv").write_text(text.replace("r0 ", ""), encoding="utf-8", newline="")
    found = evaluate_study([str(tmp_path / f"{name}.csv") for name in "abc"], str(study.key))
    assert found.raters == 1
    assert {verdict.answers for verdict in found.verdicts} == {2}
    head, *lines = list(csv.reader(text.splitlines()))
    turned = [[s, f"r1 {1:016x}", trial, b, a, question, str(-int(v))] for s, _, trial, a, b, question, v in lines]
    with (tmp_path / "d.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *turned])
    both = evaluate_study([str(first), str(tmp_path / "d.csv")], str(study.key))
    assert both.raters == 2
    assert {(verdict.answers, verdict.mean) for verdict in both.verdicts} == {(4, 2.0)}


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
        "not those of trial": re.sub(r"0,1,", "0,77,", text, count=1),
        "for .dance": text.replace("stereo,0", "dance,0", 1),
        "a rater without a number": text.replace(f"r0 {0:016x}", "r0", 1),
        "no table": text.replace("r0 ", "r" * 140_000, 1),
        "those of trial .99999": re.sub(r",1,", f",{'9' * 5000},", text, count=1),
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
    whole = json.loads(study.key.read_text())
    one, two = whole["trials"][0]["films"]
    for films in ([], [one], [one, one], [one, two, two], [one, whole["trials"][1]["films"][0]]):
        trials = [{"number": 1, "films": films}]
        (tmp_path / "key.json").write_text(json.dumps({**whole, "trials": trials}))
        with pytest.raises(UsageError, match="a trial without 2 films of one clip"):
            read_key(tmp_path / "key.json")
    (tmp_path / "key.json").write_text(json.dumps({**whole, "trials": [{"number": float("inf"), "films": [one, two]}]}))
    with pytest.raises(UsageError, match="no key of a study"):
        read_key(tmp_path / "key.json")
    with pytest.raises(UsageError, match="cannot be read"):
        evaluate_study(["none.csv"], str(study.key))
    with pytest.raises(UsageError, match=r"no key of a study there — .*-o names the folder of the study"):
        evaluate_study([str(good)], str(tmp_path / "elsewhere" / "key.json"))


def test_results_that_do_not_belong_together_are_refused(results: list[str], tmp_path: Path) -> None:
    one = f"{results[0]}/kitchen.mp4"
    assert set(films_of([one, f"{results[1]}/harbour.mp4"])) == {"kitchen", "harbour"}
    with pytest.raises(UsageError, match="folders and single films"):
        films_of([results[0], one])
    for given in ([results[0], "nowhere"], [one, "nowhere"], ["nowhere", "nor/there"]):
        with pytest.raises(MediaError, match="no such file — nowhere"):
            films_of(given)
    with pytest.raises(UsageError, match="two methods are called kitchen"):
        films_of([one, f"{results[1]}/kitchen.mp4"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no film that all folders have"):
        films_of([results[0], str(tmp_path / "empty")])
    (tmp_path / "a.mkv").touch()
    with pytest.raises(UsageError, match="browsers play"):
        films_of([one, str(tmp_path / "a.mkv")])
    for given, what in ((("a",), "1 results"), (("a", "b"), "no output")):
        with pytest.raises(UsageError, match=what):
            StudyConfig(given, "")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_page_asks_in_a_browser(results: list[str], tmp_path: Path) -> None:
    study = make_study(StudyConfig(tuple(results), str(tmp_path / "study"), title=EVIL))
    shown = browsed(study.page, tmp_path / "profile")
    assert 'data-state="ready"' in shown
    assert "1 of 6, 0 answered" in shown
    assert shown.count('type="radio"') == 7 * len(QUESTIONS)
    assert shown.count("<video") == 2


COVERED = """<script>
addEventListener("load", () => {
  const covered = new Set();
  for (let at = 0; at === 0 || at < document.documentElement.scrollHeight; at += 40) {
    window.scrollTo(0, at);
    for (const part of document.querySelectorAll("button, select, input")) {
      const { left, top, width, height } = part.getBoundingClientRect(), [x, y] = [left + width / 2, top + height / 2];
      const found = width && document.elementFromPoint(x, y); // null beyond the window
      if (found && !part.contains(found) && !found.contains(part)) covered.add(part.id || part.name);
    }
  }
  document.getElementById("told").textContent = `covered: [${[...covered]}]`;
});
</script>"""
"""Tells what can be pressed and has something else over it, wherever the page is scrolled to."""


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("size", ["1000,640", "500,844"])
def test_nothing_covers_what_can_be_pressed(size: str, results: list[str], tmp_path: Path) -> None:
    study = make_study(StudyConfig(tuple(results), str(tmp_path / "study")))
    text = study.page.read_text(encoding="utf-8").replace("</body>", COVERED + "</body>")
    page = study.page.with_name("covered.html")
    page.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text), encoding="utf-8")
    assert "covered: []" in browsed(page, tmp_path / "profile", f"--window-size={size}")


def browsed(page: Path, profile: Path, *more: str) -> str:
    """What Chromium makes of a page."""
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"]
    flags += ["--virtual-time-budget=3000", *more]
    command = [str(CHROMIUM), *flags, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


DRAWN = "<script>crypto.getRandomValues = (numbers) => numbers.fill(RATER);</script>"
ANSWERING = """<script>
while (!document.getElementById("trial").hidden) {
  for (const radio of document.querySelectorAll("input[value='3']")) radio.click();
  document.getElementById("next").click();
}
URL.createObjectURL = (blob) => {
  blob.text().then((text) => document.getElementById("told").replaceChildren(`[[${text}]]`));
  return "#";
};
document.getElementById("save").click();
</script>"""
"""Says "right much better" to everything."""


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_raters_see_everything_in_orders_of_their_own_and_every_other_one_mirrored(
    results: list[str], tmp_path: Path
) -> None:
    study = make_study(StudyConfig(tuple(results), str(tmp_path / "study")))
    key, text = read_key(study.key), study.page.read_text(encoding="utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text).replace(
        "</body>", ANSWERING + "</body>"
    )
    files, orders = [], []
    for rater in (0x20, 0x31):
        page = study.page.with_name(f"{rater}.html")
        page.write_text(text.replace("<head>", "<head>" + DRAWN.replace("RATER", str(rater))), encoding="utf-8")
        said = re.search(r"\[\[(.*?)\]\]", browsed(page, tmp_path / f"{rater}"), re.DOTALL)
        assert said is not None
        files.append(tmp_path / f"{rater}.csv")
        files[-1].write_text(said[1], encoding="utf-8")
        lines = list(csv.DictReader(said[1].splitlines()))
        assert {line["rater"] for line in lines} == {f"{rater:02x}" * 8}
        for line in lines:
            films = key.trials[int(line["trial"])]
            assert (line["left"], line["right"]) == (films[::-1] if rater % 2 else films)
        orders.append([line["trial"] for line in lines if line["question"] == "overall"])
    assert sorted(orders[0]) == sorted(orders[1]) == [f"{number}" for number in range(1, 7)]
    assert len({*map(tuple, orders), tuple(sorted(orders[0]))}) == 3
    found = evaluate_study([str(file) for file in files], str(study.key))
    assert found.raters == 2
    assert {verdict.mean for verdict in found.verdicts} == {0}  # one who always says "right" is undone by the mirror
