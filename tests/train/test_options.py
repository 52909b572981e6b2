"""Options: their checks, where they come from, and the two command lines."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from diorama.cli import main
from diorama.errors import UsageError
from diorama.train.__main__ import main as plain_main
from diorama.train.config import TrainConfig
from diorama.train.options import options
from diorama.train.registry import RECIPES, Entry, config_for

TOY = """
from dataclasses import dataclass
import torch
from torch import nn
from diorama.train.config import TrainConfig
from diorama.train.draws import Draws
from diorama.train.recipe import Loss, Recipe

@dataclass(frozen=True)
class Toy(Recipe):
    config: TrainConfig
    name = "toy"
    conditions = ("side",)
    def networks(self):
        return {"body": nn.Linear(3, 3)}
    def batch(self, numbers):
        return {"x": Draws(7, numbers).normal(3)}
    def loss(self, networks, batch, draws):
        return Loss((networks["body"](batch["x"]) - draws.normal(3)).square().mean())
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "toy_of_options.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(RECIPES, "toy", Entry("toy_of_options:Toy", "turns vectors round", {"steps": 4, "lr": 0.5}))
    yield tmp_path / "run"
    sys.modules.pop("toy_of_options", None)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "no budget"),
        ({"steps": 0}, "steps 0"),
        ({"steps": 5, "minutes": 1.0}, "two budgets"),
        ({"minutes": 0.0}, "minutes 0.0"),
        ({"minutes": math.inf}, "minutes inf"),
        ({"steps": 1, "lr": math.nan}, "lr nan"),
        ({"steps": 1, "lr": 0.0}, "lr 0.0"),
        ({"steps": 1, "batch": 0}, "batch 0"),
        ({"steps": 1, "batch": 2, "accumulate": 3}, "accumulate 3"),
        ({"steps": 1, "ema": 1.0}, "ema 1.0"),
        ({"steps": 1, "drop": ("side",)}, "drop 'side'.*NAME=RATE"),
        ({"steps": 1, "drop": ("side=1.5",)}, "drop 'side=1.5'"),
        ({"steps": 1, "device": "tpu"}, "device 'tpu'"),
        ({"steps": 1, "keep": 0}, "keep 0"),
        ({"steps": 1, "seed": -1}, "seed -1"),
    ],
)
def test_options_that_make_no_sense_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        TrainConfig(**given)


def test_choices_are_checked_where_types_are_not() -> None:
    config = TrainConfig(steps=1)
    object.__setattr__(config, "target", "flow")
    with pytest.raises(UsageError, match=r"target 'flow'.*eps, v, x0"):
        config.__post_init__()


def test_what_is_given_comes_before_what_was_and_what_the_recipe_says(toy: Path) -> None:
    assert config_for("toy", {}).lr == 0.5
    assert config_for("toy", {}).steps == 4
    timed = config_for("toy", {"minutes": 1.0})
    assert timed.steps is None
    assert timed.minutes == 1.0
    assert config_for("toy", {"lr": 0.25}, {"lr": 0.125, "batch": 3}).lr == 0.25
    assert config_for("toy", {}, {"lr": 0.125, "minutes": 2.0}).minutes == 2.0
    assert TrainConfig(steps=1, drop=("a=0.5", "b=0")).drop_rates == {"a": 0.5, "b": 0.0}
    with pytest.raises(UsageError, match="no option called 'colour'"):
        config_for("toy", {"colour": 1})


def test_unknown_recipes_list_the_known(toy: Path) -> None:
    with pytest.raises(UsageError, match=r"no training recipe called 'toi'.*perhaps toy"):
        config_for("toi", {})


def test_every_option_has_help() -> None:
    found = options()
    assert all(len(option.help) > 5 for option in found)
    by_name = {option.name: option for option in found}
    assert by_name["minutes"].kind is float
    assert by_name["steps"].kind is int
    assert by_name["resume"].kind is bool
    assert by_name["target"].choices == ("eps", "v", "x0")
    assert by_name["drop"].many


def test_the_plain_command_line_trains_and_goes_on(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plain_main(["--list"]) == 0
    assert "turns vectors round" in capsys.readouterr().out
    where = ["toy", "--out", str(toy), "--device", "cpu"]
    assert plain_main([*where, "--drop", "side=0.1", "--batch", "4"]) == 0
    said = capsys.readouterr()
    assert str(toy / "result") in said.out
    assert "4 steps" in said.out
    assert str(toy) in said.err
    assert plain_main(where) == 2
    assert "add --resume" in capsys.readouterr().err
    assert plain_main([*where, "--resume", "--steps", "6"]) == 0
    state = json.loads((toy / "checkpoints" / "step-00000006" / "state.json").read_text())
    assert state["config"]["drop"] == ["side=0.1"], "options are remembered"
    state["config"]["lr"] = "fast"
    (toy / "checkpoints" / "step-00000006" / "state.json").write_text(json.dumps(state))
    assert plain_main([*where, "--resume"]) == 6
    assert "lr is 'fast'" in capsys.readouterr().err
    assert plain_main(["toy", "--steps", "0"]) == 2
    assert plain_main(["nothing"]) == 2


def test_the_command_line_trains(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["train", *arguments])
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    code, out, _ = run("toy", "--out", str(toy), "--steps", "2", "--device", "cpu", "--json", "--weight-decay", "0")
    assert code == 0
    assert json.loads(out)["steps"] == 2
    state = json.loads((toy / "checkpoints" / "step-00000002" / "state.json").read_text())
    assert state["config"]["weight_decay"] == 0
    assert state["config"]["lr"] == 0.5
    assert "turns vectors round" in run("--list")[1]
    assert run()[0] == 2
    code, _, err = run("nothing")
    assert code == 2
    assert "no training recipe" in err
    assert err.count("\n") == 1
    code, _, err = run("toy", "--minutes", "nan")
    assert code == 2
    assert "minutes nan" in err
