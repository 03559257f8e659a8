"""Answers of the API server: refusals as errors of ours, and the stream of a watch as lines."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping

import msgspec

from controller.model.errors import (
    ApiConflict,
    ApiForbidden,
    ApiRefused,
    ApiUnavailable,
    HeadraceError,
    ResourceExpired,
)

_MESSAGE = 500
"""Characters of an answer that an error quotes."""


LONGEST_LINE = 32 << 20
"""Bytes. etcd takes objects of 1.5 MiB unless told otherwise; what is so much longer is none."""


class _Status(msgspec.Struct, frozen=True):
    """https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/"""

    message: str = ""


def fault_of(what: str, status: int, headers: Mapping[str, str], body: bytes) -> HeadraceError:
    """The error to raise for an answer that is not 2xx. `what` names the request."""
    text = f"{what}: {status} {_message(body)}".rstrip()
    match status:
        case 403:
            return ApiForbidden(text)
        case 409:
            return ApiConflict(text)
        case 410:
            return ResourceExpired(text)
        case 400 | 404 | 405 | 413 | 415 | 422:
            return ApiRefused(text, status)
    wait = headers.get("Retry-After", "")
    return ApiUnavailable(text, float(wait) if wait.isascii() and wait.isdigit() else None)


async def lines_of(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Whole lines without those that are empty. What has no end yet when the stream ends is dropped.

    Raises `ApiUnavailable` for a line longer than `LONGEST_LINE`.
    """
    rest = bytearray()
    async for chunk in chunks:
        rest += chunk
        if b"\n" not in chunk:
            if len(rest) > LONGEST_LINE:
                raise ApiUnavailable(f"a line of a watch has no end after {len(rest)} bytes")
            continue
        *whole, last = rest.split(b"\n")
        rest = bytearray(last)
        for line in whole:
            if line.strip():
                yield bytes(line)


def _message(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Status).message[:_MESSAGE]
    except msgspec.DecodeError:
        return body[:_MESSAGE].decode(errors="replace").strip()
