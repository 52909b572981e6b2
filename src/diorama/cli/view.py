"""``diorama view``: a page in the browser that shows a scene, a model or a stereo film."""

import json
import sys
import webbrowser
from dataclasses import dataclass
from typing import Literal

import tyro

from diorama.cli.commands import Common


@dataclass(frozen=True)
class ViewCommand:
    """Look at a scene, a model or a stereo film in the browser: diorama view spatial.scene4d.safetensors"""

    input: tyro.conf.Positional[str]
    """A scene of Gaussians (PLY, .splat, GLB, scene4d, a folder of PLY files), a GLB model, or a stereo film; or a
    folder with one of them."""
    port: int = 0
    """Port on this machine to serve the page at; 0: any free one."""
    no_open: bool = False
    """Only print the address; do not open the browser."""
    save: str = ""
    """Write the page to this .html file instead, to be opened without Diorama."""
    overwrite: bool = False
    """Replace an existing page."""
    layout: Literal["auto", "sbs", "half-sbs", "tb", "half-tb", "one"] = "auto"
    """How a film holds the two eyes; auto: by its tags or its name."""
    common: Common = Common()

    def run(self) -> int:
        """Serve the page until Ctrl-C, or write it; returns the exit code."""
        from diorama.pipelines.view import save_page, site_of
        from diorama.pipelines.view_server import PageServer

        layout = None if self.layout == "auto" else self.layout
        if self.save:
            page = save_page(self.input, self.save, layout=layout, overwrite=self.overwrite)
            self._tell({"page": str(page)}, str(page))
            return 0
        with PageServer(site_of(self.input, layout=layout), self.port) as server:
            self._tell({"url": server.url}, f"{server.url}\nCtrl-C ends it.")
            try:
                if not self.no_open:
                    webbrowser.open(server.url)
                server.serve_forever()
            except KeyboardInterrupt:  # the way to end it, no failure
                sys.stdout.write("\n" if not self.common.json else "")
        return 0

    def _tell(self, fields: dict[str, str], text: str) -> None:
        if self.common.json:
            sys.stdout.write(json.dumps(fields) + "\n")
        else:
            sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
