"""Self-contained web pages: pictures travel inside the page, nothing is fetched, every text is escaped."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from diorama.core.video import Pixels
from diorama.errors import UsageError
from diorama.media.atomic import write_bytes

KINDS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}
_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Media:
    """A picture, animation or clip with its label.

    Attributes:
        data: the bytes of the file.
        kind: media type, one of `KINDS`.
        label: what it shows.
        dark: the same picture for a dark page, where there is one.
    """

    data: bytes = field(repr=False)
    kind: str
    label: str
    dark: bytes = field(default=b"", repr=False)


def photo(image: Pixels, label: str, *, width: int = 720) -> Media:
    """A photographic picture as JPEG, reduced to at most `width` pixels across."""
    file = io.BytesIO()
    _reduced(image, width).save(file, "JPEG", quality=88, optimize=True)
    return Media(file.getvalue(), "image/jpeg", label)


def drawing(image: UInt8[np.ndarray, "h w 3"], label: str, *, dark: UInt8[np.ndarray, "h w 3"] | None = None) -> Media:
    """A drawn picture as PNG, pixel by pixel; `dark` is its twin for dark pages."""
    return Media(_png(image), "image/png", label, b"" if dark is None else _png(dark))


def animation(images: Sequence[Pixels], label: str, *, milliseconds: int = 130, width: int = 480) -> Media:
    """An endless GIF of the pictures, each shown for `milliseconds`."""
    pictures = [_reduced(image, width).quantize(256, dither=Image.Dither.FLOYDSTEINBERG) for image in images]
    file = io.BytesIO()
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0, disposal=1)
    return Media(file.getvalue(), "image/gif", label)


def from_file(path: Path, label: str) -> Media:
    """A picture or clip as it lies on disk; raises `UsageError` for a suffix not in `KINDS`."""
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path.suffix!r} cannot be shown in a page", path, f"known: {', '.join(KINDS)}")
    return Media(path.read_bytes(), kind, label)


def figure(media: Media) -> str:
    """A medium with its label under it."""
    label = escape(media.label)
    if media.kind.startswith("video/"):
        shown = f'<video src="{_uri(media.data, media.kind)}" autoplay loop muted playsinline controls></video>'
    else:
        shown = f'<img src="{_uri(media.data, media.kind)}" alt="{label}">'
    if media.dark:
        source = f'<source srcset="{_uri(media.dark, media.kind)}" media="(prefers-color-scheme: dark)">'
        shown = f"<picture>{source}{shown}</picture>"
    return f"<figure>{shown}<figcaption>{label}</figcaption></figure>"


def table(rows: Iterable[Sequence[object]], head: Sequence[str] = ()) -> str:
    """A table; the first cell of a row is its name, numbers are aligned right."""
    body = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)
    top = f"<thead><tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr></thead>" if head else ""
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def pairs(values: Mapping[str, object]) -> str:
    """A table of names and values."""
    return table(values.items())


def section(title: str, *parts: str) -> str:
    """A titled card."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def grid(figures: Iterable[Media]) -> str:
    """Figures side by side, as many as fit."""
    return f'<div class="grid">{"".join(figure(media) for media in figures)}</div>'


def write_page(path: Path, title: str, body: str) -> None:
    """Write the page atomically; `body` is HTML made by the functions above.

    Raises:
        UsageError: the folder is missing or not writable.
    """
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )
    write_bytes(path, page.encode("utf-8", errors="replace"))


def plain(image: Pixels) -> UInt8[np.ndarray, "h w 3"]:
    """A picture in 8 bits."""
    return image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)


def _reduced(image: Pixels, width: int) -> Image.Image:
    picture = Image.fromarray(plain(image))
    if picture.width <= width:
        return picture
    return picture.resize((width, max(1, round(picture.height * width / picture.width))), Image.Resampling.LANCZOS)


def _png(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", optimize=True)
    return file.getvalue()


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, int | float):
        return (
            f'<td class="number">{value:,.4g}</td>'
            if isinstance(value, float)
            else f'<td class="number">{value:,}</td>'
        )
    return f"<td>{escape(str(value))}</td>"


_STYLE = """
:root{color-scheme:light dark;--paper:#f4f5f8;--card:#fff;--ink:#1f232e;--faint:#697086;--line:#e3e6ee;
--blue:#3152c7;--good:#1f8a53;--fair:#b8660f;--bad:#c23b34;--shade:0 1px 2px #1f232e14,0 8px 24px #1f232e0d}
@media(prefers-color-scheme:dark){:root{--paper:#12141a;--card:#181b22;--ink:#e8ebf2;--faint:#8e96a8;
--line:#2b303b;--blue:#9eb4ff;--good:#5cc98f;--fair:#f0a35c;--bad:#f07f78;--shade:none}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.55 system-ui,"Segoe UI",Roboto,sans-serif}
main{max-width:1180px;margin:0 auto;padding:40px 20px 80px}
header{margin-bottom:28px}
h1{font-size:28px;line-height:1.2;letter-spacing:-.02em;margin:0 0 6px;overflow-wrap:anywhere}
h2{font-size:17px;letter-spacing:-.01em;margin:0 0 14px}
p{margin:0 0 10px}
.faint,figcaption,th{color:var(--faint)}
section{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:22px;margin:0 0 20px;
box-shadow:var(--shade)}
.badge{display:inline-block;border-radius:999px;padding:3px 14px;font-weight:600;border:1.5px solid currentColor}
.good{color:var(--good)}.fair{color:var(--fair)}.bad{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:14px;margin-top:18px}
.tile{border:1px solid var(--line);border-radius:12px;padding:12px 14px}
.tile b{display:block;font-size:21px;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tile span{color:var(--faint);font-size:13px}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:16px}
figure{margin:0}
img,video{display:block;width:100%;height:auto;border-radius:10px;background:var(--line)}
figcaption{font-size:13px;margin-top:6px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th{text-align:left;font-weight:500}
td,th{padding:7px 10px 7px 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
tr:last-child td{border-bottom:0}
.number{font-variant-numeric:tabular-nums}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:20px}
.pair section{margin:0}
"""
