"""Files to frames: one door for videos, animated and still images, and folders of numbered images."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from diorama.core.video import Frame, Video
from diorama.errors import DioramaError, MediaError, UsageError
from diorama.media.decode import FileSource, ReadOptions
from diorama.media.images import is_image, open_images
from diorama.media.probe import Probe, probe
from diorama.media.safe import local_path, regular_file


@dataclass(frozen=True, eq=False)
class OpenedVideo:
    """A video with what only its file knows.

    Attributes:
        video: frames and clock, rotated upright.
        path: the file or folder.
        sar: shape of a pixel after rotation, width over height.
        notes: what the user should know (damage tolerated, other streams, interlacing).
        probe: the container's facts; None for images.
    """

    video: Video
    path: Path
    sar: Fraction = Fraction(1)
    notes: tuple[str, ...] = ()
    probe: Probe | None = None

    @property
    def damage(self) -> tuple[str, ...]:
        """What was wrong with the frames read so far, and was tolerated."""
        return self.video.source.damage.notes() if isinstance(self.video.source, FileSource) else ()


def open_media(given: str | Path, options: ReadOptions | None = None) -> OpenedVideo:
    """Open a video file, an image, an animated image, or a folder of numbered images.

    Raises:
        UsageError: a URL or protocol instead of a path.
        MediaError: missing, empty, or not media.
        DamagedMediaError: holds less than it declares, unless `options.tolerant`.
        LimitError: over a budget.
    """
    options = options or ReadOptions()
    path = local_path(given)
    if path.is_dir() or is_image(path):
        images = open_images(path, options.limits)
        return OpenedVideo(images.video, path, notes=images.notes)
    facts = probe(path, stream=options.stream, limits=options.limits, tolerant=options.tolerant)
    notes = facts.notes
    if facts.interlaced and not options.deinterlace:
        notes = (*notes, "the video is interlaced; --deinterlace gives cleaner edges")
    sideways = facts.rotation % 2 == 1
    width, height = (facts.height, facts.width) if sideways else (facts.width, facts.height)
    source = FileSource(facts, options)
    video = Video(
        source,
        facts.scan.pts,
        facts.scan.durations,
        facts.time_base,
        height,
        width,
        facts.bits,
        source.color,
        has_alpha=facts.has_alpha,
    )
    return OpenedVideo(video, path, 1 / facts.sar if sideways else facts.sar, notes, facts)


def open_video(given: str | Path, options: ReadOptions | None = None) -> Video:
    """As `open_media`, when only the frames and their clock are wanted."""
    return open_media(given, options).video


def open_picture(given: str | Path, fix: str) -> Frame:
    """The frame of a picture file.

    Args:
        given: any kind of image, animated ones with one frame too.
        fix: what the user should do who gave a clip.

    Raises:
        UsageError: a clip, or a moving picture.
        MediaError: missing, empty, a folder, damaged, or no picture.
        LimitError: over the budget.
    """
    path = regular_file(given)
    try:
        opened = open_media(path)
    except DioramaError as error:
        if is_image(path):
            raise
        raise MediaError("not a picture of a known kind", path, "give PNG, JPEG, WebP, GIF, TIFF or BMP") from error
    if opened.probe is not None or len(opened.video) != 1:
        raise UsageError(f"{len(opened.video)} frames, where one picture is expected", path, fix)
    return next(iter(opened.video))
