"""Kernels over texels: reading them, drawing with them, finding the nearest, and filling what is not known."""

from typing import no_type_check

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def read_texel(values, start, steps, wb, wc, out):
    """A face's texels at barycentrics, linearly between the three around them, into `out`."""
    x, y = wb * steps, wc * steps
    i, j = min(int(x), steps), min(int(y), steps)
    if i + j > steps - 1:  # on the far edge, up to rounding
        if i > 0:
            i -= 1
        elif j > 0:
            j -= 1
    fx, fy = x - i, y - j
    row = start + i * (steps + 1) - i * (i - 1) // 2 + j
    below = row + steps + 1 - i
    if fx + fy <= 1 or i + j + 2 > steps:
        for c in range(out.shape[0]):
            out[c] = (1 - fx - fy) * values[row, c] + fx * values[below, c] + fy * values[row + 1, c]
    else:
        for c in range(out.shape[0]):
            out[c] = (fx + fy - 1) * values[below + 1, c] + (1 - fy) * values[below, c] + (1 - fx) * values[row + 1, c]


@njit(nogil=True, cache=True)
@no_type_check
def draw_texels(face_ids, weights, skin, normals, light, out):
    """Sum the lit colours of `samples` x `samples` fragments into each pixel of `out` "h w 4", and count them.

    Args:
        skin: faces, starts, steps and colours of the texels, and samples.
        normals: unit, of the vertices.
        light: factors on the nine harmonics of the normal, "9 3".
    """
    faces, starts, steps, colors, samples = skin
    color, normal, lit = np.empty(3, np.float32), np.empty(3, np.float32), np.empty(9, np.float32)
    out[:] = 0
    for y in range(face_ids.shape[0]):
        for x in range(face_ids.shape[1]):
            f = face_ids[y, x]
            if f < 0:
                continue
            wa, wb, wc = weights[y, x, 0], weights[y, x, 1], weights[y, x, 2]
            read_texel(colors, starts[f], steps[f], wb, wc, color)
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            for i in range(3):
                normal[i] = wa * normals[a, i] + wb * normals[b, i] + wc * normals[c, i]
            scale = 1 / max(np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2), 1e-6)
            harmonics_of(normal[0] * scale, normal[1] * scale, normal[2] * scale, lit)
            row, column = y // samples, x // samples
            for i in range(3):
                factor = np.float32(0)
                for k in range(9):
                    factor += lit[k] * light[k, i]
                out[row, column, i] += min(max(color[i] * factor, 0), 255)
            out[row, column, 3] += 1


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def harmonics_of(x, y, z, out):
    """The nine real spherical harmonics up to order 2 without their constants: monomials, the last two centred."""
    out[0], out[1], out[2], out[3] = 1, x, y, z
    out[4], out[5], out[6] = x * y, y * z, z * x
    out[7], out[8] = 3 * z * z - 1, x * x - y * y


@njit(nogil=True, cache=True)
@no_type_check
def sort_into_cells(places, low, cell, sides):
    """Numbers of places in the order of their cells, and where each cell begins (with the count at the end)."""
    count = np.zeros(sides[0] * sides[1] * sides[2] + 1, np.int64)
    where = np.empty(places.shape[0], np.int64)
    for n in range(places.shape[0]):
        at = 0
        for i in range(3):
            at = at * sides[i] + min(max(int((places[n, i] - low[i]) / cell), 0), sides[i] - 1)
        where[n] = at
        count[at + 1] += 1
    first = np.cumsum(count)
    filled, order = first.copy(), np.empty(places.shape[0], np.int64)
    for n in range(places.shape[0]):
        order[filled[where[n]]] = n
        filled[where[n]] += 1
    return first, order


