"""Depth from a file, each eye in a lossless file of its own: python examples/02_your_own_depth.py [folder]"""

import sys
from pathlib import Path

import numpy as np

from diorama import StereoConfig, StereoRun, open_video, stereo
from diorama.media.encoding import Encoding
from diorama.pipelines.presets import Clip, DepthChoice, Look
from samples import sample


def main(folder: Path) -> None:
    """Here the depth is a plain ramp, near at the bottom; yours may come from any renderer or estimator."""
    folder.mkdir(parents=True, exist_ok=True)
    clip = sample("bikes")
    video = open_video(clip)
    ramp = np.linspace(0, 1, video.height, dtype=np.float32)[:, None].repeat(video.width, axis=1)
    np.save(folder / "depth.npy", np.broadcast_to(ramp, (24, *ramp.shape)))
    config = StereoConfig(
        look=Look(format="eyes", source_eye="left", divergence=3, convergence="0.5"),
        depth=DepthChoice(depth=str(folder / "depth.npy")),
        clip=Clip(end="0.9"),
        encoding=Encoding("ffv1"),
    )
    made = stereo(clip, folder / "bikes.mkv", config, run=StereoRun(overwrite=True))
    left = open_video(made.files[0]).stack()
    print("the left eye is the source, bit for bit:", np.array_equal(left, video[: len(left)].stack()))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
