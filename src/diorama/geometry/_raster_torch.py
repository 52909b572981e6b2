"""`rasterize` as tensor operations, for CUDA: pairs of face and pixel, and one maximum over each pixel.

Faces are taken in blocks of at most `PAIRS` pairs. A pair's key is 1 / z, whose bits as a whole number rise with it,
over the face's number counted down, so that the nearest face and among equals the first one wins in any order.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64

from diorama.geometry._raster_kernels import GRID

PAIRS = 1 << 22

Tensor = torch.Tensor


def nearest_faces(
    faces: Int64[Tensor, "f 3"],
    numbers: Int64[Tensor, " f"],
    snapped: Int64[Tensor, "v 2"],
    inverse: Float64[Tensor, " v"],
    best: Int64[Tensor, " n"],
    width: int,
) -> None:
    """Raise the keys of the pixels ("height * width") that the faces cover; arguments as in the kernel."""
    height = len(best) // width
    z, places = inverse[faces], snapped[faces]
    first, last = _boxes(places, height, width)
    sizes = (last - first + 1).clamp(min=0)
    area = _cross(places[:, 1] - places[:, 0], places[:, 2] - places[:, 0])
    use = (sizes > 0).all(dim=1) & (z > 0).all(dim=1) & (area != 0)
    places, z, first, sizes, numbers, area = (t[use] for t in (places, z, first, sizes, numbers, area))
    flipped = (area < 0)[:, None]
    places = torch.where(flipped[..., None], places[:, [0, 2, 1]], places)
    z = torch.where(flipped, z[:, [0, 2, 1]], z)
    counts = sizes.prod(dim=1)
    ends = counts.cumsum(0)
    start = 0
    while start < len(counts):
        before = ends[start - 1] if start else ends.new_zeros(())
        stop = max(int(torch.searchsorted(ends, before + PAIRS, right=True)), start + 1)
        block = slice(start, stop)
        _raise(places[block], z[block], first[block], sizes[block], numbers[block], counts[block], best, width)
        start = stop


def keys_to_faces(best: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """The face of each pixel's key, -1 for none."""
    return torch.where(best > 0, 0x7FFFFFFF - (best & 0x7FFFFFFF), -1)


def _raise(
    places: Int64[Tensor, "f 3 2"],
    z: Float64[Tensor, "f 3"],
    first: Int64[Tensor, "f 2"],
    sizes: Int64[Tensor, "f 2"],
    numbers: Int64[Tensor, " f"],
    counts: Int64[Tensor, " f"],
    best: Int64[Tensor, " n"],
    width: int,
) -> None:
    face = torch.repeat_interleave(counts)
    step = torch.arange(len(face), device=face.device) - (counts.cumsum(0) - counts)[face]
    columns = sizes[face, 0]
    offset = torch.stack([step % columns, step // columns], dim=1)
    edges, at_first = [], []
    for i in range(3):
        a, b = places[:, (i + 1) % 3], places[:, (i + 2) % 3]
        along = b - a
        start = _cross(along, first * GRID + GRID // 2 - a) - _not_owned(along).long()
        right, down = -along[:, 1] * GRID, along[:, 0] * GRID
        edges.append(start[face] + right[face] * offset[:, 0] + down[face] * offset[:, 1])
        at_first.append((start, right, down))
    inside = (edges[0] >= 0) & (edges[1] >= 0) & (edges[2] >= 0)
    # The same sums in the same order as in the kernel, for the same bits.
    area = _cross(places[:, 1] - places[:, 0], places[:, 2] - places[:, 0])
    share = 1.0 / area.double()
    plane = [(at_first[0][k] * z[:, 0] + at_first[1][k] * z[:, 1] + at_first[2][k] * z[:, 2]) * share for k in range(3)]
    face, offset = face[inside], offset[inside]
    near = (plane[0][face] + offset[:, 1] * plane[2][face]) + offset[:, 0] * plane[1][face]
    near = near.float()
    pixel = (first[face, 1] + offset[:, 1]) * width + first[face, 0] + offset[:, 0]
    keys = (near.view(torch.int32).long() << 31) | (0x7FFFFFFF - numbers[face])
    shown = near > 0
    best.scatter_reduce_(0, pixel[shown], keys[shown], "amax")


def _boxes(
    places: Int64[Tensor, "f 3 2"], height: int, width: int
) -> tuple[Int64[Tensor, "f 2"], Int64[Tensor, "f 2"]]:
    """The first and last pixel (x, y) whose centre may lie in each face."""
    low, high = places.amin(dim=1), places.amax(dim=1)
    first = ((low + GRID // 2 - 1) >> 10).clamp(min=0)
    last = torch.minimum((high - GRID // 2) >> 10, torch.tensor([width - 1, height - 1], device=places.device))
    return first, last


def _cross(a: Int64[Tensor, "*n 2"], b: Int64[Tensor, "*n 2"]) -> Int64[Tensor, "*n"]:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _not_owned(along: Int64[Tensor, "f 2"]) -> Bool[Tensor, " f"]:
    """Edges that are neither top nor left."""
    top = (along[:, 1] == 0) & (along[:, 0] > 0)
    return ~(top | (along[:, 1] < 0))


def to_tensor(array: np.ndarray, device: torch.device | str) -> Tensor:
    """An array as a tensor of 64 bits."""
    return (
        torch.from_numpy(np.ascontiguousarray(array))
        .to(device)
        .to(torch.float64 if array.dtype.kind == "f" else torch.int64)
    )
