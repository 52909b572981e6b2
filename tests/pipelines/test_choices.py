"""Options of a few words say which, also to those who give them from Python."""

from typing import Any

import pytest

from diorama.errors import UsageError
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
