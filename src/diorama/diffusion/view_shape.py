"""Sizes of the multi-view networks: the released SP4D and SV4D 2.0, and a small one to train from scratch."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from diorama.errors import UsageError

CameraAttention = Literal["released", "per_pixel_view", "full_3d"]
"""Which tokens the camera block joins, always within one frame: `released` runs of as many neighbouring pixels as
there are views, nearly always of one view (the grouping of the published code, `use_3d_attention`); `per_pixel_view`
the same pixel in all views; `full_3d` all pixels of all views."""

LARGEST = 1 << 16
"""No network has more channels; files that say so are damaged."""

GROUPS = 32
"""Channels of a group norm come in as many groups: every width is a multiple of it."""


@dataclass(frozen=True)
class ViewShape:
    """Size of one branch; the defaults are those of SP4D and SV4D 2.0 (spec sp4d.md 2.1).

    Attributes:
        latent_channels: channels of a latent; a branch reads twice as many (latent and image condition), and its
            `cond_view` has as many.
        widths: channels of each level, from full to coarsest resolution; multiples of 32 and of `head_dim`.
        layers_per_level: residual blocks on the way down; one more on the way up.
        attention_levels: whether the blocks of each level attend. The middle always does.
        head_dim: channels of an attention head.
        context_dim: channels of the image embedding that is attended to.
        vector_dim: channels of the camera vector.
        camera_attention: see `CameraAttention`.

    Raises:
        UsageError: sizes that do not fit each other.
    """

    latent_channels: int = 4
    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    layers_per_level: int = 2
    attention_levels: tuple[bool, ...] = (True, True, True, False)
    head_dim: int = 64
    context_dim: int = 1024
    vector_dim: int = 1280
    camera_attention: CameraAttention = "released"

    def __post_init__(self) -> None:
        numbers = (self.latent_channels, self.layers_per_level, self.head_dim, self.context_dim, self.vector_dim)
        if not self.widths or min(*numbers, *self.widths) < 1 or max(*numbers, *self.widths) > LARGEST:
            raise UsageError(f"sizes of {self}", "view network", f"give numbers from 1 to {LARGEST}")
        if len(self.attention_levels) != len(self.widths):
            given = f"{len(self.attention_levels)} attention levels for {len(self.widths)} widths"
            raise UsageError(given, "attention_levels", "give one of each per level")
        attending = {w for w, on in zip(self.widths, self.attention_levels, strict=True) if on} | {self.widths[-1]}
        wrong = [w for w in self.widths if w % GROUPS or (w in attending and w % self.head_dim)]
        if wrong:
            fix = f"take multiples of {GROUPS}, and of head_dim {self.head_dim} where a level attends"
            raise UsageError(f"widths {wrong}", "widths", fix)
        if self.camera_attention not in get_args(CameraAttention):
            known = ", ".join(get_args(CameraAttention))
            raise UsageError(f"camera attention {self.camera_attention!r}", "camera_attention", f"one of {known}")

    @property
    def embedding_dim(self) -> int:
        """Channels of the joint embedding of noise level and camera."""
        return 4 * self.widths[0]

    @property
    def stride(self) -> int:
        """Latents are this many times wider than the coarsest level; heights and widths are multiples of it."""
        return 1 << (len(self.widths) - 1)

    @property
    def fusion_widths(self) -> tuple[int, ...]:
        """Channels after every block, down, middle, up, and so of the fusion modules between two branches."""
        down = [self.widths[0]]
        for level, width in enumerate(self.widths):
            down += [width] * (self.layers_per_level + (level < len(self.widths) - 1))
        up = [width for width in reversed(self.widths) for _ in range(self.layers_per_level + 1)]
        return (*down, self.widths[-1], *up)


PRESETS: Mapping[str, ViewShape] = MappingProxyType(
    {
        "sp4d": ViewShape(),
        "sp4d-tiny": ViewShape(
            widths=(32, 64),
            layers_per_level=1,
            attention_levels=(True, True),
            head_dim=16,
            context_dim=64,
            vector_dim=320,
            camera_attention="per_pixel_view",
        ),
    }
)
"""`sp4d`: 4,090,471,156 parameters as two branches, 2,010,961,338 as one. `sp4d-tiny`: 6.0 million as two, for training
from scratch, with true attention between views."""
