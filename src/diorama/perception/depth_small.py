"""depth-s: the small network that comes with the package; inverse depth of one picture, learned from rendered scenes.

Its weights are run here with numpy alone, since loading torch takes 200 MB and more than a second, which is long beside
a short film. `diorama.train.recipes.depth_net` is the same network for training; a test holds the two together. Arrays
are "h w c". The convolutions are matrix products of the nine shifted pictures.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Float32, UInt8
from safetensors import SafetensorError
from safetensors.numpy import load

from diorama.errors import ModelError
from diorama.perception.shrink import shrink

NAME = "depth-s"
AREA = 96 * 160
"""Pixels of a picture as the network sees it, about."""
STEP, LONGEST = 16, 448
MEAN, SPREAD = 0.45, 0.25
WIDTHS, BACK = (48, 96, 128), (32, 64)
"""Channels at 1/4, 1/8, 1/16 of the size, and on the way back at 1/4 and 1/8."""
LAYERS, HEADS, GROUPS, PLACES = 2, 4, 8, 8
MOST_BYTES = 16_000_000
ALONE, LEAST_ROWS = 4 * 65536, 12
"""Multiplications up to which OpenBLAS starts no threads (its interface/gemm.c), and rows of a piece worth a call."""
REMEDY = "install diorama again"

Weights = Mapping[str, Float32[np.ndarray, "..."]]
Picture = Float32[np.ndarray, "h w c"]
Other = Float32[np.ndarray, "rows columns k"]
Tokens = Float32[np.ndarray, "n d"]


def learned_inverse_depth(small: UInt8[np.ndarray, "sh sw 3"]) -> Float32[np.ndarray, "h w"]:
    """Inverse depth from one picture by the network.

    Returns:
        On about 80 x 48 pixels of the same aspect: 0 the sky; 1 where about a twentieth of the picture is nearer; at
        most 1.69.

    Raises:
        ModelError: the weights in the package are missing or damaged.
    """
    height, width = input_size(*small.shape[:2])
    root = run(weights(), shrink(small, height, width).astype(np.float32) / 255)
    return np.asarray(np.clip(root, 0, 1.3) ** 2, np.float32)


def input_size(height: int, width: int) -> tuple[int, int]:
    """The multiples of 16 near the aspect of a picture that hold about `AREA` pixels."""
    scale = (AREA / max(height * width, 1)) ** 0.5
    high, wide = (min(max(round(side * scale / STEP) * STEP, STEP), LONGEST) for side in (height, width))
    return high, wide


@cache
def weights() -> Weights:
    """The network's weights from the package, checked, in single precision.

    Raises:
        ModelError: missing, damaged, or of another network.
    """
    path = files("diorama.perception") / "data" / f"{NAME}.safetensors"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"the weights of {NAME} cannot be read ({error})", str(path), REMEDY) from error
    return checked(data, str(path))


def checked(data: bytes, where: str) -> Weights:
    """Weights of this network from the bytes of a safetensors file.

    Raises:
        ModelError: damaged, too large, or with other names, shapes or values than this network's.
    """
    if len(data) > MOST_BYTES:
        raise ModelError(f"{len(data)} bytes for {NAME}, at most {MOST_BYTES}", where, REMEDY)
    try:
        found = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"no weights of {NAME} ({error})", where, REMEDY) from error
    expected = shapes()
    for name in sorted(set(found) ^ set(expected)):
        state = "is missing" if name in expected else "is not of this network"
        raise ModelError(f"{name} {state}", where, REMEDY)
    for name, shape in expected.items():
        if found[name].shape != shape or found[name].dtype not in (np.float16, np.float32):
            given = f"{name} of shape {found[name].shape} and type {found[name].dtype}, expected {shape}"
            raise ModelError(given, where, REMEDY)
        if not np.isfinite(found[name]).all():
            raise ModelError(f"{name} holds values that are not finite", where, REMEDY)
    return {name: _prepared(value.astype(np.float32)) for name, value in found.items()}


def _prepared(value: Float32[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """Matrices as they are multiplied from the right: inputs (for convolutions row, column, channel), outputs."""
    if value.ndim == 4:
        value = value.transpose(2, 3, 1, 0).reshape(-1, len(value))
    elif value.ndim == 2:
        value = value.T
    return np.ascontiguousarray(value)


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights as they are stored."""
    w1, w2, w3 = WIDTHS
    b1, b2 = BACK
    found: dict[str, tuple[int, ...]] = {}
    for name, into, out in (("stem", 3 * 16 + 2, w1), ("down2", w1, w2), ("down3", w2, w3)):
        found |= {f"{name}.0.weight": (out, into, 3, 3)} | _norm(f"{name}.1", out)
    for name, width in (("block1", w1), ("block2", w2), ("fuse2", b2), ("fuse1", b1)):
        found |= _convolution(f"{name}.first", width, width) | _convolution(f"{name}.second", width, width)
        found |= _norm(f"{name}.norm", width)
    for i in range(LAYERS):
        for name, into, out in (("qkv", w3, 3 * w3), ("out", w3, w3), ("wide", w3, 2 * w3), ("narrow", 2 * w3, w3)):
            found |= _linear(f"layers.{i}.{name}", into, out)
        found |= _norm(f"layers.{i}.norm1", w3) | _norm(f"layers.{i}.norm2", w3)
    found |= _linear("place", PLACES, w3) | _norm("norm", w3) | _linear("up2", w3, b2)
    found |= _convolution("skip2", w2, b2, 1) | _convolution("up1", b2, b1, 1) | _convolution("skip1", w1, b1, 1)
    return found | _convolution("head", b1, 4)


