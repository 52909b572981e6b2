"""Bake the photographs of the theatre: python tools/bake_textures.py

Crops of sample photographs that come with scikit-image (which is not needed at run time), all CC0 or public domain
(data/NOTICE-textures.md): three that repeat without a seam, and pictures to hang on walls.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
import skimage
from jaxtyping import UInt8
from PIL import Image

REPEATING = {"brick": "brick.png", "grass": "grass.png", "gravel": "gravel.png"}
PICTURES = {
    "coffee": ("coffee.png", (60, 0, 400, 400)),
    "cat": ("chelsea.png", (60, 0, 300, 300)),
    "rocket": ("rocket.jpg", (200, 0, 400, 400)),
    "galaxies": ("hubble_deep_field.jpg", (100, 100, 500, 500)),
}
REPEAT_SIZE, PICTURE_SIZE = 256, 128
TARGET = Path(__file__).parents[1] / "src/diorama/theatre/data/textures.npz"


def crop(file: str, box: tuple[int, int, int, int] | None, size: int) -> UInt8[np.ndarray, "s s *c"]:
    """A part (left, top, width, height) of a photograph, resized."""
    image = Image.open(Path(skimage.__file__).parent / "data" / file)
    if box is not None:
        left, top, width, height = box
        image = image.crop((left, top, left + width, top + height)).convert("RGB")
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS))


def seamless(image: UInt8[np.ndarray, "s s"]) -> UInt8[np.ndarray, "s s"]:
    """The picture blended with itself half a side further, whose borders meet; contrast is kept."""
    size = len(image)
    edge = np.minimum(np.arange(size), size - 1 - np.arange(size)) / (size / 2)
    ramp = np.clip(edge / 0.4, 0, 1)
    share = np.minimum(ramp[:, None], ramp[None])
    share = share * share * (3 - 2 * share)
    mean, other = image.mean(), np.roll(image, (size // 2, size // 2), (0, 1))
    mixed = share * (image - mean) + (1 - share) * (other - mean)
    return np.rint(np.clip(mean + mixed / np.hypot(share, 1 - share), 0, 255)).astype(np.uint8)


def main() -> None:
    """Write the file; the same bytes every time."""
    arrays = {name: seamless(crop(file, None, REPEAT_SIZE)) for name, file in REPEATING.items()}
    arrays |= {name: crop(file, box, PICTURE_SIZE) for name, (file, box) in PICTURES.items()}
    TARGET.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(TARGET, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), data.getvalue(), zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    main()
