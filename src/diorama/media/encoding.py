"""How frames are compressed: codecs, what each container holds, and sane defaults. No codec library is loaded here."""

from dataclasses import dataclass
from typing import Literal

from diorama.errors import UsageError

CodecName = Literal["auto", "libx264", "libx265", "libsvtav1", "ffv1"]
DEFAULT_CRF = {"libx264": 18, "libx265": 20, "libsvtav1": 28}
DEFAULT_PRESET = {"libx264": "fast", "libx265": "fast", "libsvtav1": "9"}
PRESETS = ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"]
CONTAINERS = {
    ".mp4": ("libx264", "libx265", "libsvtav1"),
    ".m4v": ("libx264", "libx265"),
    ".mov": ("libx264", "libx265"),
    ".mkv": ("libx264", "libx265", "libsvtav1", "ffv1"),
    ".webm": ("libsvtav1",),
}


@dataclass(frozen=True)
class Encoding:
    """How frames are compressed.

    Attributes:
        codec: libx264, libx265, libsvtav1 or ffv1 (lossless RGB); auto takes libx264 for 8 bits, libx265 above,
            and libsvtav1 where the container (.webm) holds nothing else.
        crf: constant quality, lower is better (None: 18, 20 or 28 by codec); ffv1 has none.
        preset: speed against size, ``ultrafast`` to ``placebo``, or 0-13 for libsvtav1 (None: fast, fast, 9).
    """

    codec: CodecName = "auto"
    crf: int | None = None
    preset: str | None = None

    def __post_init__(self) -> None:
        if self.crf is not None and not 0 <= self.crf <= 63:
            raise UsageError(f"crf is {self.crf}", "--crf", "give 0 (best) to 51, for AV1 to 63")
        known = {*PRESETS, *(str(n) for n in range(14))}
        if self.preset is not None and self.preset not in known:
            raise UsageError(f"unknown preset {self.preset!r}", "--preset", f"one of {', '.join(PRESETS)}, or 0-13")

    @property
    def keeps_pixel_shape(self) -> bool:
        """Whether the stream itself says how wide a pixel is; PyAV sets it in no container."""
        return self.codec in ("libx264", "libx265")

    def resolved(self, suffix: str, bits: int) -> "Encoding":
        """The same with ``auto`` decided for a container and bit depth.

        Raises:
            UsageError: the container cannot hold the codec, or the codec has no such preset.
        """
        if suffix not in CONTAINERS:
            raise UsageError(f"unknown output format {suffix or '(none)'!r}", "-o", f"one of {', '.join(CONTAINERS)}")
        held = CONTAINERS[suffix]
        wanted: CodecName = ("libx264" if bits == 8 else "libx265") if self.codec == "auto" else self.codec
        if self.codec == "auto" and wanted not in held:
            wanted = "libsvtav1"
        if wanted not in held:
            raise UsageError(f"{suffix} cannot hold {wanted}", "--codec", f"{suffix} holds {', '.join(held)}; use .mkv")
        preset = self.preset if self.preset is not None else DEFAULT_PRESET.get(wanted)
        if wanted in DEFAULT_PRESET and (preset in PRESETS) != (wanted != "libsvtav1"):
            raise UsageError(f"{wanted} has no preset {preset!r}", "--preset", f"for example {DEFAULT_PRESET[wanted]}")
        if self.crf is not None and wanted not in DEFAULT_CRF:
            raise UsageError(f"{wanted} is lossless and has no quality setting", "--crf", "leave it out")
        if wanted in ("libx264", "libx265") and (self.crf or 0) > 51:
            raise UsageError(f"crf is {self.crf}", "--crf", f"{wanted} takes 0 (best) to 51")
        if self.preset is not None and wanted not in DEFAULT_PRESET:
            raise UsageError(f"{wanted} has no presets", "--preset", "leave it out")
        crf = self.crf if self.crf is not None else DEFAULT_CRF.get(wanted)
        return Encoding(wanted, crf, preset)
