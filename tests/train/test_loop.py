"""The loop: what a run is a function of, how it ends, how it goes on."""

import csv
import math
import os
import signal
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from diorama.core.progress import Silent
from diorama.errors import InterruptedRunError, ModelError, OutOfMemoryError, UsageError
from diorama.train.config import TrainConfig
from diorama.train.draws import Draws
from diorama.train.loop import train
from diorama.train.recipe import Loss, Recipe


class PowerCutError(Exception):
    """Ends a run like a power cut."""


@dataclass(frozen=True)
class Toy(Recipe):
    """Learns to turn a vector round; dropout and a buffer make a resumed run easy to get wrong.

    Attributes:
        happens: what befalls samples of some numbers: "crash", "stop", "nan", or "full" (no memory for two or more).
    """

    happens: dict[str, range] = field(default_factory=dict)
    name = "toy"
    conditions = ("side",)
    about = "A toy."

    def networks(self) -> dict[str, nn.Module]:
        frozen = nn.Linear(6, 6).requires_grad_(False)
        body = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.SiLU(), nn.Dropout(0.1), nn.Linear(16, 6))
        return {"body": body, "frozen": frozen}

    def batch(self, numbers: Any) -> dict[str, torch.Tensor]:
        return {"x": Draws(7, numbers).normal(6), "number": torch.tensor(list(numbers))}

    def loss(self, networks: Any, batch: Any, draws: Draws) -> Loss:
        for what, numbers in self.happens.items():
            if set(batch["number"].tolist()) & set(numbers):
                self._befall(what, len(draws))
        nan = bool(set(batch["number"].tolist()) & set(self.happens.get("nan", ())))
        x = networks["frozen"](batch["x"])
        error = (networks["body"](x + 0.1 * draws.normal(6)) - x.flip(1)).square().mean()
        return Loss(error * (math.nan if nan else 1.0), {"square": error})

    def _befall(self, what: str, samples: int) -> None:
        if what == "crash":
            raise PowerCutError
        if what == "stop":
            os.kill(os.getpid(), signal.SIGINT)
        if what == "full" and samples > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if what == "always full":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    def preview(self, networks: Any) -> Any:
        assert not networks["body"].training
        return np.full((4, 5, 3), 7, np.uint8)

    def measure(self, networks: Any) -> dict[str, float]:
        x = networks["frozen"](Draws(9, range(32)).normal(6))
        return {"square": float((networks["body"](x) - x.flip(1)).square().mean())}


def settings(folder: Path, **options: Any) -> TrainConfig:
    chosen = {"steps": 12, "batch": 4, "lr": 1e-2, "warmup": 3, "save_steps": 3, "log_every": 1, "seed": 5}
    return TrainConfig(**(chosen | {"out": str(folder), "device": "cpu"} | options))


def state(folder: Path) -> dict[str, torch.Tensor]:
    last = sorted((folder / "checkpoints").glob("step-*"))[-1]
    files = {name: load_file(last / f"{name}.safetensors") for name in ("weights", "optimizer", "ema")}
    return {f"{name}:{key}": value for name, values in files.items() for key, value in values.items()}


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], tolerance: float = 0.0) -> None:
    assert set(first) == set(second)
    for key in first:
        torch.testing.assert_close(first[key], second[key], rtol=0, atol=tolerance, msg=key)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    train(Toy(), settings(folder))
    return folder


def test_a_run_learns_and_leaves_its_files(whole: Path, tmp_path: Path) -> None:
    told = Silent()
    report = train(Toy(), settings(tmp_path / "run", steps=150, save_steps=0, log_every=10), told)
    assert report.step == 150
    assert report.samples == 600
    assert report.skipped == 0
    assert report.measures["square"] < 0.5 * float(rows(tmp_path / "run")[0]["loss"])
    assert (tmp_path / "run" / "previews" / "step-00000150.png").read_bytes().startswith(b"\x89PNG")
    card = (report.result / "card.md").read_text()
    assert "150 steps of 4 samples" in card
    assert "A toy." in card
    assert "square" in card
    exported = load_file(report.result / "body.safetensors")
    assert exported["0.weight"].dtype == torch.float16
    assert not (report.result / "frozen.safetensors").exists()
    ema = load_file(tmp_path / "run" / "checkpoints" / "step-00000150" / "ema.safetensors")
    assert torch.equal(exported["0.weight"], ema["body/0.weight"].half())
    assert any((tmp_path / "run" / "tensorboard").iterdir())


