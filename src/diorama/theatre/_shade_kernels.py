"""Pixel kernels of the theatre's renderer: textures, light, shadow, and the nearest of several layers."""

from typing import no_type_check

import numpy as np
from numba import njit

BIAS = 0.03
"""Metres that a surface must lie behind what the light sees to be in its shadow."""


@njit(nogil=True, cache=True)
@no_type_check
def shade(image, bare, face_ids, weights, positions, normals, skin, light, eye, focal):
    """Write the lit colour of each covered pixel, uint8.

    Args:
        image: "h w 3", left as it is where nothing is covered.
        bare: the same without shadows; not written where it has no pixels.
        face_ids, weights: fragments of the layer.
        positions, normals: of its vertices in the world.
        skin: what `Surface.skin` gives.
        light: direction to the sun, sun colour, colours from the sky and from the ground, the light's 3x4 camera and
            its depth map, and the strength of the shadow.
        eye: where the camera is.
        focal: its focal length, pixels.
    """
    sun, sun_color, sky, ground, project, map_depth, strength = light
    faces, uvs, uv_faces, face_textures, sizes, texels, colors, densities = skin
    twice = bare.shape[0] > 0
    height, width = face_ids.shape
    normal, point, albedo = np.empty(3, np.float32), np.empty(3, np.float32), np.empty(3, np.float32)
    for y in range(height):
        for x in range(width):
            face = face_ids[y, x]
            if face < 0:
                continue
            a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
            wa, wb, wc = weights[y, x, 0], weights[y, x, 1], weights[y, x, 2]
            facing, away = np.float32(0), np.float32(0)
            for i in range(3):
                normal[i] = wa * normals[a, i] + wb * normals[b, i] + wc * normals[c, i]
                point[i] = wa * positions[a, i] + wb * positions[b, i] + wc * positions[c, i]
                facing += normal[i] * (eye[i] - point[i])
                away += (eye[i] - point[i]) ** 2
            length = np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2)
            turn = np.float32(1) / max(length, np.float32(1e-6))
            kind = face_textures[face]
            if kind >= 0:
                ua, ub, uc = uv_faces[face, 0], uv_faces[face, 1], uv_faces[face, 2]
                u = wa * uvs[ua, 0] + wb * uvs[ub, 0] + wc * uvs[uc, 0]
                v = wa * uvs[ua, 1] + wb * uvs[ub, 1] + wc * uvs[uc, 1]
                # Texels under a pixel, between those along and those across a slanted surface.
                slant = max(abs(facing) * turn / max(np.sqrt(away), np.float32(1e-6)), np.float32(0.05))
                texels_across = densities[face] * np.sqrt(away / slant) / focal
                while texels_across > np.float32(1.4) and sizes[kind, 3] > 0:
                    kind += 1
                    texels_across *= np.float32(0.5)
                sample(texels, sizes[kind, 0], sizes[kind, 1], sizes[kind, 2], u, v, albedo)
            else:
                for i in range(3):
                    albedo[i] = wa * colors[a, i] + wb * colors[b, i] + wc * colors[c, i]
            if facing < 0:  # the back of a thin surface is lit as its front
                turn = -turn
            direct = (normal[0] * sun[0] + normal[1] * sun[1] + normal[2] * sun[2]) * turn
            up = np.float32(0.5) + np.float32(0.5) * normal[1] * turn
            # Half-Lambert keeps shape in the shade: faces turned away still differ.
            soft = max(np.float32(0), (direct + np.float32(0.25)) / np.float32(1.25))
            if twice:
                for i in range(3):
                    lit = albedo[i] * (sun_color[i] * soft + sky[i] * up + ground[i] * (np.float32(1) - up))
                    bare[y, x, i] = np.uint8(min(lit + np.float32(0.5), np.float32(255)))
            if soft > 0 and strength > 0:
                soft *= np.float32(1) - strength * shadow(map_depth, project, point)
            for i in range(3):
                lit = albedo[i] * (sun_color[i] * soft + sky[i] * up + ground[i] * (np.float32(1) - up))
                image[y, x, i] = np.uint8(min(lit + np.float32(0.5), np.float32(255)))


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def sample(texels, first, height, width, u, v, out):
    """A repeated texture between its four nearest texels; texel centres lie at half."""
    x, y = u * np.float32(width) - np.float32(0.5), v * np.float32(height) - np.float32(0.5)
    left, top = np.floor(x), np.floor(y)
    fx, fy = x - left, y - top
    x0, y0 = np.int64(left) % width, np.int64(top) % height
    x1, y1 = x0 + 1 if x0 + 1 < width else 0, y0 + 1 if y0 + 1 < height else 0
    upper_row, lower_row = first + y0 * width, first + y1 * width
    one = np.float32(1)
    for i in range(3):
        upper = (one - fx) * texels[upper_row + x0, i] + fx * texels[upper_row + x1, i]
        lower = (one - fx) * texels[lower_row + x0, i] + fx * texels[lower_row + x1, i]
        out[i] = (one - fy) * upper + fy * lower


