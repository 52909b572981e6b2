"""How something is rigged, as options; importing this loads nothing heavy."""

from dataclasses import dataclass
from typing import Literal

from diorama.errors import UsageError
from diorama.pipelines.parts_config import PartsConfig

Names = Literal["auto", "mixamo", "smpl", "plain"]
Who = Literal["auto", "body", "parts"]
FOR_PARTS = ("edit", "parts", "mesh", "skeleton", "model", "segmenter")
"""Options that a fitted body, whose parts and surface are its own, has no use for."""


@dataclass(frozen=True, kw_only=True)
class RigConfig(PartsConfig):
    """How something is rigged."""

    segmenter: str = ""
    """Who outlines an object where nothing plainer tells it, and moves the borders of decoded parts: a folder with SAM
    2, or its name; default: GrabCut, and colours alone."""
    motion: str = ""
    """What it does: a file (BVH, AMASS npz, GLB), or a dance such as walk (default: what the clip shows, and a clip in
    which every joint bends in turn)."""
    mesh: str = ""
    """The surface of what the pictures show (GLB, OBJ, PLY), kept as it is; else it is made from the views."""
    skeleton: str = ""
    """Your own skeleton (GLB or BVH) in place of one that is found: its joints are kept, with their names."""
    parts: int | None = None
    """How many parts (default: as many as are found)."""
    names: Names = "auto"
    """Of the parts: auto (mixamo for what is built like a person), mixamo, smpl, or plain numbers."""
    softness: float = 0.35
    """Of the joints: 0 rigid parts, 0.9 bends nearly everywhere."""
    edit: str = ""
    """A file of changes by hand: merge, split or rename parts, move a joint, hang it elsewhere; the page writes it."""
    who: Who = "auto"
    """A picture of a person: body rigs the fitted body, parts the views of the generator; auto: the body where it can,
    unless an option such as --parts, --edit, --mesh or --skeleton asks for the other."""
    height: float = 1.0
    """Of what is made from pictures, metres; a person's body has its own."""
    cells: int = 128
    """Of the grid in which a surface is made from views, along its longest side."""
    again: bool = False
    """Rig anew what already has a skin."""
    bare: bool = False
    """Only the model: no page, no turntable, no sheet of views."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.parts is not None and not 2 <= self.parts <= 127:
            raise UsageError(f"{self.parts} parts", "--parts", "give 2 to 127")
        if not 0 <= self.softness <= 0.9:
            raise UsageError(f"softness {self.softness}", "--softness", "give 0 (rigid) to 0.9")
        if not 1e-3 <= self.height <= 1e4:
            raise UsageError(f"height {self.height}", "--height", "give metres from 0.001 to 10000")
        if not 24 <= self.cells <= 400:
            raise UsageError(f"{self.cells} cells", "--cells", "give 24 to 400")
        self._check_pairs()

    def given(self, *names: str) -> tuple[str, ...]:
        """Those of some options, as they are written, that are not what they are by default."""
        return tuple(f"--{name}" for name in names if getattr(self, name) != getattr(RigConfig, name))

    def _check_pairs(self) -> None:
        """Refuse options that would have no effect beside others."""
        others = self.given(*FOR_PARTS, "box") + (("--subject object",) if self.subject == "object" else ())
        if self.who == "body" and others:
            fix = "leave one out; a fitted body has parts and a surface of its own"
            raise UsageError(f"--who body with {' and '.join(others)}", "--who", fix)
        others = self.given("parts", "edit")
        if self.skeleton and others:
            fix = "leave one out; the joints and parts are those of the skeleton"
            raise UsageError(f"--skeleton with {' and '.join(others)}", "--skeleton", fix)
