"""``diorama models`` as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from diorama import catalog
from diorama.cli import main
from diorama.core.licences import accept, accepted
from diorama.diffusion import fetch as fetching
from diorama.errors import ModelError


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIORAMA_CONFIG", str(tmp_path / "settings"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """In this process: to load the frameworks anew each time would take seconds."""
    with pytest.raises(SystemExit) as stopped:
        main(["models", *arguments])
    said = capsys.readouterr()
    return int(stopped.value.code or 0), said.out, said.err


def weights_file(path: Path) -> Path:
    shapes = {"conv_in": (4, 3, 3, 3), "blocks.0": (4, 4, 3, 3), "blocks.1": (8, 4, 3, 3), "conv_out": (6, 8, 3, 3)}
    tensors = {f"{name}.weight": torch.zeros(shape) for name, shape in shapes.items()}
    save_file({**tensors, **{f"{name}.bias": torch.zeros(shape[0]) for name, shape in shapes.items()}}, path)
    return path


def test_listing_and_cards_load_no_framework() -> None:
    code = (
        "import sys\nfrom diorama.cli import main\n"
        "for given in (['list'], ['card', 'sp4d'], ['list', '--json']):\n"
        "    try: main(['models', *given])\n    except SystemExit: pass\n"
        "print([m for m in ('torch', 'diffusers', 'huggingface_hub', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    lines = done.stdout.splitlines()
    assert lines[-1] == "[]"
    rows = {row["name"]: row for row in json.loads(lines[-2])}
    assert rows.keys() == {weights.name for weights in catalog.ALL}
    assert not rows["zeroscope-v2-576w"]["commercial"]
    for weights in catalog.ALL:
        assert any(line.startswith(weights.name) and weights.licence in line for line in lines)


def test_every_entry_says_what_one_must_know(capsys: pytest.CaptureFixture[str]) -> None:
    names = [weights.name for weights in catalog.ALL]
    assert len(set(names)) == len(names)
    for weights in catalog.GENERATORS:
        assert weights.about
        assert weights.source.count("/") == 1
        assert set(weights.sha256) <= set(weights.files)
        assert set(weights.also) <= set(names)
        assert weights.permissive or weights.note or not weights.commercial
    _, card, _ = run(capsys, "card", "animatediff-motion-v2")
    for part in ("guoyww/animatediff", "Apache-2.0", "69ed0f5f", "1818 MB", "with it: sd15", "models get"):
        assert part in card
    code, _, said = run(capsys, "card", "mino")
    assert code == 6
    assert "did you mean mimo?" in said


def test_a_licence_is_shown_first_and_agreed_to_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    got: list[str] = []
    monkeypatch.setattr(fetching, "_download", lambda weights, folder: got.append(weights.name) or tmp_path)
    monkeypatch.setattr(fetching, "check_hashes", lambda weights, folder: None)
    code, out, said = run(capsys, "get", "sd15")
    assert (code, out, got) == (2, "", [])
    assert said.index("creativeml-openrail-m") < said.index("--accept-licence")
    assert not (tmp_path / "settings").exists()
    assert run(capsys, "get", "sd15", "--accept-licence")[0] == 0
    code, out, _ = run(capsys, "get", "sd15")
    assert code == 0
    assert "models get sd-vae-ft-mse" in out
    assert run(capsys, "get", "sd-vae-ft-mse")[0] == 0, "MIT asks for nothing"
    assert got == ["sd15", "sd15", "sd-vae-ft-mse"]
    (tmp_path / "settings" / "licences.json").write_text("{damaged")
    assert run(capsys, "get", "sd15")[0] == 2, "asked again"


def test_a_licence_that_changed_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    weights = catalog.find("sp4d", catalog.ALL)
    accept(weights)
    assert accepted(weights)
    assert not accepted(replace(weights, licence="stabilityai-2"))
    monkeypatch.setenv("DIORAMA_CONFIG", str(tmp_path / "file" / "settings"))
    (tmp_path / "file").write_text("")
    code = "the accepted licence cannot be noted"
    with pytest.raises(Exception, match=code):
        accept(weights)


def test_without_a_network_the_message_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, out, said = run(capsys, "get", "sd-vae-ft-mse")
    assert (code, out) == (6, "")
    assert "hf download stabilityai/sd-vae-ft-mse" in said
    assert len(said.splitlines()) == 2, "the terms, and one line of error"


def test_what_lies_in_the_cache_is_found_and_its_hashes_are_compared(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    snapshot = tmp_path / "cache" / "models--stabilityai--sd-vae-ft-mse" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for name in catalog.find("sd-vae-ft-mse", catalog.ALL).files:
        (snapshot / name).write_bytes(b"{}")
    assert str(snapshot) in run(capsys, "card", "sd-vae-ft-mse")[1]
    assert catalog.at_folder(snapshot) == catalog.find("sd-vae-ft-mse", catalog.ALL)
    code, _, said = run(capsys, "get", "sd-vae-ft-mse")
    assert code == 6
    assert "expected a1d993488569" in said
    code, _, said = run(capsys, "verify", str(snapshot))
    assert (code, "expected a1d993488569" in said) == (6, True)
    with pytest.raises(ModelError, match="unet/diffusion"):
        fetching.check_hashes(catalog.find("sd15", catalog.ALL), snapshot)


def test_convert_verify_card(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    source, out = weights_file(tmp_path / "a.safetensors"), tmp_path / "out"
    code, said, _ = run(capsys, "convert", str(source), "--out", str(out), "--licence", "MIT")
    assert code == 0
    assert "pose_encoder: 0.00 M parameters, 8 tensors" in said
    code, said, _ = run(capsys, "verify", str(out))
    assert code == 0
    assert "all names right" in said
    card = json.loads(run(capsys, "card", str(out))[1])
    assert (card["licence"], card["pieces"]["pose_encoder"]["dtype"]) == ("MIT", "fp16")
    assert list(card["sources"]) == ["a.safetensors"]
    (out / "pose_encoder.safetensors").write_bytes(source.read_bytes())
    code, _, said = run(capsys, "verify", str(out), "--json")
    assert code == 6
    assert "the manifest says" in json.loads(said)["error"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("lst",), 2, "perhaps list"),
        ((), 2, "list"),
        (("get",), 2, "missing from diorama models get"),
        (("get", "nothing"), 6, "known:"),
        (("convert", "nowhere", "--out", "x"), 6, "no such file"),
        (("convert", "nowhere"), 2, "--out"),
        (("convert", "nowhere", "--out", "x", "--dtype", "int4"), 2, "dtype"),
        (("verify", "nowhere"), 6, "no such file"),
        (("card", "nowhere"), 6, "known:"),
    ],
)
def test_one_clear_line(arguments: tuple[str, ...], code: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    found, out, said = run(capsys, *arguments)
    assert (found, out) == (code, "")
    assert says.lower() in said.lower()
    assert len(said.strip().splitlines()) == 1
