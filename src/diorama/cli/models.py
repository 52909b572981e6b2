"""``diorama models``: weights that can be used, where they come from, and how they are brought into our layout."""

import json
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import tyro

from diorama import catalog
from diorama.cli.commands import Common


@dataclass(frozen=True)
class List:
    """List the weights that Diorama knows: diorama models list"""

    common: Common = Common()

    def run(self) -> int:
        """Print the table; returns the exit code."""
        rows = [_row(weights) for weights in catalog.ALL]
        if self.common.json:
            sys.stdout.write(json.dumps(rows) + "\n")
            return 0
        widths = [max(len(str(row[key])) for row in rows) for key in ("name", "about", "licence")]
        for row in rows:
            texts = [f"{row[key]!s:{width}}" for key, width in zip(("name", "about", "licence"), widths, strict=True)]
            there = "here" if row["folder"] else "-"
            sys.stdout.write("  ".join([*texts, f"{row['megabytes']:>6} MB", there]) + "\n")
        sys.stdout.write("\n  diorama models card NAME tells more, diorama models get NAME fetches one\n")
        return 0


@dataclass(frozen=True)
class Get:
    """Download weights, after showing their licence: diorama models get NAME"""

    name: tyro.conf.Positional[str]
    """As in diorama models list."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """Folder to put them in (default: the hub's own cache, where they are found by name)."""
    accept_licence: bool = False
    """Agree to the licence without being asked."""
    common: Common = Common()

    def run(self) -> int:
        """Fetch; returns the exit code."""
        from diorama.diffusion.fetch import fetch

        weights = catalog.find(self.name, catalog.ALL)
        sys.stderr.write(f"{weights.terms}, {weights.megabytes} MB\n")
        _agree(weights, self.accept_licence)
        folder = fetch(weights, Path(self.output) if self.output else None)
        also = [name for name in weights.also if catalog.folder_of(catalog.find(name, catalog.ALL)) is None]
        if self.common.json:
            sys.stdout.write(json.dumps({"folder": str(folder), "also": also}) + "\n")
        elif not self.common.quiet:
            sys.stdout.write(f"{folder}\n" + "".join(f"  it also needs: diorama models get {name}\n" for name in also))
        return 0


@dataclass(frozen=True)
class Convert:
    """Bring released weights into safe, named, checked files: diorama models convert FOLDER --out DIR"""

    source: tyro.conf.Positional[str]
    """Folder or file as released: MIMO, Moore-AnimateAnyone, AnimateDiff, SD-1.5, Zeroscope, SP4D, LoRA."""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])]
    """Folder to write."""
    dtype: Literal["fp16", "bf16", "fp32"] = "fp16"
    """Of the numbers."""
    licence: str = ""
    """For the manifest (default: that of the catalogue's entry with the same files)."""
    common: Common = Common()

    def run(self) -> int:
        """Convert; returns the exit code."""
        from diorama.cli.progress import make_progress
        from diorama.diffusion.store import convert

        source, out, today = Path(self.source), Path(self.out), datetime.now(UTC).date().isoformat()
        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            manifest = convert(source, out, date=today, licence=self.licence, precision=self.dtype, progress=progress)
        if self.common.json:
            sys.stdout.write(json.dumps(asdict(manifest)) + "\n")
        elif not self.common.quiet:
            sys.stdout.write(f"{self.out}: {manifest.kind}, {manifest.licence}\n")
            for name, piece in manifest.pieces.items():
                size = f"{piece.parameters / 1e6:.2f} M parameters, {piece.tensors} tensors, {piece.bytes / 1e6:.1f} MB"
                sys.stdout.write(f"  {name}: {size}, from {', '.join(piece.sources)}\n")
        return 0