def test_the_log_tells_of_every_step(whole: Path) -> None:
    told = rows(whole)
    assert [int(row["step"]) for row in told] == [*range(1, 13), 12]
    for name in ("seconds", "lr", "grad_norm", "samples_per_s", "loss", "square"):
        assert all(float(row[name]) >= 0 for row in told[:-1])
    assert float(told[-1]["held_out/square"]) > 0
    assert int(told[3]["samples"]) == 16


def test_the_same_options_give_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    torch.manual_seed(99)  # whatever the surroundings
    before = torch.get_rng_state()
    train(Toy(), settings(tmp_path))
    assert_same(state(whole), state(tmp_path))
    assert torch.equal(before, torch.get_rng_state()), "the caller's generator is as it was"


@pytest.mark.parametrize("at", [2, 5, 6, 11])
def test_a_killed_run_goes_on_bit_for_bit(whole: Path, tmp_path: Path, at: int) -> None:
    with pytest.raises(PowerCutError):
        train(Toy({"crash": range(4 * at, 4 * at + 1)}), settings(tmp_path))
    (tmp_path / "checkpoints" / ".step-00000099.partial-999999").mkdir()  # the power went in the middle of another
    told = Silent()
    report = train(Toy(), settings(tmp_path, resume=True), told)
    assert report.step == 12
    assert_same(state(whole), state(tmp_path))
    losses = [[row["loss"] for row in rows(folder)] for folder in (whole, tmp_path)]
    assert losses[0] == losses[1]
    assert any("going on" in note or "starting anew" in note for note in told.notes)
    assert not list((tmp_path / "checkpoints").glob(".*"))


