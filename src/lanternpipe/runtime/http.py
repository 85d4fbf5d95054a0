"""A request for the port of metrics and probes as text, and what is answered. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

MOST_LINE = 2_048  # bytes of the first line
MOST_HEADERS = 64
MOST_HEAD = 8_192  # bytes of both, with what ends them

_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/([0-9])\.[0-9]")
# Control characters in a value are nobody's but an attacker's.
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")


class Request(NamedTuple):
    """What is asked for; names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]


class Answer(NamedTuple):
    """What is answered."""

    status: HTTPStatus
    kind: str
    body: bytes
    headers: tuple[str, ...] = ()


def parse(head: bytes) -> Request | HTTPStatus:
    """Return what is asked for by a head that ends with an empty line, or how it is refused."""
    line, *rest = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if len(line) > MOST_LINE:
        return HTTPStatus.REQUEST_URI_TOO_LONG
    if len(rest) > MOST_HEADERS:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    asked = _LINE.fullmatch(line)
    found = [_HEADER.fullmatch(each) for each in rest]
    if asked is None or None in found:
        return HTTPStatus.BAD_REQUEST
    if asked[3] != b"1":
        return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    try:
        path = urlsplit(asked[2].decode()).path
    except ValueError:  # as of http://[
        return HTTPStatus.BAD_REQUEST
    headers = {
        each[1].decode().lower(): each[2].decode("latin-1").rstrip() for each in found if each
    }
    return Request(asked[1].decode(), path, headers)


def credentials(headers: Mapping[str, str]) -> bytes | None:
    """Return the ``user:password`` of basic authentication; None where there is none."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(given.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None


def refusal(status: HTTPStatus, *headers: str) -> Answer:
    """Return an answer that says no more than its status does."""
    return Answer(status, "text/plain", f"{status.phrase}\n".encode(), headers)


def as_bytes(answer: Answer, *, head_only: bool = False) -> bytes:
    """Return an answer as it is sent."""
    lines = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        f"Date: {formatdate(usegmt=True)}",
        f"Content-Type: {answer.kind}",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *answer.headers,
    )
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if head_only else answer.body)
