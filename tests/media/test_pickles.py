"""Pickles: arrays come through, nothing is ever run."""

import builtins
import contextlib
import copyreg
import os
import pickle
import struct
import sys
import types
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from diorama.errors import DioramaError, LimitError, ModelError
from diorama.media.motion import SparseMatrix, load_arrays_pickle


class Payload:
    """Pickles as a call of anything."""

    def __init__(self, call: object, *args: object) -> None:
        self.call, self.args = call, args

    def __reduce__(self) -> tuple[object, ...]:
        return self.call, self.args


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """Classes under the names that old body files use, only to write with."""

    def make(module: str, name: str) -> type:
        for end in range(1, module.count(".") + 2):
            package = ".".join(module.split(".")[:end])
            if package not in sys.modules or end > 1:
                monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
        made = type(name, (), {"__module__": module})
        setattr(sys.modules[module], name, made)
        return made

    csc, ch = make("scipy.sparse.csc", "csc_matrix"), make("chumpy.ch", "Ch")
    return types.SimpleNamespace(csc=csc, ch=ch, select=make("chumpy.reordering", "Select"))


def saved(folder: Path, value: object, protocol: int = 2) -> Path:
    path = folder / "body.pkl"
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol))
    return path


def with_state(cls: type, **state: object) -> object:
    made = cls()
    made.__dict__.update(state)
    return made


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_come_through(tmp_path: Path, stand_ins: types.SimpleNamespace, protocol: int) -> None:
    dense = np.array([[0, 2.0, 0], [1.0, 0, 3.0]])
    entries = {
        "data": np.array([1.0, 2, 3]),
        "indices": np.array([1, 0, 1], np.int32),
        "indptr": np.array([0, 1, 2, 3]),
    }
    given = {
        "a": np.arange(6.0).reshape(2, 3),
        "f": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        "J": with_state(stand_ins.csc, _shape=(2, 3), maxprint=50, **entries),
        "shape": with_state(stand_ins.ch, x=np.ones((2, 2)), _dirty_vars={"x"}),
        "part": with_state(stand_ins.select, a=with_state(stand_ins.ch, x=np.arange(8.0)), idxs=np.array([1, 3])),
        "plain": {"s": "x", "n": None, "l": [1, -5, 2.5, 1 << 90, True], "b": b"\xff", "e": b"", "o": OrderedDict(a=1)},
        "object": np.array({"x": np.ones(2)}, dtype=object),
        "scalar": np.float64(3),
        "text": np.array(["ab", "c"]),
        "none": np.zeros((0, 3)),
    }
    back = load_arrays_pickle(saved(tmp_path, given, protocol))
    assert np.array_equal(back["a"], given["a"])
    assert np.array_equal(back["f"], given["f"])
    assert isinstance(back["J"], SparseMatrix)
    assert np.array_equal(back["J"].dense(), dense)
    assert np.array_equal(back["shape"], np.ones((2, 2)))
    assert back["part"].tolist() == [1, 3]
    assert back["plain"] == given["plain"]
    assert back["object"]["x"].tolist() == [1, 1]
    assert back["scalar"] == 3
    assert back["text"].tolist() == ["ab", "c"]
    assert back["none"].shape == (0, 3)


