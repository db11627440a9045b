"""Pages: self-contained HTML from the templates beside this file, every text in it escaped."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
)


def rendered(template: str, **values: Any) -> str:
    """The page as HTML text; a name that the template wants and nobody gives is an error."""
    return _ENVIRONMENT.get_template(template).render(**values)
