"""The columns of tables: those of the papers, those of the field's scripts, and more."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A metric.

    Attributes:
        key: of the values of a clip.
        title: for people; the network's name is added where one is used.
        digits: shown behind the point.
        larger: whether larger is better.
        disco: whether it is of the field's scripts, faults included.
        scale: factor of the values that Markdown shows.
    """

    key: str
    title: str
    digits: int
    larger: bool
    disco: bool = False
    scale: float = 1.0

    @property
    def times(self) -> str:
        """The scale, as it stands behind a title."""
        return "" if self.scale == 1 else f" x {self.scale:g}"


PAPER = (
    Column("psnr", "PSNR dB", 2, True),
    Column("ssim", "SSIM", 3, True),
    Column("lpips", "LPIPS", 3, False),
    Column("fvd", "FVD", 1, False),
    Column("psnr_inside", "PSNR inside the mask dB", 2, True),
    Column("psnr_hands", "PSNR hands dB", 2, True),
    Column("psnr_feet", "PSNR feet dB", 2, True),
)
"""The columns of MIMO's tables, and the regions that they hide (the background is given)."""

DISCO = (
    Column("psnr_overflow_disco", "PSNR (DisCo, overflowing) dB", 2, True, disco=True),
    Column("psnr_fixed_disco", "PSNR* (DisCo) dB", 2, True, disco=True),
    Column("ssim_grey_disco", "SSIM (DisCo, grey)", 3, True, disco=True),
    Column("l1_per_pixel_disco", "L1 (DisCo)", 3, False, disco=True, scale=1e4),
    Column("lpips_unscaled_disco", "LPIPS (DisCo, unscaled)", 3, False, disco=True),
)
"""What the field's scripts would print."""

MORE = (
    Column("l1", "L1", 4, False),
    Column("lpips_inside", "LPIPS inside the mask", 3, False),
    Column("psnr_outside", "PSNR outside the mask dB", 2, True),
)
COLUMNS = (*PAPER, *DISCO, *MORE)
