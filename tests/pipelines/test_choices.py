"""Options of a few words say which, also to those who give them from Python."""

from dataclasses import dataclass
from typing import Any, Literal, Optional

import pytest

from diorama.errors import UsageError
from diorama.pipelines.choices import check_choices
from diorama.pipelines.matrix_config import Generative
from diorama.pipelines.spatial_config import SpatialConfig


@pytest.mark.parametrize(
    ("kind", "bad", "words"),
    [
        (Generative, {"quality": "best"}, "quality is 'best' — --quality — known: svg-release, balanced, draft"),
        (Generative, {"outpaint": True}, "outpaint is True — --outpaint — known: auto, on, off"),
        (SpatialConfig, {"layout": "right"}, "layout is 'right' — --layout — known: middle, circle"),
        (SpatialConfig, {"engine": "slow"}, "engine is 'slow' — --engine — known: fast, generative"),
        (SpatialConfig, {"motion": None}, "motion is None — --motion — known: nodes, mlp"),
        (SpatialConfig, {"write": ("ply", "obj")}, "write is 'obj' — --write — known: page, films, ply, splat, glb"),
        (SpatialConfig, {"write": "page"}, "write is 'page' — --write — give a tuple of page, films, ply, splat, glb"),
    ],
)
def test_other_words_are_refused_with_those_that_are_known(kind: Any, bad: dict[str, Any], words: str) -> None:
    made = kind()
    for name, value in bad.items():
        object.__setattr__(made, name, value)  # arguments are checked by their types here, as users' are not
    with pytest.raises(UsageError) as told:
        made.__post_init__()
    assert str(told.value) == words


@dataclass
class Maybe:
    """Words that may be left out."""

    way: Literal["left", "right"] | None = None
    old: Optional[Literal["a", "b"]] = None  # noqa: UP045  the other way to write it
    many: tuple[Literal["x", "y"], ...] | None = None
    times: Literal[1, 2] = 1
    size: int | None = None


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"way": "up"}, "way is 'up' — --way — known: left, right"),
        ({"old": "c"}, "old is 'c' — --old — known: a, b"),
        ({"many": ("x", "z")}, "many is 'z' — --many — known: x, y"),
        ({"times": True}, "times is True — --times — known: 1, 2"),
        ({"times": 2.0}, "times is 2.0 — --times — known: 1, 2"),
    ],
)
def test_words_that_may_be_left_out_are_checked_where_they_are_given(bad: dict[str, Any], words: str) -> None:
    for good in ({}, {"way": "left", "old": "a", "many": ("x",), "times": 2, "size": 9}):
        made = Maybe()
        vars(made).update(good)
        check_choices(made)
    vars(made).update(bad)
    with pytest.raises(UsageError) as told:
        check_choices(made)
    assert str(told.value) == words
