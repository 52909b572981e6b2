"""Runs outside of the tests' process: two under torchrun, workers, a bare machine, and a kill."""

import csv
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import psutil
import pytest
import torch
from safetensors.torch import load_file

SCRIPT = """
import os
import sys
import time
from dataclasses import dataclass
import torch
from torch import nn
from diorama.train.config import TrainConfig
from diorama.train.draws import Draws
from diorama.train.recipe import Loss, Recipe

BARE = "--bare" in sys.argv
if BARE:  # as on a machine without them
    for name in ("accelerate", "tensorboard", "tyro", "beartype", "av", "cv2", "PIL"):
        sys.modules[name] = None
    import importlib.util
    found = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *rest: None if name in ("accelerate", "tensorboard") else found(name, *rest)

@dataclass(frozen=True)
class Toy(Recipe):
    name = "toy"
    def networks(self):
        return {"body": nn.Sequential(nn.Linear(6, 16), nn.SiLU(), nn.Linear(16, 6)), "rare": nn.Linear(6, 1)}
    def batch(self, numbers):
        return {"x": Draws(7, numbers).normal(6), "number": torch.tensor(list(numbers))}
    def loss(self, networks, batch, draws):
        time.sleep(float(os.environ.get("PAUSE", "0")))
        noise = draws.normal(6)
        error = (networks["body"](batch["x"] + 0.1 * noise) - batch["x"].flip(1)).square().mean(1)
        rare = batch["number"] % 4 == 3
        if rare.any():  # a network that some processes do not reach
            error = error + torch.where(rare, networks["rare"](batch["x"]).square().mean(1), 0.0)
        return Loss(error.mean(), {"square": error.mean()})

def run(out, workers=0):
    from diorama.train.loop import train
    config = TrainConfig(steps=12, batch=4, lr=1e-2, warmup=3, out=out, save_steps=5, log_every=1, workers=workers,
                         device="cpu", resume=True)
    return train(Toy(), config)

if __name__ == "__main__":
    report = run(sys.argv[1], int(sys.argv[2]))
    print(report.step, report.hardware, flush=True)
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "toy_run.py"
    path.write_text(SCRIPT)
    return path


def launch(*command: object, pause: float = 0.0) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PAUSE": str(pause)}
    return subprocess.Popen([sys.executable, *map(str, command)], stdout=pipe, stderr=pipe, text=True, env=env)


def ended(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err[-3000:]
    return out


def final(folder: Path) -> dict[str, torch.Tensor]:
    last = folder / "checkpoints" / "step-00000012"
    files = {name: load_file(last / f"{name}.safetensors") for name in ("weights", "ema", "optimizer")}
    return {f"{name}:{key}": value for name, values in files.items() for key, value in values.items()}


def test_two_processes_or_a_killed_one_with_workers_equal_one(script: Path, tmp_path: Path) -> None:
    port = 20000 + os.getpid() % 20000
    torchrun = ("-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}")
    two = launch(*torchrun, script, tmp_path / "two", 0)
    killed = launch(script, tmp_path / "again", 1, pause=0.3)
    waited(killed, tmp_path / "again" / "checkpoints" / "step-00000005")
    children = psutil.Process(killed.pid).children(recursive=True)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert children
    assert not psutil.wait_procs(children, timeout=20)[1], "its workers end with it"
    resumed = launch(script, tmp_path / "again", 0, "--bare")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the others, for the sake of bits
    module_of(script).run(str(tmp_path / "one"))
    torch.set_num_threads(threads)
    assert "12 " in ended(resumed)
    assert "2 processes" in ended(two)
    one, many, again = (final(tmp_path / name) for name in ("one", "two", "again"))
    assert set(one) == set(many) == set(again)
    for key, value in one.items():
        torch.testing.assert_close(value, many[key], rtol=0, atol=1e-6, msg=key)
        assert torch.equal(value, again[key]), key
    curves = [losses(tmp_path / name) for name in ("one", "two", "again")]
    assert curves[0] == pytest.approx(curves[1], abs=1e-6)
    assert curves[0] == curves[2]


def module_of(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("toy_run", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["toy_run"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def waited(process: subprocess.Popen[str], path: Path) -> None:
    deadline = time.monotonic() + 100
    while not path.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def losses(folder: Path) -> list[float]:
    with (folder / "log.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]
