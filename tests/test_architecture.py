"""Laws of the code base itself."""

import ast
import builtins
import dis
import importlib
import pkgutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

import diorama

SRC = Path(diorama.__file__).parent
FILES = sorted(SRC.rglob("*.py"))
PUBLIC = {
    "__version__",
    "Actor",
    "AnimateConfig",
    "Cameras",
    "DecomposeConfig",
    "DioramaError",
    "Layer",
    "LayeredVideo",
    "PersonConfig",
    "StereoConfig",
    "StereoResult",
    "StereoRun",
    "Video",
    "animate",
    "decompose",
    "forward_warp",
    "multiplane_warp",
    "open_video",
    "person",
    "read_actors",
    "read_scene",
    "stereo",
    "write_scene",
}


def test_public_names_stay() -> None:
    assert set(diorama.__all__) >= PUBLIC
    for name in diorama.__all__:
        assert getattr(diorama, name) is not None


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = diorama.nonsense


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_files_are_small_and_told(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(text)), "a module says what it is for"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_public_functions_are_told_and_short_of_arguments(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        if any("njit" in ast.unparse(decorator) for decorator in node.decorator_list):
            continue  # kernels take arrays one by one: numba knows no dataclasses
        arguments = node.args.args + node.args.kwonlyargs
        assert len([a for a in arguments if a.arg not in ("self", "cls")]) <= 8, node.name


def test_importing_loads_no_heavy_library() -> None:
    code = "import sys, diorama; print([m for m in ('torch', 'av', 'cv2', 'numba', 'PIL') if m in sys.modules])"
    assert _python(code) == "[]"


LEARNING = (
    *("diorama.figures", "diorama.theatre", "diorama.geometry.raster", "diorama.geometry._raster"),
    *("diorama.geometry.splat", "diorama.geometry._splat", "diorama.geometry.fit", "diorama.geometry._fit"),
    *(
        "diorama.pipelines.matrix",
        "diorama.pipelines._matrix",
        "diorama.pipelines.spatial",
        "diorama.pipelines._spatial",
    ),
    *("diorama.pipelines.upscale", "diorama.pipelines._upscale", "diorama.pipelines.generate"),
    *("diorama.pipelines.rig", "diorama.pipelines.part", "diorama.diffusion", "diorama.train", "diorama.bench"),
    *("diorama.pipelines.decompose", "diorama.pipelines.animate", "diorama.pipelines.person"),
    *("diorama.pipelines.character", "diorama.pipelines._character", "diorama.rigging"),
)
"""What may load torch at import: it is of no use without."""


def test_no_module_needs_an_extra_at_import_and_few_need_torch() -> None:
    found = [m.name for m in pkgutil.walk_packages([str(SRC)], "diorama.") if not m.name.endswith("__main__")]
    light = [name for name in found if not name.startswith(LEARNING)]
    extras = ("mediapipe", "torchvision", "anny", "tensorboard")
    heavy = (
        "torch",
        "diffusers",
        "transformers",
        "accelerate",
        "peft",
    )  # diffusers loads the last three where it finds them
    for names, unwanted in ((found, extras), (light, (*heavy, *extras))):
        code = (
            f"import sys, importlib\nfor n in {names!r}: importlib.import_module(n)\n"
            f"print([m for m in {unwanted!r} if m in sys.modules])"
        )
        assert _python(code) == "[]"


def test_importing_twice_is_idempotent() -> None:
    assert importlib.reload(diorama).__version__ == diorama.__version__


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_every_name_is_known(path: Path) -> None:
    """Shapes are strings, which no checker tells from names; so code that runs is asked for its own."""
    module = compile(path.read_text(), str(path), "exec")
    known = {*dir(builtins), "__file__", "__name__", "__annotations__", "__class__"}
    known |= {i.argval for i in dis.get_instructions(module) if i.opname in ("STORE_NAME", "STORE_GLOBAL")}
    codes = [module]
    for code in codes:
        codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    asked = {i.argval for code in codes for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    assert asked <= known, asked - known