@dataclass(frozen=True)
class Verify:
    """Check hashes, values and names of weights: diorama models verify FOLDER"""

    folder: tyro.conf.Positional[str]
    """What diorama models convert wrote, or released weights as downloaded."""
    name: str = ""
    """The entry of the catalogue whose hashes the files must have."""
    common: Common = Common()

    def run(self) -> int:
        """Check; returns the exit code."""
        from diorama.cli.progress import make_progress
        from diorama.diffusion.fetch import check_hashes
        from diorama.diffusion.store import inspect

        path = Path(self.folder)
        known = catalog.find(self.name, catalog.ALL) if self.name else catalog.at_folder(path)
        if known:
            check_hashes(known, path)
        with make_progress(quiet=self.common.quiet or self.common.json) as progress:
            findings = inspect(path, progress=progress)
        if self.common.json:
            sys.stdout.write(json.dumps([asdict(finding) for finding in findings]) + "\n")
        elif not self.common.quiet:
            for finding in findings:
                names = "all names right" if finding.named else "names not compared"
                sys.stdout.write(f"{finding.piece}: {finding.title}, {finding.tensors} tensors, finite, {names}\n")
                for file, (sha256, entry) in finding.files.items():
                    sys.stdout.write(f"  {file}  sha256 {sha256}  {entry or catalog.UNVERIFIED}\n")
        return 0


@dataclass(frozen=True)
class Card:
    """Tell where weights come from, and under which terms: diorama models card NAME"""

    name: tyro.conf.Positional[str]
    """As in diorama models list, or a folder that diorama models convert wrote."""
    common: Common = Common()

    def run(self) -> int:
        """Print the card; returns the exit code."""
        if Path(self.name).is_dir():
            from diorama.diffusion.manifest import read_manifest

            sys.stdout.write(json.dumps(asdict(read_manifest(Path(self.name))), indent=1) + "\n")
            return 0
        weights = catalog.find(self.name, catalog.ALL)
        if self.common.json:
            sys.stdout.write(json.dumps({**_row(weights), "sha256": dict(weights.sha256)}) + "\n")
            return 0
        sys.stdout.write("\n".join(_card(weights)) + "\n")
        return 0


def _row(weights: catalog.Weights) -> dict[str, object]:
    folder = catalog.folder_of(weights)
    fields = ("name", "about", "source", "licence", "commercial", "note", "megabytes", "files", "also")
    return {**{key: getattr(weights, key) for key in fields}, "folder": str(folder) if folder else ""}


def _card(weights: catalog.Weights) -> list[str]:
    """The card as lines; of embedded weights also what stands in the card beside them."""
    folder = catalog.folder_of(weights)
    lines = [f"{weights.name}: {weights.about}", weights.terms, f"{weights.megabytes} MB"]
    lines += [] if weights.packaged else [f"https://huggingface.co/{weights.source}"]
    lines += [f"  {name}  {_checked(weights, name)}" for name in weights.files]
    lines += [f"with it: {', '.join(weights.also)}"] if weights.also else []
    lines += [f"here: {folder}" if folder else f"not here: diorama models get {weights.name}"]
    card = catalog.card_of(weights) if weights.packaged else None
    return [*lines, "", card.read_text()] if card else lines


def _checked(weights: catalog.Weights, name: str) -> str:
    return f"sha256 {weights.sha256[name]}" if name in weights.sha256 else "unverified"


def _agree(weights: catalog.Weights, given: bool) -> None:
    """Have the user agree to a licence that asks for it, once.

    Raises:
        UsageError: the user does not, or cannot be asked.
    """
    from diorama.core.licences import accept, accepted
    from diorama.errors import UsageError

    if accepted(weights):
        return
    page = f"https://huggingface.co/{weights.source}"
    if not given and sys.stdin.isatty():
        sys.stderr.write(f"Read it at {page}. Do you agree? [y/N] ")
        given = sys.stdin.readline().strip().lower() in ("y", "yes")
    if not given:
        what = f"the licence is not accepted ({weights.licence})"
        raise UsageError(what, weights.name, f"read it at {page}, then add --accept-licence")
    accept(weights)


@dataclass(frozen=True)
class Models:
    """Weights: diorama models list | get | convert | verify | card"""

    what: tyro.conf.OmitSubcommandPrefixes[
        Annotated[List, tyro.conf.subcommand("list")]
        | Annotated[Get, tyro.conf.subcommand("get")]
        | Annotated[Convert, tyro.conf.subcommand("convert")]
        | Annotated[Verify, tyro.conf.subcommand("verify")]
        | Annotated[Card, tyro.conf.subcommand("card")]
    ]

    @property
    def common(self) -> Common:
        """How the command talks."""
        return self.what.common

    def run(self) -> int:
        """Do it; returns the exit code."""
        return self.what.run()
