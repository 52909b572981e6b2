"""Light of a stage: a sun or lamp far away, and what comes from the sky and the ground around."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from diorama.core.camera import Cameras
from diorama.errors import UsageError
from diorama.theatre._shade_kernels import ball_around


@dataclass(frozen=True)
class Light:
    """One distant light and its surroundings.

    Attributes:
        direction: from the scene to the light; any length above 0.
        color: of the light, 1 is as bright as the albedo.
        sky_color: from above.
        ground_color: from below.
    """

    direction: tuple[float, float, float] = (0.4, 0.8, 0.5)
    color: tuple[float, float, float] = (0.75, 0.72, 0.66)
    sky_color: tuple[float, float, float] = (0.48, 0.5, 0.54)
    ground_color: tuple[float, float, float] = (0.34, 0.33, 0.31)

    def __post_init__(self) -> None:
        if not np.isfinite(self.direction).all() or np.linalg.norm(self.direction) < 1e-6:
            raise UsageError(f"a light from {self.direction}", "direction", "give a direction of some length")

    @property
    def towards(self) -> Float32[np.ndarray, "3"]:
        """The unit vector to the light."""
        return (np.array(self.direction) / np.linalg.norm(self.direction)).astype(np.float32)


def random_light(rng: np.random.Generator, *, indoors: bool = False) -> Light:
    """A light from above: warm and low to white and high outdoors, softer indoors."""
    height, around = rng.uniform(0.45, 1.2), rng.uniform(0, 2 * np.pi)
    direction = (float(np.cos(around) * np.cos(height)), float(np.sin(height)), float(np.sin(around) * np.cos(height)))
    warmth, strength = rng.uniform(0, 1), rng.uniform(0.45, 0.6) if indoors else rng.uniform(0.6, 0.85)
    fill = rng.uniform(0.52, 0.66) if indoors else rng.uniform(0.5, 0.64)
    sun = np.array([1.0, 0.98 - 0.1 * warmth, 0.95 - 0.22 * warmth]) * strength
    sky = np.array([0.92, 0.97, 1.05]) * fill
    ground = np.array([1.02, 0.98, 0.92]) * fill * rng.uniform(0.45, 0.7)
    return Light(direction, _triple(sun), _triple(sky), _triple(ground))


def shadow_camera(light: Light, points: Float32[np.ndarray, "v 3"], size: int) -> Cameras:
    """A far camera that looks along the light and just holds `points`; `size` pixels a side.

    From 50 times the points' extent its rays are parallel to a degree.
    """
    middle = np.empty(3)
    reach = max(float(ball_around(points, middle)), 1e-3)
    away = 50.0 * reach
    forward = -light.towards.astype(np.float64)
    side = np.cross(forward, [0.0, 1, 0] if abs(forward[1]) < 0.99 else [0.0, 0, 1])
    right = side / np.linalg.norm(side)
    viewmat = np.eye(4)
    viewmat[:3, :3] = [right, np.cross(forward, right), forward]
    viewmat[:3, 3] = -viewmat[:3, :3] @ (middle - forward * away)
    focal = size / 2 / np.tan(np.arcsin(1.02 / 50.0))
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return Cameras(viewmat[None], K[None], size, size)


def _triple(values: Float[np.ndarray, "3"]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
