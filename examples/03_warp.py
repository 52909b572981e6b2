"""One picture and its true disparity to the other eye: python examples/03_warp.py [folder]"""

import sys
from pathlib import Path

import numpy as np
from skimage import data

from diorama import forward_warp
from diorama.media.images import save_image
from diorama.perception.fill import fill


def main(folder: Path) -> None:
    """The Middlebury motorcycle: warp the left picture, fill what it does not show, compare with the real right."""
    folder.mkdir(parents=True, exist_ok=True)
    left, right, disparity = data.stereo_motorcycle()
    far = float(np.nanmin(np.where(np.isfinite(disparity), disparity, np.nan)))
    disparity = np.where(np.isfinite(disparity), disparity, far).astype(np.float32)
    warped, known = forward_warp(left, disparity)
    error = np.mean((warped[known].astype(float) - right[known]) ** 2)
    print(f"{100 * known.mean():.1f} % known, {10 * np.log10(255**2 / error):.2f} dB there")
    save_image(folder / "right.png", fill(warped, known, eye="right", disparity=disparity))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
