"""The mediapipe package is entered without what its front door loads, and is whole for whoever asks it."""

import subprocess
import sys

import pytest

pytest.importorskip("mediapipe")


def test_the_package_is_light_until_it_is_asked_for_more() -> None:
    code = """
import sys
import numpy as np
from diorama.perception.people_pose import PoseNetwork
from diorama.perception.people_detect import Region
PoseNetwork()(np.zeros((64, 64, 3), np.uint8), Region(32.0, 32.0, 40.0, 0.0))
assert "matplotlib" not in sys.modules, "the front door was opened"
import mediapipe
assert mediapipe.solutions.pose.Pose.__name__ == "Pose"
assert "matplotlib" in sys.modules
try:
    mediapipe.nonsense
except AttributeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert "has no attribute 'nonsense'" in done.stdout, done.stderr[-2000:]
