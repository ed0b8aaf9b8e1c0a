"""The client's side of the API: where it is, how a key gets a token there, and requests for what commands do."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from protocol.errors import MessageError, NotVerified, Refused, Rule, SettingsError, Unreachable
from protocol.signatures import SigningKey
from protocol.status import Status
from registry.api.credentials import proof_bytes

TIMEOUT_SECONDS: Final = 20.0

PAGE: Final = 1_000
"""Entries of a list that are asked for at once."""

MAX_ANSWER_BYTES: Final = 16 << 20
"""Bytes of an answer: a page of a thousand entries has less than one million."""

_STATUSES: Final = {status.label: status for status in Status}

BAD_URL: Final = Rule(
    "api.bad-url",
    Status.SETTINGS,
    "'{url}' is no address of an API; it looks like https://node.example:26412",
    "“{url}”不是合法的 API 地址，应形如 https://node.example:26412",
)
NO_ANSWER: Final = Rule(
    "api.no-answer",
    Status.UNREACHABLE,
    "no API answers at {url}: {reason}. Is it enabled under [api], and is its certificate trusted (--ca)?",
    "{url} 的 API 无应答：{reason}。请确认 [api] 已启用，且其证书可信（--ca）",
)
OTHER_ZONE: Final = Rule(
    "api.other-zone",
    Status.NOT_VERIFIED,
    "the API at {url} is that of the zone '{zone}', not of '{expected}'; nothing was signed",
    "{url} 的 API 属于区域“{zone}”，而不是“{expected}”，未作签名",
)
API_REFUSED: Final = Rule("api.refused", Status.NOT_PERMITTED, "the API answered: {sentence}", "API 答复：{sentence}")
BAD_ANSWER: Final = Rule(
    "api.bad-answer",
    Status.BAD_REQUEST,
    "what answers at {url} is no API of a node",
    "{url} 的应答不是节点 API 的应答",
)


class ApiAddress:
    """Where an API is, and by which certificates (``ca``, a PEM file) it is known. Raises :class:`SettingsError`."""

    def __init__(self, url: str, ca: Path | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise SettingsError(BAD_URL, url=url)
        self.url = url
        try:
            self._host, self._port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
            self._context = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None
        except (ValueError, OSError) as error:
            raise SettingsError(NO_ANSWER, url=url, reason=str(error)) from None

    def token(self, key: SigningKey, zone: str, language: str = "en") -> str:
        """A token for ``key`` from the API of ``zone``. Raises :class:`~protocol.errors.BiaoshiError`."""
        begun = self.ask("POST", "/api/v1/sessions", {"key": str(key.public)}, language=language)
        try:
            name, told, challenge = begun["session"], begun["zone"], base64.b64decode(begun["challenge"])
            if told != zone:
                raise NotVerified(OTHER_ZONE, url=self.url, zone=str(told), expected=zone)
            signature = base64.b64encode(key.sign(proof_bytes(zone, challenge))).decode()
            proof = {"signature": signature}
            return str(self.ask("PUT", f"/api/v1/sessions/{name}", proof, language=language)["token"])
        except (KeyError, TypeError, ValueError):
            raise MessageError(BAD_ANSWER, url=self.url) from None

    def ask(self, method: str, path: str, body: object = None, *, token: str = "", language: str = "en") -> Any:
        """What the API answers to a request with a JSON ``body``; None where there is nothing to say. Raises
        :class:`Refused` for a problem, with its status and sentence, :class:`Unreachable`, :class:`MessageError`."""
        connection: http.client.HTTPConnection
        if self._context is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
        else:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=TIMEOUT_SECONDS, context=self._context
            )
        headers = {"Accept-Language": language}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            raw = response.read(MAX_ANSWER_BYTES)
            answer = json.loads(raw) if raw else None
        except (OSError, http.client.HTTPException) as error:  # a certificate that is not trusted is a ValueError, too
            raise Unreachable(NO_ANSWER, url=self.url, reason=str(error) or type(error).__name__) from None
        except ValueError:
            raise MessageError(BAD_ANSWER, url=self.url) from None
        finally:
            connection.close()
        if response.status >= 400:
            problem = answer if isinstance(answer, dict) else {}
            status = _STATUSES.get(str(problem.get("outcome")), API_REFUSED.status)
            raise Refused(API_REFUSED, status, sentence=str(problem.get("detail") or response.reason))
        return answer


class ApiClient:
    """An API with a token for it, whose sentences are in ``language``."""

    def __init__(self, address: ApiAddress, token: str, language: str) -> None:
        self._address = address
        self._token = token
        self._language = language

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer to one request; ``path`` goes on from ``/api/v1/``. Raises
        :class:`~protocol.errors.BiaoshiError`."""
        path = f"/api/v1/{path}"
        return self._address.ask(method, path, body, token=self._token, language=self._language)

    def pages(self, path: str, key: str) -> Iterator[dict[str, Any]]:
        """All entries of a list, page by page, that stand under ``key``. Raises the same."""
        cursor = ""
        while True:
            page = self.ask("GET", f"{path}?limit={PAGE}" + (f"&cursor={quoted(cursor)}" if cursor else ""))
            yield from page[key]
            cursor = page["cursor"]
            if cursor is None:
                return


def quoted(text: str) -> str:
    """A text as one segment of a path. What is no UTF-8 is sent as the bytes that it was."""
    return quote(text.encode("utf-8", "surrogateescape"), safe="")
