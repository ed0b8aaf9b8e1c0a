"""Links and link sets: what is behind a key, as JSON (RFC 9264, section 4.2, in the form that GS1's resolver standard
gives it)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from protocol.errors import RecordError, Rule
from protocol.gs1.link_types import DEFAULT_LINK, address, relation, title
from protocol.status import Status

MEDIA_TYPE: Final = "application/linkset+json"

MAX_LINKS: Final = 1_000
"""Links in one context: one for each value that a record can have."""


def _rule(name: str, en: str, zh: str) -> Rule:
    return Rule(f"gs1-link.{name}", Status.BAD_RECORD, en, zh)


BAD_TARGET: Final = _rule(
    "bad-target",
    "'{href}' is no target of a link: it begins with http:// or https:// and a host, and what a URI cannot have is "
    "percent-encoded",
    "“{href}”不能作为链接目标：须以 http:// 或 https:// 及主机名开头，URI 不允许的字符须使用百分号编码",
)
BAD_LANGUAGE: Final = _rule(
    "bad-language",
    "'{language}' is no language of a link: two letters, and two more for the region where needed, as in zh or en-GB",
    "“{language}”不是链接语言：应为两个字母，必要时再加两个字母的地区，例如 zh、en-GB",
)
BAD_MEDIA_TYPE: Final = _rule(
    "bad-media-type",
    "'{type}' is no media type; it looks like text/html",
    "“{type}”不是媒体类型，正确写法如 text/html",
)
TOO_MANY: Final = _rule(
    "too-many", "there are {count} links; at most {limit} are allowed", "共有 {count} 个链接，超过上限 {limit} 个"
)
TWO_DEFAULTS: Final = _rule(
    "two-defaults",
    "there are {count} default links (gs1:defaultLink); there can be one, or several of gs1:defaultLinkMulti",
    "共有 {count} 个默认链接（gs1:defaultLink）；只能有一个，多个请使用 gs1:defaultLinkMulti",
)

_ONE: Final = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})"
"""A character of path, query or fragment (RFC 3986, section 3.3)."""

_TARGET: Final = re.compile(
    rf"https?://[A-Za-z0-9.][-A-Za-z0-9.]*(?::\d{{1,5}})?(?:[/?]{_ONE}*)?(?:#{_ONE}*)?", re.ASCII
)
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2}(?:-[A-Za-z]{2})?")
_MEDIA_TYPE: Final = re.compile(r"[A-Za-z0-9_]+/[-+.A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Link:
    """A link from a key to ``href``. ``languages`` are those of the target, ``contexts`` where or for whom it is meant,
    ``forward_query`` whether a request's query goes along, ``public`` whether the link may be shown to all; None where
    nothing is said. Without a title it is called after its relation."""

    relation: str
    href: str
    title: str = ""
    media_type: str = ""
    languages: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    forward_query: bool | None = None
    public: bool | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What links of one key go out from: ``anchor`` is its URI."""

    anchor: str
    description: str
    links: tuple[Link, ...]


def check_link(link: Link) -> None:
    """Raises :class:`RecordError` where a link could not stand in a link set."""
    relation(link.relation)
    _check_target(link.href)
    for language in link.languages:
        if not _LANGUAGE.fullmatch(language):
            raise RecordError(BAD_LANGUAGE, language=language[:100])
    if link.media_type and not _MEDIA_TYPE.fullmatch(link.media_type):
        raise RecordError(BAD_MEDIA_TYPE, type=link.media_type[:100])


def default_link(links: Sequence[Link]) -> Link | None:
    """Where a request without ``linkType`` goes: the link of ``gs1:defaultLink``, else the first; None without any.
    Raises :class:`RecordError` where several claim to be it."""
    named = [link for link in links if relation(link.relation) == DEFAULT_LINK]
    if len(named) > 1:
        raise RecordError(TWO_DEFAULTS, count=len(named))
    return named[0] if named else next(iter(links), None)


def link_set(contexts: Iterable[Context]) -> dict[str, Any]:
    """The link set of contexts, ready for JSON. Relations and links keep their order; each context has its default
    link, named as such. Raises :class:`RecordError`."""
    return {"linkset": [_context(one) for one in contexts]}


def _context(context: Context) -> dict[str, Any]:
    _check_target(context.anchor)
    if len(context.links) > MAX_LINKS:
        raise RecordError(TOO_MANY, count=len(context.links), limit=MAX_LINKS)
    shown: dict[str, Any] = {"anchor": context.anchor, "itemDescription": context.description}
    for link in context.links:
        check_link(link)
        shown.setdefault(address(link.relation), []).append(_target(link))
    default = default_link(context.links)
    if default is not None:
        shown.setdefault(address(DEFAULT_LINK), [_target(default)])
    return shown


def _target(link: Link) -> dict[str, Any]:
    target: dict[str, Any] = {"href": link.href, "title": link.title or title(link.relation)}
    said = {
        "type": link.media_type or None,
        "hreflang": list(link.languages) or None,
        "context": list(link.contexts) or None,
        "fwqs": link.forward_query,
        "public": link.public,
    }
    return target | {name: value for name, value in said.items() if value is not None}


def _check_target(href: str) -> None:
    if not _TARGET.fullmatch(href):
        raise RecordError(BAD_TARGET, href=href[:200])