def _convolution(name: str, into: int, out: int, side: int = 3) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into, side, side), f"{name}.bias": (out,)}


def _linear(name: str, into: int, out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def run(w: Weights, image: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "hh hw"]:
    """The network: RGB in [0, 1], sides a multiple of 16, to the root of inverse depth at half the size."""
    height, width = image.shape[0] // 4, image.shape[1] // 4
    pixels = ((image - MEAN) / SPREAD).reshape(height, 4, width, 4, 3).transpose(0, 2, 4, 1, 3)
    x1 = np.concatenate([pixels.reshape(height, width, 48), _plane(height, width)], axis=2)
    x1 = _block(w, "block1", _start(w, "stem", x1))
    x2 = _block(w, "block2", _start(w, "down2", x1, stride=2))
    x3 = _start(w, "down3", x2, stride=2)
    rows, columns, d = x3.shape
    tokens = x3.reshape(-1, d) + _apply(w, "place", _places(rows, columns))
    for i in range(LAYERS):
        tokens = _layer(w, f"layers.{i}.", tokens)
    y = _apply(w, "up2", _normal(w, "norm", tokens)).reshape(rows, columns, -1)
    y = _block(w, "fuse2", _twice(y) + _apply(w, "skip2", x2))
    y = _block(w, "fuse1", _twice(_apply(w, "up1", y)) + _apply(w, "skip1", x1))
    quarters = _convolve(w, "head", _relu(y)).reshape(height, width, 2, 2)
    return quarters.transpose(0, 2, 1, 3).reshape(2 * height, 2 * width)


def _convolve(w: Weights, name: str, x: Picture, stride: int = 1) -> Other:
    """3 x 3, zeros around."""
    height, width, channels = x.shape
    padded = np.zeros((height + 2, width + 2, channels), np.float32)
    padded[1:-1, 1:-1] = x
    rows, columns = -(-height // stride), -(-width // stride)
    shifted = np.empty((rows, columns, 9, channels), np.float32)
    for k in range(9):
        top, left = divmod(k, 3)
        shifted[:, :, k] = padded[top : top + height : stride, left : left + width : stride]
    out = product(shifted.reshape(rows * columns, -1), w[f"{name}.weight"])
    if f"{name}.bias" in w:
        out += w[f"{name}.bias"]
    return out.reshape(rows, columns, -1)


def _start(w: Weights, name: str, x: Picture, stride: int = 1) -> Other:
    return _relu(_grouped(w, f"{name}.1", _convolve(w, f"{name}.0", x, stride)))


def _block(w: Weights, name: str, x: Picture) -> Picture:
    inner = _relu(_convolve(w, f"{name}.first", _grouped(w, f"{name}.norm", x)))
    return x + _convolve(w, f"{name}.second", inner)


def _layer(w: Weights, name: str, x: Tokens) -> Tokens:
    n, d = x.shape
    qkv = _apply(w, f"{name}qkv", _normal(w, f"{name}norm1", x)).reshape(n, 3, HEADS, d // HEADS)
    q, k, v = qkv.transpose(1, 2, 0, 3)
    score = q @ k.transpose(0, 2, 1) * np.float32((d // HEADS) ** -0.5)
    score = np.exp(score - score.max(axis=2, keepdims=True))
    seen = (score @ v) / score.sum(axis=2, keepdims=True)
    x = x + _apply(w, f"{name}out", seen.transpose(1, 0, 2).reshape(n, d))
    return x + _apply(w, f"{name}narrow", _relu(_apply(w, f"{name}wide", _normal(w, f"{name}norm2", x))))


def _apply(w: Weights, name: str, x: Float32[np.ndarray, "*n c"]) -> Float32[np.ndarray, "*n k"]:
    out = product(x.reshape(-1, x.shape[-1]), w[f"{name}.weight"]) + w[f"{name}.bias"]
    return out.reshape(*x.shape[:-1], -1)


def product(x: Float32[np.ndarray, "n c"], w: Float32[np.ndarray, "c k"]) -> Float32[np.ndarray, "n k"]:
    """``x @ w`` in pieces so small that OpenBLAS works them off in the calling thread.

    Its threads wait by spinning and take the cores from those of OpenCV and of the film's decoder: one answer of the
    network took 0.3 s in place of 10 ms on a busy machine. Also the result does not depend on their number.
    """
    (count, inner), outer = x.shape, w.shape[1]
    if LEAST_ROWS * w.size > ALONE:
        half = inner // 2
        return product(x[:, :half], w[:half]) + product(x[:, half:], w[half:])
    rows = ALONE // w.size
    whole = count - count % rows
    out = np.empty((count, outer), np.float32)
    np.matmul(x[:whole].reshape(-1, rows, inner), w, out=out[:whole].reshape(-1, rows, outer))
    np.matmul(x[whole:], w, out=out[whole:])
    return out


def _relu(x: Float32[np.ndarray, "*n"]) -> Float32[np.ndarray, "*n"]:
    return np.maximum(x, 0, out=x)


def _normal(w: Weights, name: str, x: Tokens) -> Tokens:
    """Each token on its own (layer norm)."""
    x = x - x.mean(axis=1, keepdims=True)
    x /= np.sqrt((x * x).mean(axis=1, keepdims=True) + np.float32(1e-5))
    return x * w[f"{name}.weight"] + w[f"{name}.bias"]


def _grouped(w: Weights, name: str, x: Picture) -> Picture:
    """Groups of channels over the whole picture (group norm)."""
    height, width, channels = x.shape
    mean = x.mean(axis=(0, 1)).reshape(GROUPS, -1).mean(axis=1)
    square = np.einsum("hwc,hwc->c", x, x).reshape(GROUPS, -1).mean(axis=1) / np.float32(height * width)
    scale = 1 / np.sqrt(np.maximum(square - mean * mean, 0) + np.float32(1e-5))
    each = channels // GROUPS
    gain = np.repeat(scale, each) * w[f"{name}.weight"]
    return x * gain + (w[f"{name}.bias"] - np.repeat(mean, each) * gain)


def _twice(x: Picture) -> Other:
    return x.repeat(2, axis=0).repeat(2, axis=1)


def _plane(height: int, width: int) -> Float32[np.ndarray, "h w 2"]:
    """x and y from -1 to 1."""
    y, x = np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32)
    return np.stack(np.broadcast_arrays(x[None], y[:, None]), axis=-1)


def _places(height: int, width: int) -> Float32[np.ndarray, "n p"]:
    """For each token: x, y, their squares and product, |x|, and y and x in units of the longer side."""
    x, y = _plane(height, width).reshape(-1, 2).T
    long = np.float32(max(height, width))
    return np.stack([x, y, x * x, y * y, x * y, np.abs(x), y * height / long, x * width / long], axis=1)
