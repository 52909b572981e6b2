"""One clip against the truth by every metric: what a row of the tables is made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from diorama.bench.metrics import disco, pixels
from diorama.bench.metrics.frames import Boxes, Mask, Video, box_mask
from diorama.bench.metrics.frechet import VideoFeatures, clip_features
from diorama.bench.metrics.perceptual import Perceptual, lpips
from diorama.bench.metrics.standins import fvd_standin, lpips_standin
from diorama.bench.metrics.trunks import Net
from diorama.bench.metrics.weights import holds, load_i3d, load_lpips


@dataclass(frozen=True)
class Networks:
    """What pictures and clips are looked at through.

    Attributes:
        lpips: for LPIPS.
        video: for FVD.
        frames: of a clip of FVD; 16 in published tables.
        stride: between the starts of clips, a clip's length where None; 1 is DisCo's.
    """

    lpips: Perceptual
    video: VideoFeatures
    frames: int = 16
    stride: int | None = None

    @property
    def step(self) -> int:
        """Frames from the start of a clip to that of the next one."""
        return self.frames if self.stride is None else self.stride


@dataclass(frozen=True, eq=False)
class Regions:
    """Parts of a clip that are measured by themselves.

    Attributes:
        inside: where the person is seen.
        hands: a mask, or boxes "t k 4" as `frames.boxes_around` gives them.
        feet: likewise.
    """

    inside: Mask | None = None
    hands: Mask | Boxes | None = None
    feet: Mask | Boxes | None = None


@dataclass(frozen=True, eq=False)
class ClipScores:
    """What one method reached on one clip.

    Attributes:
        method: its name.
        clip: name of the clip.
        tags: of the clip.
        values: by the key of a column of `table.COLUMNS`; regions without a pixel are left out.
        features: of the made and the true clip, for FVD.
        lpips_by: name of the network of LPIPS.
        fvd_by: name of the network of FVD, and frames and stride of its clips.
    """

    method: str
    clip: str
    tags: tuple[str, ...]
    values: Mapping[str, float]
    features: tuple[Float64[np.ndarray, "n d"], Float64[np.ndarray, "m d"]]
    lpips_by: str
    fvd_by: tuple[str, int, int]


def networks(folder: Path | None = None, *, net: Net = "alex", frames: int = 16, stride: int | None = None) -> Networks:
    """The published networks where `folder` has their files, the named stand-ins otherwise.

    Raises:
        ModelError: a network that is there in part, or whose files are unusable.
    """
    seen = load_lpips(folder, net) if folder and holds(folder, net) else lpips_standin()
    video = load_i3d(folder) if folder and holds(folder, "i3d") else fvd_standin()
    return Networks(seen, video, frames, stride)


def measure(
    made: Video,
    true: Video,
    regions: Regions = Regions(),
    *,
    by: Networks,
    method: str,
    clip: str,
    tags: tuple[str, ...] = (),
) -> ClipScores:
    """Every metric of one clip, the corrected ones and those of the field's scripts.

    Regions that are empty in every frame are left out. PSNR of hands and feet is of the error over all their pixels.

    Raises:
        UsageError: as `pixels.psnr`, `perceptual.lpips` and `frechet.clip_features`.
    """
    values = picture_values(made, true, regions, seen=by.lpips)
    first, second = (clip_features(by.video, video, frames=by.frames, stride=by.step) for video in (made, true))
    about = by.video.name, by.frames, by.step
    return ClipScores(method, clip, tags, values, (first, second), by.lpips.name, about)


def picture_values(made: Video, true: Video, regions: Regions = Regions(), *, seen: Perceptual) -> dict[str, float]:
    """All but FVD, by the key of a column: for pictures that are no film.

    Raises:
        UsageError: as `pixels.psnr` and `perceptual.lpips`.
    """
    return {
        "psnr": pixels.psnr(made, true),
        "ssim": pixels.ssim(made, true),
        "lpips": lpips(seen, made, true).value,
        "l1": pixels.l1(made, true),
        **_regional(made, true, regions, seen),
        **_disco(made, true, seen),
    }


def _regional(made: Video, true: Video, regions: Regions, seen: Perceptual) -> dict[str, float]:
    values: dict[str, float] = {}
    inside = regions.inside
    if inside is not None and inside.any():
        values |= {
            "psnr_inside": pixels.psnr(made, true, inside),
            "lpips_inside": lpips(seen, made, true, inside).value,
        }
    if inside is not None and not inside.all():
        values["psnr_outside"] = pixels.psnr(made, true, ~inside)
    for key, region in (("psnr_hands", regions.hands), ("psnr_feet", regions.feet)):
        mask = None if region is None else _as_mask(region, true)
        if mask is not None and mask.any():
            values[key] = pixels.psnr(made, true, mask, pool="pixels")
    return values


def _as_mask(region: Mask | Boxes, like: Video) -> Mask:
    return region if region.dtype == np.bool_ else box_mask(region, like)


def _disco(made: Video, true: Video, seen: Perceptual) -> dict[str, float]:
    values = {
        "psnr_overflow_disco": disco.psnr_overflow_disco(made, true),
        "psnr_fixed_disco": disco.psnr_fixed_disco(made, true),
        "ssim_grey_disco": disco.ssim_grey_disco(made, true),
        "l1_per_pixel_disco": disco.l1_per_pixel_disco(made, true),
    }
    if seen.published:
        values["lpips_unscaled_disco"] = disco.lpips_unscaled_disco(seen, made, true).value
    return values