@njit(nogil=True, cache=True, inline="always")
@no_type_check
def shadow(map_depth, project, point):
    """The part of 3 x 3 texels around a point, as the light sees it, that lie before it."""
    z = project[2, 0] * point[0] + project[2, 1] * point[1] + project[2, 2] * point[2] + project[2, 3]
    if z <= 0:
        return np.float32(0)
    x = (project[0, 0] * point[0] + project[0, 1] * point[1] + project[0, 2] * point[2] + project[0, 3]) / z
    y = (project[1, 0] * point[0] + project[1, 1] * point[1] + project[1, 2] * point[2] + project[1, 3]) / z
    column, row = np.int64(np.floor(x)), np.int64(np.floor(y))
    if column < 1 or row < 1 or column >= map_depth.shape[1] - 1 or row >= map_depth.shape[0] - 1:
        return np.float32(0)
    near = z - np.float32(BIAS)
    total = 0
    for i in range(-1, 2):
        for j in range(-1, 2):
            total += map_depth[row + i, column + j] < near
    return np.float32(total) / np.float32(9)


@njit(nogil=True, cache=True)
@no_type_check
def keep_nearest(image, depth, owner, other, other_depth, number):
    """Put the pixels of a layer that lie before what `image` shows into it, and write `number` where they do."""
    for y in range(depth.shape[0]):
        for x in range(depth.shape[1]):
            if other_depth[y, x] < depth[y, x]:
                depth[y, x], owner[y, x] = other_depth[y, x], number
                for i in range(3):
                    image[y, x, i] = other[y, x, i]


@njit(nogil=True, cache=True)
@no_type_check
def move_pixels(flow, face_ids, weights, faces, positions, project):
    """Where the surface of each covered pixel is in another frame, minus the pixel: "h w 2" pixels, into `flow`.

    Args:
        flow: left as it is where nothing is covered.
        positions: of the surface in that frame.
        project: that frame's 3x4 camera.
    """
    point = np.empty(3, np.float64)
    for y in range(face_ids.shape[0]):
        for x in range(face_ids.shape[1]):
            face = face_ids[y, x]
            if face < 0:
                continue
            for i in range(3):
                total = 0.0
                for k in range(3):
                    total += weights[y, x, k] * positions[faces[face, k], i]
                point[i] = total
            z = project[2, 0] * point[0] + project[2, 1] * point[1] + project[2, 2] * point[2] + project[2, 3]
            if z > 1e-6:
                u = project[0, 0] * point[0] + project[0, 1] * point[1] + project[0, 2] * point[2] + project[0, 3]
                v = project[1, 0] * point[0] + project[1, 1] * point[1] + project[1, 2] * point[2] + project[1, 3]
                flow[y, x, 0], flow[y, x, 1] = u / z - x - 0.5, v / z - y - 0.5
            else:  # it has gone behind the camera
                flow[y, x, 0], flow[y, x, 1] = np.nan, np.nan


@njit(nogil=True, cache=True)
@no_type_check
def ball_around(points, middle):
    """Write the middle of the box of points "v 3"; the greatest distance from it (numpy takes ten times as long)."""
    low, high = np.empty(3), np.empty(3)
    for i in range(3):
        low[i], high[i] = points[0, i], points[0, i]
    for v in range(points.shape[0]):
        for i in range(3):
            low[i], high[i] = min(low[i], points[v, i]), max(high[i], points[v, i])
    for i in range(3):
        middle[i] = (low[i] + high[i]) / 2
    far = 0.0
    for v in range(points.shape[0]):
        square = 0.0
        for i in range(3):
            square += (points[v, i] - middle[i]) ** 2
        far = max(far, square)
    return np.sqrt(far)


@njit(nogil=True, cache=True)
@no_type_check
def take_owned(flow, owner, number, other):
    """Copy the pixels "h w 2" that a layer owns."""
    for y in range(owner.shape[0]):
        for x in range(owner.shape[1]):
            if owner[y, x] == number:
                flow[y, x, 0], flow[y, x, 1] = other[y, x, 0], other[y, x, 1]


@njit(nogil=True, cache=True)
@no_type_check
def turn_sky(flow, owner, number, matrix):
    """Flow of what is infinitely far, where `owner` is `number`, by a 3x3 matrix of pixels; nan behind the camera."""
    for y in range(owner.shape[0]):
        for x in range(owner.shape[1]):
            if owner[y, x] != number:
                continue
            u, v = x + 0.5, y + 0.5
            z = matrix[2, 0] * u + matrix[2, 1] * v + matrix[2, 2]
            if z > 0:
                flow[y, x, 0] = (matrix[0, 0] * u + matrix[0, 1] * v + matrix[0, 2]) / z - u
                flow[y, x, 1] = (matrix[1, 0] * u + matrix[1, 1] * v + matrix[1, 2]) / z - v
            else:
                flow[y, x, 0], flow[y, x, 1] = np.nan, np.nan
