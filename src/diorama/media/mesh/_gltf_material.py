"""Albedo of glTF materials: textures and factors. Factors and colours of vertices are linear there, textures sRGB."""

import io
import logging
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, UInt8
from PIL import Image

from diorama.errors import DamagedMediaError
from diorama.media.anaglyph import linear_from_srgb, srgb_from_linear
from diorama.media.mesh._gltf_file import Document, Json

_log = logging.getLogger(__name__)
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


@dataclass(frozen=True, eq=False)
class Albedo:
    """What a surface looks like.

    Attributes:
        texture: sRGB, times the factor; none for a plain colour.
        factor: linear RGB; none where the file gives no colour.
    """

    texture: UInt8[np.ndarray, "h w 3"] | None = None
    factor: Float64[np.ndarray, "3"] | None = None


def to_srgb(light: Float[np.ndarray, "*n 3"]) -> UInt8[np.ndarray, "*n 3"]:
    """Code values of linear colours."""
    return np.rint(255 * srgb_from_linear(np.clip(light, 0, 1))).astype(np.uint8)


def read_albedo(document: Document, primitive: Json) -> Albedo:
    """Of a primitive's material, decoded once.

    Raises:
        DamagedMediaError: a texture that cannot be decoded.
        LimitError: textures of too many texels.
    """
    if "material" not in primitive:
        return Albedo()
    number = primitive["material"]
    if number not in document.materials:
        document.materials[number] = _albedo(document, document.item("materials", number))
    return document.materials[number]


def _albedo(document: Document, material: Json) -> Albedo:
    rough = material.get("pbrMetallicRoughness", {})
    factor = None
    if "baseColorFactor" in rough:
        factor = np.array(rough["baseColorFactor"], np.float64)[:3].clip(0, 1)
        if factor.shape != (3,) or not np.isfinite(factor).all():
            raise ValueError("a baseColorFactor that is no colour")
    place = rough.get("baseColorTexture")
    if place is None:
        return Albedo(None, factor)
    texture = document.item("textures", place["index"])
    if "source" not in texture or place.get("texCoord", 0) != 0:
        _log.warning("%s: a texture of another kind, or on second coordinates, is left out", document.path)
        return Albedo(None, factor)
    if "KHR_texture_transform" in place.get("extensions", {}):
        _log.warning("%s: a texture's transform is left out", document.path)
    picture = _decoded(document.image(texture["source"]), document)
    if factor is not None and (factor < 1).any():
        codes = linear_from_srgb(np.arange(256) / 255)[:, None] * factor
        tinted = to_srgb(codes)
        picture = np.stack([tinted[picture[..., i], i] for i in range(3)], axis=-1)
    return Albedo(picture, factor)


def _decoded(data: bytes, document: Document) -> UInt8[np.ndarray, "h w 3"]:
    """A PNG or JPEG picture; its size is read before its pixels. Turns and profiles in it have no say in glTF."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            document.spend("texels", image.width * image.height)
            if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
                grey = np.asarray(image).astype(np.int64).clip(0, 65535) // 257
                return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
            return np.array(image.convert("RGB"))
    except _UNREADABLE as error:
        raise DamagedMediaError(f"a texture cannot be read: {error}", document.path) from error
