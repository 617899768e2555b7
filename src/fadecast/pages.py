"""Pages that need nothing beside them: one HTML file each, with their pictures inside."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from fadecast.figures import CAPTIONS, Caption
from fadecast.wording import words


@dataclass(frozen=True)
class EmbeddedFigure:
    """A picture inside a page."""

    caption: Caption
    data: str
    """PNG in base 64."""


def render(template: str, **content: Any) -> str:
    """Fill a template of the package; all that is filled in is escaped."""
    environment = Environment(
        loader=PackageLoader("fadecast", "data"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)


def embedded(figures: Sequence[Path], captions: Mapping[str, Caption] = CAPTIONS) -> list[EmbeddedFigure]:
    """Read pictures, those with a caption first and in the order of the captions."""
    order = list(captions)
    known = [path for path in figures if path.stem in captions]
    others = [path for path in figures if path.stem not in captions]
    return [
        EmbeddedFigure(
            captions.get(path.stem, Caption(words(path.stem), "", "")),
            base64.b64encode(path.read_bytes()).decode("ascii"),
        )
        for path in [*sorted(known, key=lambda path: order.index(path.stem)), *others]
    ]
