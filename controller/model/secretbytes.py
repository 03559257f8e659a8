"""Bytes that must never be printed: private keys, tokens."""

from __future__ import annotations


class SecretBytes:
    """Holds secret bytes; `str`, `repr` and format show only that there are some. Equal when the bytes are equal."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes themselves. Call it only where they are used: parsing a key, writing its file."""
        return self._value

    def __repr__(self) -> str:
        return "SecretBytes(redacted)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretBytes) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> str:
        raise TypeError("SecretBytes cannot be pickled")
