"""The page of a study: films in random order, four questions about each, answers saved as a file; nothing is sent."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from diorama.pipelines.web_page import filled, policy, script_of, sound, source

Scale = Literal["preference", "rating"]
QUESTIONS: dict[str, dict[Scale, str]] = {
    "stereo": {"preference": "Whose depth is better?", "rating": "How good is the depth?"},
    "steadiness": {"preference": "Which is steadier over time?", "rating": "How steady is it over time?"},
    "quality": {"preference": "Whose pictures are better?", "rating": "How good are the pictures?"},
    "overall": {"preference": "Which is better all in all?", "rating": "How good is it all in all?"},
}
"""The four of S2VG's study: stereo effect, temporal consistency, image quality, overall (s2vg.md 1.10)."""
VALUES: dict[Scale, tuple[int, ...]] = {"preference": tuple(range(-3, 4)), "rating": tuple(range(1, 8))}
"""Preference: -3 is "left much better", 3 "right much better"."""


@dataclass(frozen=True)
class Trial:
    """What is shown at once.

    Attributes:
        number: from 1.
        films: codes of the left and the right film, or of one alone.
    """

    number: int
    films: tuple[str, ...]


def study_page(study: str, title: str, scale: Scale, trials: Sequence[Trial], files: dict[str, str]) -> str:
    """The page; films are in the folder ``media`` beside it.

    Args:
        study: its number, by which a browser keeps answers.
        title: as text.
        scale: of the answers.
        trials: in their order.
        files: names of the films' files, by code.
    """
    told = {
        "id": study,
        "scale": scale,
        "questions": [{"key": key, "text": text[scale]} for key, text in QUESTIONS.items()],
        "trials": [{"number": t.number, "films": [files[code] for code in t.films]} for t in trials],
    }
    script = script_of("study/study.js")
    return filled(
        source("study/page.html"),
        {
            "policy": policy([script], {"media-src": "'self' file:"}),  # from a disk nothing is 'self' to some browsers
            "title": escape(sound(title)),
            "style": source("study/page.css"),
            "study": json.dumps(told).replace("<", "\\u003c"),
            "script": script,
        },
    )
