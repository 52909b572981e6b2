"""The last steps of a run: pieces joined and tagged, sidecars, comfort report, page."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from diorama.core.video import Pixels
from diorama.media.atomic import write_bytes
from diorama.media.images import save_image
from diorama.media.mux import Assembly, Piece, assemble
from diorama.media.read import OpenedVideo
from diorama.media.recipe import Recipe, embed_text, write_sidecar
from diorama.pipelines.chart import chart
from diorama.pipelines.comfort import FrameComfort, summarise, worst
from diorama.pipelines.output import Target, publish, tags_of
from diorama.pipelines.presets import StereoConfig
from diorama.pipelines.report import Report, Sample, write_report
from diorama.pipelines.schedule import Schedule
from diorama.pipelines.work import Done

MOST_RECORDS = 100_000


@dataclass(frozen=True, eq=False)
class Facts:
    """What the last steps need to know of a run.

    Attributes:
        opened: the input.
        plan: which of its frames are shown when.
        config: how it looks.
        target: where it goes.
        recipe: the run as data.
        notes: what the user was told.
        seconds: spent, by stage.
        samples: loads the moments that the page shows; None for no page.
    """

    opened: OpenedVideo
    plan: Schedule
    config: StereoConfig
    target: Target
    recipe: Recipe
    notes: Sequence[str]
    seconds: Mapping[str, float]
    samples: Callable[[], list[Sample]] | None = None


@dataclass(frozen=True)
class Ending:
    """What came of a run: how many frames, its comfort report, and the files beside the film."""

    frames: int
    comfort: dict[str, Any] = field(default_factory=dict)
    extras: tuple[Path, ...] = ()


def finish_film(
    facts: Facts,
    pieces_of: Callable[[Sequence[Done], int], tuple[Piece, ...]],
    pieces: Sequence[Done],
    note: Callable[[str], None],
) -> None:
    """Join the pieces of every stream with the source's sound, and publish the films."""
    plan, target = facts.plan, facts.target
    tags = tags_of(facts.config.look, target.path.suffix.lower())
    for number, file in enumerate(target.files):
        ready = pieces_of(pieces, number)
        assembly = Assembly(
            ready,
            plan.time_base,
            facts.opened.path if facts.opened.probe else None,
            facts.config.clip.streams,
            plan.shift,
            (plan.first, plan.end) if plan.trimmed else (None, None),
            {"comment": embed_text(facts.recipe)},
            {"stereo_mode": tags.matroska} if tags.matroska else {},
            plan.last_duration,
        )
        made = ready[0].path.with_name(f"whole-{number}{file.suffix.lower()}")
        messages = assemble(assembly, made)
        for message in messages if number == 0 else ():
            note(message)
        publish(made, file, tags, facts.recipe, overwrite=target.overwrite or target.resume)


def finish_stills(facts: Facts, images: Sequence[Pixels]) -> None:
    """Write each view as an image that carries the recipe, and its sidecar."""
    for image, file in zip(images, facts.target.files, strict=True):
        replaced = facts.target.overwrite or facts.target.resume
        save_image(file, image, overwrite=replaced, comment=embed_text(facts.recipe))
        write_sidecar(file, facts.recipe)


def write_reports(facts: Facts, rows: Iterator[dict[str, Any]]) -> Ending:
    """Write the comfort report as JSON and picture, and the page where it is asked for."""
    frames = len(facts.plan)
    records = _records(rows, -(-frames // MOST_RECORDS))
    comfort = summarise(records)
    base = facts.target.path
    told = {"file": base.name, "comfort": comfort, "notes": list(facts.notes), "seconds": dict(facts.seconds)}
    written = [base.with_name(base.name + ".comfort.json"), base.with_name(base.name + ".comfort.png")]
    write_bytes(written[0], json.dumps(told, indent=2).encode())
    save_image(written[1], chart(records))
    if facts.samples is not None:
        written.append(base.with_name(base.name + ".report.html"))
        settings = facts.config.options()
        samples, seconds = facts.samples(), dict(facts.seconds)
        page = Report(base.name, samples, records, settings=settings, timings=seconds, notes=list(facts.notes))
        write_report(written[-1], page)
    return Ending(frames, comfort, tuple(written))


def _records(rows: Iterator[dict[str, Any]], group: int) -> list[FrameComfort]:
    """Comfort records, in bounded number: in very long films one for the worst of each `group` frames of a shot."""
    source = (FrameComfort(**{**row, "percentiles": tuple(row["percentiles"])}) for row in rows)
    if group == 1:
        return list(source)
    records: list[FrameComfort] = []
    while part := list(islice(source, group)):
        records += [worst(list(same)) for _, same in groupby(part, key=lambda record: record.shot)]
    return records