def test_ctrl_c_ends_after_the_step_with_a_checkpoint(whole: Path, tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(InterruptedRunError, match=r"stopped at step 5.*--resume") as caught:
        train(Toy({"stop": range(16, 17)}), settings(tmp_path, save_steps=0))
    assert caught.value.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is handler
    train(Toy(), settings(tmp_path, resume=True))
    assert_same(state(whole), state(tmp_path))


def test_torn_checkpoints_are_told_of_and_left_out(whole: Path, tmp_path: Path) -> None:
    train(Toy(), settings(tmp_path, steps=9, keep=5, schedule="constant"))
    folder = tmp_path / "checkpoints"
    weights = folder / "step-00000009" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    data = bytearray((folder / "step-00000006" / "ema.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "step-00000006" / "ema.safetensors").write_bytes(data)
    (folder / "step-00000012").mkdir()
    told = Silent()
    train(Toy(), settings(tmp_path, resume=True), told)
    assert sum("left out" in note for note in told.notes) == 3
    assert any("from step 3" in note for note in told.notes)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"format": 9}', "[" * 100_000, '{"format": 1, "step": -1}'])
def test_a_strange_state_is_no_checkpoint(tmp_path: Path, content: str) -> None:
    (tmp_path / "checkpoints" / "step-00000003").mkdir(parents=True)
    (tmp_path / "checkpoints" / "step-00000003" / "state.json").write_text(content)
    told = Silent()
    train(Toy(), settings(tmp_path, steps=1, resume=True), told)
    assert "left out" in told.notes[0]
    assert "starting anew" in told.notes[1]


def test_another_recipe_or_network_is_refused(whole: Path, tmp_path: Path) -> None:
    class Other(Toy):
        name = "other"

    class Wider(Toy):
        def networks(self) -> dict[str, nn.Module]:
            return {"body": nn.Linear(6, 7)}

    with pytest.raises(UsageError, match="holds a run"):
        train(Toy(), settings(whole))
    with pytest.raises(UsageError, match="a run of 'toy', not of 'other'"):
        train(Other(), settings(whole, resume=True))
    with pytest.raises(ModelError, match="missing: body/bias, body/weight"):
        train(Wider(), settings(whole, resume=True))


def test_parts_of_a_batch_change_nothing(tmp_path: Path) -> None:
    recipe = Plain()
    train(recipe, settings(tmp_path / "one"))
    train(recipe, settings(tmp_path / "three", accumulate=3))
    assert_same(state(tmp_path / "one"), state(tmp_path / "three"), 2e-6)


def test_without_memory_the_parts_become_smaller(tmp_path: Path) -> None:
    train(Plain(), settings(tmp_path / "one"))
    told = Silent()
    train(Plain({"full": range(8, 9)}), settings(tmp_path / "small"), told)
    assert [note for note in told.notes if "memory" in note] == [
        "not enough memory: now 2 samples at a time, with the same result",
        "not enough memory: now 1 samples at a time, with the same result",
    ]
    assert_same(state(tmp_path / "one"), state(tmp_path / "small"), 2e-6)
    with pytest.raises(OutOfMemoryError, match="one sample at a time"):
        train(Plain({"always full": range(8, 9)}), settings(tmp_path / "never"))


def test_a_step_that_is_not_finite_is_left_out(tmp_path: Path) -> None:
    told = Silent()
    report = train(Toy({"nan": range(16, 18)}), settings(tmp_path), told)
    assert report.skipped == 1
    assert report.step == 12
    assert "step 5 is left out" in " ".join(told.notes)
    assert all(bool(torch.isfinite(value).all()) for key, value in state(tmp_path).items() if "num_batches" not in key)


def test_many_steps_that_are_not_finite_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"5 steps in a row.*lower --lr"):
        train(Toy({"nan": range(8, 1000)}), settings(tmp_path, steps=100))


def test_a_time_budget_ends_on_time_and_the_schedule_with_it(tmp_path: Path) -> None:
    report = train(Toy(), settings(tmp_path, steps=None, minutes=0.012, save_steps=0, log_every=1))
    assert 0.72 <= report.seconds < 1.3
    rates = [float(row["lr"]) for row in rows(tmp_path)[:-1]]
    assert rates[-1] < 0.02 * max(rates)
    again = train(Toy(), settings(tmp_path, steps=None, minutes=0.012, resume=True))
    assert again.step == report.step, "it was used up"


def test_conditions_that_a_recipe_does_not_know_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no condition called 'sied'.*side"):
        train(Toy(), settings(tmp_path, drop=("sied=0.1",)))


def test_a_batch_of_the_wrong_length_is_refused(tmp_path: Path) -> None:
    class Short(Toy):
        def batch(self, numbers: Any) -> dict[str, torch.Tensor]:
            return {"x": torch.zeros(3, 6)}

    with pytest.raises(UsageError, match=r"x of shape \(3, 6\) for 4 samples"):
        train(Short(), settings(tmp_path))


def test_nothing_to_train_is_an_error(tmp_path: Path) -> None:
    class Frozen(Toy):
        def networks(self) -> dict[str, nn.Module]:
            return {"body": nn.Linear(6, 6).requires_grad_(False)}

    with pytest.raises(ModelError, match="trains nothing"):
        train(Frozen(), settings(tmp_path))


def test_changed_options_of_a_resumed_run_are_told(whole: Path, tmp_path: Path) -> None:
    train(Toy(), settings(tmp_path, steps=3))
    told = Silent()
    train(Toy(), replace(settings(tmp_path, resume=True), lr=1e-3, steps=4), told)
    assert "lr is 0.001 from here on; it was 0.01" in told.notes


def test_a_folder_is_for_one_run_at_a_time(tmp_path: Path) -> None:
    class Twice(Toy):
        def networks(self) -> dict[str, nn.Module]:
            with pytest.raises(UsageError, match="is writing this output"):
                train(Toy(), settings(tmp_path))
            return super().networks()

    assert train(Twice(), settings(tmp_path, steps=1)).step == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        train(Toy(), settings(tmp_path / "file" / "run"))


def test_bfloat16_is_for_activations_and_checkpointing_for_networks_that_can(tmp_path: Path) -> None:
    seen = []

    class Able(nn.Linear):
        def enable_gradient_checkpointing(self) -> None:
            seen.append("checkpointing")

    class Half(Toy):
        def networks(self) -> dict[str, nn.Module]:
            return {"body": Able(6, 6)}

        def loss(self, networks: Any, batch: Any, draws: Draws) -> Loss:
            out = networks["body"](batch["x"])
            seen.append(out.dtype)
            return Loss(out.square().mean())

        def measure(self, networks: Any) -> dict[str, float]:
            return {}

    told = Silent()
    train(Half(), settings(tmp_path, steps=1, precision="bf16", checkpointing=True, compile=True), told)
    assert seen == ["checkpointing", torch.bfloat16]
    assert {value.dtype for value in state(tmp_path).values()} == {torch.float32}
    assert any("not compiled" in note for note in told.notes)


class Plain(Toy):
    """Without what looks at a whole batch (norms) or draws for one (dropout)."""

    def networks(self) -> dict[str, nn.Module]:
        body = nn.Sequential(nn.Linear(6, 16), nn.SiLU(), nn.Linear(16, 6))
        return {"body": body, "frozen": nn.Linear(6, 6).requires_grad_(False)}
