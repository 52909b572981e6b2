"""Files of weights: what is read, what is refused, and that nothing in them runs."""

import json
import os
import pickle
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from diorama.diffusion.checkpoint import peek_shapes, read_tensors
from diorama.diffusion.fit import fit
from diorama.errors import ModelError

GENERATOR = torch.Generator().manual_seed(0)
NAMES = ("conv_in.weight", "conv_in.bias", "blocks.0.weight", "conv_out.weight")


def some() -> dict[str, torch.Tensor]:
    shapes = ((3, 2), (3,), (2, 3), (4, 2))
    return {name: torch.randn(*shape, generator=GENERATOR) for name, shape in zip(NAMES, shapes, strict=True)}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def refused(path: Path, says: str) -> str:
    with pytest.raises(ModelError) as caught:
        read_tensors(path)
    assert caught.value.exit_code == 6
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    return str(caught.value)


def rewritten(path: Path, change: Any) -> Path:
    """A safetensors file with a changed header."""
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = change(raw[8 : 8 + length])
    path.write_bytes(struct.pack("<Q", len(header)) + header + raw[8 + length :])
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".ckpt", ".bin"])
def test_what_is_written_is_read(suffix: str, tmp_path: Path) -> None:
    path, tensors = tmp_path / f"a{suffix}", some()
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    assert same(read_tensors(path), tensors)
    assert peek_shapes(path) == {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def test_habits_of_published_files_are_undone(tmp_path: Path) -> None:
    tensors, path = some(), tmp_path / "a.ckpt"
    inner = {f"module.{name}": tensor.requires_grad_() for name, tensor in tensors.items()}
    for held in ({"state_dict": inner, "epoch": 3, "args": {"lr": 0.1}}, {**inner, "animatediff_config": {"a": 1}}):
        torch.save(held, path)
        found = read_tensors(path)
        assert same(found, tensors)
        assert not any(tensor.requires_grad for tensor in found.values())
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    assert same(read_tensors(path), tensors)
    torch.save({**tensors, "module.conv_in.bias": tensors["conv_in.bias"]}, path)
    refused(path, "with and without 'module.'")


def test_values_may_be_written_to_and_the_file_stays(tmp_path: Path) -> None:
    for path in (tmp_path / "a.safetensors", tmp_path / "a.pth"):
        save_file(some(), path) if path.suffix == ".safetensors" else torch.save(some(), path)
        before = path.read_bytes()
        read_tensors(path)["conv_in.weight"].add_(1)
        assert path.read_bytes() == before


class Payload:
    """What a hostile pickle holds: a command that is run as it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("place", ["top", "inside", "state_dict"])
def test_code_in_a_pickle_does_not_run(archive: bool, place: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "it-ran", tmp_path / "a.ckpt"
    payload: Any = Payload(marker)
    held = {"top": payload, "inside": {**some(), "x": payload}, "state_dict": {"state_dict": some(), "hook": payload}}
    torch.save(held[place], path, _use_new_zipfile_serialization=archive)
    said = refused(path, "pickle refused")
    assert "system" in said
    assert not marker.exists()
    with pytest.raises(ModelError):
        peek_shapes(path)
    path.write_bytes(pickle.dumps(held[place]))
    refused(path, "pickle refused")
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists(), "the payload is a real one"


def test_every_cut_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "a.safetensors", tmp_path / "a.pth", tmp_path / "old.pth"):
        if path.suffix == ".safetensors":
            save_file(some(), path)
        else:
            torch.save(some(), path, _use_new_zipfile_serialization=path.stem == "a")
        raw = path.read_bytes()
        for end in sorted({0, 1, 7, 8, 9, 40, len(raw) // 2, len(raw) - 1}):
            path.write_bytes(raw[:end])
            refused(path, "")
            with pytest.raises(ModelError):
                peek_shapes(path) if path.suffix == ".safetensors" else read_tensors(path)
        if path.suffix == ".safetensors":
            path.write_bytes(raw + b"\0")
            refused(path, "longer than its header says")


def test_a_name_twice_is_refused_though_the_library_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(2)}, path)
    again = b'{"a":{"dtype":"F16","shape":[4],"data_offsets":[0,8]},'
    rewritten(path, lambda header: again + header.strip()[1:])
    assert load_file(path)["a"].shape == (2,)
    refused(path, "'a' occurs twice")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda header: b'{"a":' * 100_000, "nested too deeply"),
        (lambda header: b"[]" + b" " * (len(header) - 2), "no JSON object"),
        (lambda header: header.replace(b'"F32"', b'"F31"'), "damaged at"),
        (lambda header: header.replace(b"[3,2]", b"[2,2]"), "do not agree"),
        (lambda header: header.replace(b"[3,2]", b"[-3,-2]"), "do not agree"),
        (lambda header: header.replace(b"[3,2]", b"[3,2.0]"), "do not agree"),
        (lambda header: header.replace(b"[3,2]", b"[true,6]"), "do not agree"),
        (lambda header: header.replace(b"data_offsets", b"data_offset"), "KeyError"),
        (lambda header: header.replace(b'"shape"', b'"x":NaN,"shape"'), "NaN is not a number"),
        (lambda header: b'{"a":{"dtype":"F32","shape":[16],"data_offsets":[0,64]},"b":'
         b'{"dtype":"F32","shape":[9],"data_offsets":[56,92]}}', "overlaps"),
        (lambda header: b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[84,92]}}', "gap"),
        (lambda header: b"{}", "longer than its header says"),
        (lambda header: b"{" + b"\xff" * 8 + b"}", "damaged"),
    ],
)  # fmt: skip
def test_impossible_headers(change: Any, says: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(some(), path)
    refused(rewritten(path, change), says)


def test_a_huge_header_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for length, says in ((1 << 62, "the limit is"), (1000, "cut off in the header")):
        path.write_bytes(struct.pack("<Q", length) + b"{}" * 8)
        refused(path, says)
    with path.open("wb") as file:  # a sparse file: the header would fit
        file.write(struct.pack("<Q", 90_000_000) + b"{")
        file.truncate(100_000_000)
    refused(path, "the limit is")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_values_that_are_not_finite(value: float, dtype: torch.dtype, tmp_path: Path) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in some().items()}
    tensors["conv_out.weight"][3, 1] = value
    path = tmp_path / "a.safetensors"
    save_file(tensors, path)
    said = refused(path, "1 of 4 tensors hold NaN or infinity: conv_out.weight")
    assert "pose encoder" in said, "the family it looks like"


def test_numbers_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for dtype, says in ((torch.float8_e4m3fn, "fp8"), (torch.int64, "int64"), (torch.bool, "bool")):
        save_file({**some(), "conv_in.bias": torch.ones(3).to(dtype)}, path)
        assert "conv_in.bias" in refused(path, says)
    torch.save({**some(), "conv_in.bias": torch.ones(3).to(torch.float8_e5m2)}, tmp_path / "a.pth")
    assert "float16" in refused(tmp_path / "a.pth", "float8_e5m2")
    kept = {**some(), "text_model.embeddings.position_ids": torch.arange(3)}
    save_file(kept, path)
    assert same(read_tensors(path), kept)


def test_files_that_are_not_what_they_are_called(tmp_path: Path) -> None:
    save_file(some(), tmp_path / "a.safetensors")
    torch.save(some(), tmp_path / "b.pth")
    (tmp_path / "a.safetensors").rename(tmp_path / "a.pth")
    (tmp_path / "b.pth").rename(tmp_path / "b.safetensors")
    refused(tmp_path / "a.pth", "rename it to .safetensors")
    refused(tmp_path / "b.safetensors", "a PyTorch or zip archive under the name of safetensors")
    held = (("page.ckpt", b"<!DOCTYPE html>", "a web page"), ("p.safetensors", b"version https://git-lfs", "Git LFS"))
    for name, content, says in (*held, ("a.onnx", b"x", ".onnx"), ("a", b"x", "without a suffix")):
        (tmp_path / name).write_bytes(content * 3)
        refused(tmp_path / name, says)
    with zipfile.ZipFile(tmp_path / "zip.pth", "w") as archive:
        archive.writestr("a.txt", "x")
    refused(tmp_path / "zip.pth", "damaged")
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data/0", b"\0" * 1_000_000)
    refused(tmp_path / "bomb.pth", "compressed")


def test_only_regular_files(tmp_path: Path) -> None:
    refused(tmp_path / "none.pth", "no such file")
    refused(tmp_path, "a folder")
    links = {"gone": tmp_path / "nowhere", "null": Path("/dev/zero"), "dir": tmp_path}
    for name, target in links.items():
        (tmp_path / f"{name}.pth").symlink_to(target)
    refused(tmp_path / "gone.pth", "a link that leads nowhere")
    refused(tmp_path / "null.pth", "not a regular file")
    refused(tmp_path / "dir.pth", "a folder")
    os.mkfifo(tmp_path / "pipe.safetensors")
    refused(tmp_path / "pipe.safetensors", "not a regular file")
    save_file(some(), tmp_path / "a.safetensors")
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "a.safetensors")  # as the hub's cache has them
    assert len(read_tensors(tmp_path / "link.safetensors")) == len(NAMES)


def test_what_is_no_dict_of_tensors(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    held: tuple[tuple[Any, str], ...] = (
        ([torch.zeros(1)], "a list"),
        (torch.zeros(1), "a Tensor"),
        ({}, "no tensors"),
        ({"a": 1.5}, "no tensors"),
        ({1: torch.zeros(1)}, "no texts"),
        ({"a": torch.zeros(1), "b": "text"}, "str"),
        ({"a": torch.zeros(1).expand(1 << 30)}, "unfold to"),
        ({"a": torch.eye(3).to_sparse()}, "sparse"),
        ({"a": torch.zeros(3, device="meta")}, "without values"),
    )
    for value, says in held:
        torch.save(value, path)
        refused(path, says)


def test_mutated_headers_end_in_an_error_or_in_the_same_tensors(tmp_path: Path) -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, tensor in tensors.items():
                self.register_buffer(name.replace(".", "_"), torch.zeros_like(tensor))

    tensors, path, rng = some(), tmp_path / "a.safetensors", random.Random(7)
    flat = {name.replace(".", "_"): tensor for name, tensor in tensors.items()}
    save_file(flat, path)
    raw = path.read_bytes()
    end = 8 + struct.unpack("<Q", raw[:8])[0]
    outcomes = {"refused": 0, "same": 0}
    for _ in range(300):
        mutated = bytearray(raw)
        for _ in range(rng.choice((1, 1, 2, 5))):
            place = rng.randrange(end)
            match rng.randrange(4):
                case 0:
                    mutated[place] = rng.randrange(256)
                case 1:
                    mutated[place] ^= 1 << rng.randrange(8)
                case 2:
                    mutated[place:place] = rng.choice((b"0", b'"', b",", b"{", b" "))
                case _:
                    del mutated[place]
        path.write_bytes(bytes(mutated))
        net = Net()
        try:
            fit(net, read_tensors(path), source=str(path))
        except ModelError:
            outcomes["refused"] += 1
        else:
            outcomes["same"] += 1
            assert same(dict(net.named_buffers()), flat)
    assert outcomes["refused"] > 200


@pytest.mark.parametrize("archive", [True, False])
def test_mutated_pickles_end_in_an_error_or_in_tensors(archive: bool, tmp_path: Path) -> None:
    path, rng, refusals = tmp_path / "a.pth", random.Random(5), 0
    torch.save(some(), path, _use_new_zipfile_serialization=archive)
    raw = path.read_bytes()
    for _ in range(150):
        mutated = bytearray(raw)
        for _ in range(rng.choice((1, 1, 2, 5))):
            mutated[rng.randrange(len(mutated))] = rng.randrange(256)
        path.write_bytes(bytes(mutated))
        try:
            assert all(torch.isfinite(tensor).all() for tensor in read_tensors(path).values())
        except ModelError:
            refusals += 1
    assert refusals > 50


def test_shapes_come_without_reading_values(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    shape = [1 << 20, 1 << 10]
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 << 30]}}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + (4 << 30))  # sparse
    assert peek_shapes(path) == {"a": tuple(shape)}