@njit(nogil=True, cache=True)
@no_type_check
def nearest_alike(places, normals, asked, facing, cells, found):
    """The nearest place within a cell's side whose normal is within 60 degrees, into `found`; -1 for none."""
    low, cell, sides, first, order = cells
    at = np.empty(3, np.int64)
    for m in range(asked.shape[0]):
        found[m], best = -1, cell * cell
        for i in range(3):
            at[i] = int(np.floor((asked[m, i] - low[i]) / cell))
        for p in range(max(at[0] - 1, 0), min(at[0] + 2, sides[0])):
            for q in range(max(at[1] - 1, 0), min(at[1] + 2, sides[1])):
                for r in range(max(at[2] - 1, 0), min(at[2] + 2, sides[2])):
                    here = (p * sides[1] + q) * sides[2] + r
                    for k in range(first[here], first[here + 1]):
                        n = order[k]
                        square, turn = np.float32(0), np.float32(0)
                        for i in range(3):
                            square += (places[n, i] - asked[m, i]) ** 2
                            turn += normals[n, i] * facing[m, i]
                        if square < best and turn > 0.5:
                            best, found[m] = square, n


@njit(nogil=True, cache=True)
@no_type_check
def spread(sources, far, edges, lengths):
    """Which source each vertex is nearest to along edges (Bellman and Ford), into `sources`, which are -1 elsewhere.

    Args:
        sources: the vertex itself where it is one; the result, -1 where none can be reached.
        far: 0 at sources, inf elsewhere; the distances.
        edges: "e 2".
        lengths: of the edges.
    """
    changed = True
    while changed:
        changed = False
        for k in range(2 * edges.shape[0]):  # there and back, so that few sweeps do
            e = k if k < edges.shape[0] else 2 * edges.shape[0] - 1 - k
            a, b = edges[e, 0], edges[e, 1]
            if far[a] + lengths[e] < far[b]:
                far[b], sources[b], changed = far[a] + lengths[e], sources[a], True
            elif far[b] + lengths[e] < far[a]:
                far[a], sources[a], changed = far[b] + lengths[e], sources[b], True


@njit(nogil=True, cache=True)
@no_type_check
def relax(values, target, trust, edges, pull, rounds):
    """Minimise sum of trust |v - target|^2 + sum over edges of pull |v_a - v_b|^2 by conjugate gradients, in place.

    Args:
        values: "v c", where to begin; the result.
        trust: of each vertex, 0 or more.
        edges: "e 2", each once.
        pull: of each edge, 0 or more.
        rounds: at most.
    """
    count, channels = values.shape
    diagonal = trust.copy() + 1e-9
    for e in range(edges.shape[0]):
        diagonal[edges[e, 0]] += pull[e]
        diagonal[edges[e, 1]] += pull[e]
    work, rest, along = np.empty(count), np.empty(count), np.empty(count)
    for c in range(channels):
        apply_pull(values[:, c], trust, edges, pull, work)
        start = 0.0
        for v in range(count):
            rest[v] = trust[v] * target[v, c] + 1e-9 * values[v, c] - work[v]
            along[v] = rest[v] / diagonal[v]
            start += rest[v] * along[v]
        now = start
        for _ in range(rounds):
            if now <= 1e-10 * start or now <= 1e-20:
                break
            apply_pull(along, trust, edges, pull, work)
            across = 0.0
            for v in range(count):
                across += along[v] * work[v]
            step, after = now / across, 0.0
            for v in range(count):
                values[v, c] += step * along[v]
                rest[v] -= step * work[v]
                after += rest[v] * rest[v] / diagonal[v]
            turn = after / now
            for v in range(count):
                along[v] = rest[v] / diagonal[v] + turn * along[v]
            now = after


@njit(nogil=True, cache=True)
@no_type_check
def apply_pull(values, trust, edges, pull, out):
    """The matrix of `relax` times a vector."""
    for v in range(values.shape[0]):
        out[v] = (trust[v] + 1e-9) * values[v]
    for e in range(edges.shape[0]):
        a, b = edges[e, 0], edges[e, 1]
        flow = pull[e] * (values[a] - values[b])
        out[a] += flow
        out[b] -= flow
