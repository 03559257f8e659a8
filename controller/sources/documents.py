"""A file of manifests as documents that know on which line they begin.

Plain scalars are read as kubectl does where PyYAML differs: a date stays text, and so does `12:30`. `List` objects are
opened. A file that grows without bounds by aliases of aliases is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import yaml

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
VALUES_AT_MOST = 1_000_000
"""Values in one document with aliases; ten nested ones in a kilobyte can be billions."""


class Document(NamedTuple):
    """One object of a file. `line` counts from 1."""

    line: int
    content: Mapping[str, Any]


class BrokenFile(ValueError):
    """The text is not YAML. `line` counts from 1; 0 where it is not known."""

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem)
        self.line = line


class _Loader(_Base):  # type: ignore[misc]  # chosen at run time: with libyaml or without
    """Safe, and without the kinds of scalars that go-yaml does not know."""


def _text(loader: Any, node: yaml.ScalarNode) -> Any:
    return loader.construct_scalar(node)


def _number(kind: str) -> Any:
    def construct(loader: Any, node: yaml.ScalarNode) -> Any:
        if ":" in node.value:  # PyYAML takes it for a number to the base of sixty
            return node.value
        return getattr(loader, f"construct_yaml_{kind}")(node)

    return construct


_Loader.add_constructor(_TAG + "timestamp", _text)
_Loader.add_constructor(_TAG + "value", _text)
_Loader.add_constructor(_TAG + "int", _number("int"))
_Loader.add_constructor(_TAG + "float", _number("float"))


def read_yaml(text: bytes) -> list[Document]:
    """Objects in the order of the file; what is not a mapping is left out. Raises `BrokenFile`."""
    found: list[Document] = []
    aliases = b"*" in text and b"&" in text
    try:
        loader = _Loader(text)
        try:
            while loader.check_node():
                node = loader.get_node()
                content = loader.construct_document(node)
                if aliases:
                    _check_size(content)
                found += _opened(content, node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BrokenFile(error.problem or "not YAML", mark.line + 1 if mark else 0) from error
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise BrokenFile(str(error).splitlines()[0] if str(error) else "not YAML", 0) from error
    except RecursionError as error:
        raise BrokenFile("nested too deeply", 0) from error
    return found


def read_json(text: bytes) -> list[Document]:
    """The one object of a JSON file, or those of its list. Raises `BrokenFile`."""
    try:
        return list(_opened(msgspec.json.decode(text), None))
    except (msgspec.DecodeError, RecursionError) as error:
        raise BrokenFile(str(error), 0) from error


def _opened(content: Any, node: yaml.Node | None) -> Iterator[Document]:
    if not isinstance(content, Mapping):
        return
    items = content.get("items")
    if not str(content.get("kind", "")).endswith("List") or not isinstance(items, list):
        yield Document(node.start_mark.line + 1 if node else 1, content)
        return
    nodes = _item_nodes(node)
    for position, item in enumerate(items):
        yield from _opened(item, nodes[position] if position < len(nodes) else None)


def _item_nodes(node: yaml.Node | None) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == "items":
                return list(value.value)
    return []


def _check_size(content: Any) -> None:
    """Raises ValueError for a document that is endless once its aliases are followed."""
    waiting, seen = [content], 0
    while waiting:
        value = waiting.pop()
        seen += 1
        if seen > VALUES_AT_MOST:
            raise ValueError("too many values behind its aliases")
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
