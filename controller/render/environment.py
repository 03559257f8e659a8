"""The Jinja environment of `nginx-templates/`: strict, and closed to text that did not pass `quoting`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template

from controller.render import quoting


def text_of(name: str, **values: Any) -> str:
    """What the template `name.j2` comes to. Its `on` writes a flag as nginx does."""
    return _template_of(name).render(on=_on, **values)


@cache
def _template_of(name: str) -> Template:
    return build_environment().get_template(f"{name}.j2")


def _on(flag: bool) -> quoting.NginxText:
    return quoting.NginxText("on" if flag else "off")


def build_environment() -> Environment:
    """Templates come from the wheel's package data, or from the source tree beside the package."""
    environment = Environment(
        loader=FunctionLoader(_source_of),
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - not HTML; `finalize` is the guard
    )
    environment.filters.update(
        word=quoting.word,
        quoted=quoting.quoted,
        key=quoting.key,
        literal=quoting.literal,
        template=quoting.template,
        upstream_name=quoting.upstream_name,
    )
    return environment


def _finalize(value: object) -> object:
    """Numbers and quoted text pass; a plain string has no business in an nginx file."""
    if isinstance(value, (quoting.NginxText, int, float)) and not isinstance(value, bool):
        return value
    raise TypeError(f"not nginx text: {type(value).__name__}")


def _source_of(name: str) -> str:
    return (_directory() / name).read_text(encoding="utf-8")


def _directory() -> Traversable:
    packaged = files("controller.render") / "templates"
    if packaged.is_dir():
        return packaged
    root = files("controller")
    return root.joinpath("..", "nginx-templates")