def test_python_2_pickles(tmp_path: Path) -> None:
    """Protocol 0 as Python 2 wrote it: byte strings in quotes, the old home of `_reconstruct`."""
    raw = np.array([1.5, -2.0]).tobytes()
    quoted = b"'" + b"".join(b"\\x%02x" % byte for byte in raw) + b"'"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n"
        b"(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS" + quoted + b"\ntb"
    )
    back = load_arrays_pickle(saved(tmp_path, b"(dS'v'\n" + array + b"s."))
    assert back["v"].tolist() == [1.5, -2.0]


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_is_refused_by_its_name_and_never_runs(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "marker"
    code = f"open({str(marker)!r}, 'w')"
    payloads = {
        os.system: (f"touch {marker}",),
        builtins.eval: (code,),
        builtins.exec: (code,),
        builtins.getattr: ("", "join"),
        np.load: (str(marker),),
        np.fromfile: (str(marker),),
        np.frombuffer: (b"1",),
        copyreg.add_extension: ("os", "system", 1),
    }
    for call, args in payloads.items():
        name = call.__name__
        for value in (Payload(call, *args), {"v": [np.ones(2), {"deep": (Payload(call, *args),)}]}):
            with pytest.raises(ModelError, match=f"it asks for .*{name}") as caught:
                load_arrays_pickle(saved(tmp_path, value, protocol))
            assert caught.value.exit_code == 6
    assert not marker.exists()
    pickle.loads(pickle.dumps(Payload(builtins.eval, code)))  # the payload is real
    assert marker.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"(S'touch x'\nios\nsystem\n.",  # INST
        b"cos\nsystem\n.",  # a bare name
        b"\x80\x02\x82\x01.",  # extension registry
        b"Pid\n.",  # persistent id
        b"\x80\x05\x97.",  # out-of-band buffer
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",  # STACK_GLOBAL
        b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",  # dotted
        b"cbuiltins\nobject\n)\x81.",  # an object of a class that is only a marker
        b"cnumpy\nndarray\n(I9999999999\ntR.",  # numpy's own constructor
        b"cnumpy\nndarray\n.",
        b"cnumpy\ndtype\n}(S'__setstate__'\nI1\nub.",  # BUILD on a name
        b"]}(S'a'\nI1\nub.",  # BUILD on a list
        b"}(((tttt(I1\nI2\ntI1\nu.",  # a tuple as key
        b"]q\x00h\x00a.",  # not a dict
        b"}q\x00(S'a'\nh\x00u.",  # contains itself
        b"",
        b".",
        b"t.",
    ],
)
def test_other_tricks(tmp_path: Path, data: bytes) -> None:
    path = saved(tmp_path, b"\x80\x02" + data)
    with pytest.raises(ModelError):
        load_arrays_pickle(path)


def test_sizes_are_only_claims(tmp_path: Path) -> None:
    good = pickle.dumps({"v": np.arange(4.0)}, 4)
    huge = good.replace(b"K\x04\x85", b"\x8a\x06\xff\xff\xff\xff\xff\x00\x85")
    assert huge != good
    with pytest.raises(ModelError, match="in 32 bytes"):
        load_arrays_pickle(saved(tmp_path, huge))
    for code in (b"\x8e", b"\x96", b"\x8d"):
        with pytest.raises(ModelError, match="ends early"):
            load_arrays_pickle(saved(tmp_path, b"\x80\x05" + code + struct.pack("<Q", 1 << 40) + b"abc."))
    assert load_arrays_pickle(saved(tmp_path, b"}r\xff\xff\xff\xff.")) == {}  # a memo of four billion places


def test_a_memo_does_not_multiply_work(tmp_path: Path) -> None:
    laughs = b"}(S'a'\n" + b"(I1\nt" + b"2\x86" * 60 + b"u."
    assert "a" in load_arrays_pickle(saved(tmp_path, laughs))
    with pytest.raises(ModelError, match="deep"):
        load_arrays_pickle(saved(tmp_path, b"}(S'a'\n" + b"]" + b"\x85" * 200 + b"u."))
    text = b"X" + struct.pack("<I", 1 << 16) + b"a" * (1 << 16) + b"q\x000"
    again = b"c_codecs\nencode\n(h\x00X\x06\x00\x00\x00latin1tR0" * 200
    with pytest.raises(LimitError, match="copies"):
        load_arrays_pickle(saved(tmp_path, text + again + b"}."))


def test_cut_and_flipped_files_end_in_a_typed_error(tmp_path: Path) -> None:
    good = pickle.dumps({"v": np.arange(12.0).reshape(3, 4), "w": [1, 2, {"x": "y"}], "z": np.float32(2)}, 2)
    for size in range(1, len(good), 11):
        with pytest.raises(ModelError):
            load_arrays_pickle(saved(tmp_path, good[:size]))
    rng = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(good)
        for _ in range(rng.integers(1, 6)):
            data[rng.integers(len(data))] = rng.integers(256)
        with contextlib.suppress(DioramaError):
            assert isinstance(load_arrays_pickle(saved(tmp_path, bytes(data))), dict)


def test_sparse_matrices_are_checked_when_unfolded() -> None:
    one, ends = np.ones(1), np.array([0, 1, 1])
    for indices, indptr in (([5], ends), ([0], np.array([0, 2, 1])), ([0], ends[:2])):
        with pytest.raises(ModelError):
            SparseMatrix((2, 2), one, np.array(indices), indptr, by_columns=True).dense()
    with pytest.raises(LimitError):
        SparseMatrix((1 << 30, 1 << 30), one, np.array([0]), ends, by_columns=True).dense()
