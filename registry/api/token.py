"""The client's side of getting a token: prove a key to the API of a node."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from protocol.errors import MessageError, NotVerified, Refused, Rule, SettingsError, Unreachable
from protocol.signatures import SigningKey
from protocol.status import Status
from registry.api.credentials import proof_bytes

TIMEOUT_SECONDS: Final = 20.0

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
        begun = self._ask("POST", "/api/v1/sessions", {"key": str(key.public)}, language)
        try:
            name, told, challenge = begun["session"], begun["zone"], base64.b64decode(begun["challenge"])
            if told != zone:
                raise NotVerified(OTHER_ZONE, url=self.url, zone=str(told), expected=zone)
            signature = base64.b64encode(key.sign(proof_bytes(zone, challenge))).decode()
            return str(self._ask("PUT", f"/api/v1/sessions/{name}", {"signature": signature}, language)["token"])
        except (KeyError, TypeError, ValueError):
            raise MessageError(BAD_ANSWER, url=self.url) from None

    def _ask(self, method: str, path: str, body: object, language: str) -> Any:
        connection: http.client.HTTPConnection
        if self._context is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
        else:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=TIMEOUT_SECONDS, context=self._context
            )
        headers = {"Content-Type": "application/json", "Accept-Language": language}
        try:
            connection.request(method, path, json.dumps(body), headers)
            response = connection.getresponse()
            answer = json.loads(response.read(1 << 20))
        except ValueError:
            raise MessageError(BAD_ANSWER, url=self.url) from None
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(NO_ANSWER, url=self.url, reason=str(error) or type(error).__name__) from None
        finally:
            connection.close()
        if response.status >= 400:
            sentence = answer.get("detail") if isinstance(answer, dict) else None
            raise Refused(API_REFUSED, API_REFUSED.status, sentence=str(sentence or response.reason))
        return answer
