"""A clip to a 3D film, offline: python examples/01_stereo_film.py [folder]"""

import sys
from pathlib import Path

from diorama import StereoConfig, StereoRun, stereo
from diorama.cli.progress import make_progress
from diorama.pipelines.presets import Look
from samples import sample


def main(folder: Path) -> None:
    """Make a side-by-side film with its report, and an anaglyph to look at with red-cyan glasses."""
    clip = sample("bigbuckbunny")
    film = folder / "bigbuckbunny_LRF_Full_SBS.mp4"
    anaglyph = folder / "bigbuckbunny_redcyan.mp4"
    with make_progress(quiet=False) as progress:
        made = stereo(clip, film, run=StereoRun(overwrite=True, report=True), progress=progress)
        glasses = StereoConfig(look=Look(format="anaglyph"))
        stereo(clip, anaglyph, glasses, run=StereoRun(overwrite=True), progress=progress)
    print(f"\n{made.frames} frames in {made.seconds:.1f} s ({made.frames / made.seconds:.1f} frames/s)")
    print(f"3D film, full side by side   {film}")
    print(f"anaglyph                     {anaglyph}")
    print(f"report, open it in a browser {film}.report.html")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
