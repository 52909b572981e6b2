"""Rigged models from a creature and from a person, offline: python examples/09_rig.py [folder]"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from diorama.cli.progress import make_progress
from diorama.pipelines.rig import rig
from diorama.pipelines.rig_config import RigConfig
from models import creature_views, somebody

VALIDATOR = Path(__file__).parent.parent / "tests" / "media" / "validate_gltf.js"


def verdict(model: Path) -> str:
    """What the Khronos validator says, where node and the package gltf-validator are installed."""
    node = shutil.which("node")
    if node is None or not VALIDATOR.is_file():
        return "not validated: node is not installed"
    done = subprocess.run([node, str(VALIDATOR), str(model)], capture_output=True, text=True, check=False)
    if done.returncode:
        return "not validated: npm install gltf-validator"
    found = json.loads(done.stdout)
    return f"{found['numErrors']} errors, {found['numWarnings']} warnings (Khronos validator)"


def main(folder: Path) -> None:
    """A creature's views to a model with the motion they show; a person's picture to one that walks."""
    folder.mkdir(parents=True, exist_ok=True)
    with make_progress(quiet=False) as progress:
        views, picture = creature_views(folder / "creature_parts", "quadruped", 1), somebody(folder / "somebody.png")
        beast = rig(views, folder / "creature.glb", overwrite=True, progress=progress)
        how = RigConfig(motion="walk", who="body")
        walker = rig(picture, folder / "somebody.glb", how, overwrite=True, progress=progress)
    for made in (beast, walker):
        moves = ", ".join(f"{name} ({frames} frames)" for name, frames in made.motions.items())
        print(f"\n{made.files[0]}: {made.parts} parts, {made.joints} joints; {moves}; {made.seconds:.1f} s")
        print(f"  {verdict(made.files[0])}")
        print("".join(f"  {extra}\n" for extra in made.extras), end="")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
