"""Wrong requests about enterprises, identities, templates, series and the like: each gets its status, the rule that it
breaks and a sentence that helps, and nothing is half done."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from registry.store.memory import MemoryStore
from tests.registry.api.settled import FRESH, PUMPS, SHUT, VALVES, settled, told
from tests.registry.api.test_wrong_requests import OK_BODY, OK_VALUE, check
from tests.registry.house import code
from tests.registry.store.builders import everything
from tests.resolver.servers import run

EVERY: Final = "/api/v1/enterprises"
ONE: Final = f"{EVERY}/{code(1)}"
NOBODY: Final = f"{EVERY}/{code(99)}"
PREFIX: Final = f"/api/v1/prefixes/{PUMPS}"
RECORD: Final = f"/api/v1/records/{PUMPS}/P1"
IDENTITIES: Final = "/api/v1/identities"
WRITER: Final = f"{PUMPS}/U.writer"
TOKENS: Final = f"/api/v1/tokens/{WRITER}"
TEMPLATES: Final = f"{PREFIX}/templates"
ITEM: Final = {"index": 2_000, "name": "LOT", "required": True, "pattern": "B[0-9]+", "indexed": True}
TEMPLATE: Final = {"name": "pump", "items": [ITEM]}
WHY: Final = {"reason": "示例"}
SERIES: Final = f"/api/v1/series/{PUMPS}/B-%7B01..99%7D"
RULE: Final = f"{PREFIX}/rules/r"
DAY: Final = 86_400


class Wrong(NamedTuple):
    """A request by somebody, and what it gets. ``says`` stands in the sentence."""

    name: str
    who: str
    method: str
    path: str
    status: int
    rule: str
    body: Any = None
    says: str = ""


def following(*values: Any) -> dict[str, Any]:
    """A record that follows the template."""
    return {"template": 1, "values": list(values)}


def identity(name: str, *roles: str) -> dict[str, Any]:
    """The body that makes an identity."""
    return {"name": name, "roles": list(roles)}


TABLE: Final = [
    # Tokens
    Wrong("a token that has ended", "brief", "GET", RECORD, 401, "permission.ended", says="another one issued"),
    Wrong("and writes", "brief", "PUT", RECORD, 401, "permission.ended", OK_BODY),
    Wrong("and asks about others", "brief", "GET", ONE, 401, "permission.ended"),
    Wrong("one that was revoked", "revoked", "GET", RECORD, 401, "identity.not-proven", says="revoked"),
    Wrong("and writes", "revoked", "PUT", RECORD, 401, "identity.not-proven", OK_BODY),
    Wrong("one of a disabled identity", "disabled", "PUT", RECORD, 401, "identity.not-proven", OK_BODY),
    Wrong("a mistyped one", "mistyped", "GET", RECORD, 401, "identity.not-proven"),
    Wrong("one cut short", "short", "GET", RECORD, 401, "identity.not-proven"),
    Wrong("one of another enterprise reads", "foreign", "GET", RECORD, 403, "rights.other-prefix", says=PUMPS),
    Wrong("and writes", "foreign", "PUT", RECORD, 403, "rights.other-prefix", OK_BODY),
    Wrong("and lists", "foreign", "GET", f"{PREFIX}/records", 403, "rights.other-prefix"),
    Wrong("and searches", "foreign", "GET", f"{PREFIX}/records:search?item=2000&data=B1", 403, "rights.other-prefix"),
    Wrong("and asks for history", "foreign", "GET", f"/api/v1/history/{PUMPS}/P1", 403, "rights.other-prefix"),
    Wrong("and exports", "foreign", "GET", f"{PREFIX}/records:export", 403, "rights.other-prefix"),
    Wrong("and suspends", "foreign", "POST", f"/api/v1/suspend/{PUMPS}/P1", 403, "rights.other-prefix"),
    Wrong("and mints", "foreign", "POST", f"{RULE}/mint", 403, "rights.other-prefix", {"count": 1}),
    Wrong("and asks for templates", "foreign", "GET", TEMPLATES, 403, "rights.other-prefix"),
    Wrong("and for policies", "foreign", "GET", f"{PREFIX}/policy", 403, "permission.not-allowed"),
    Wrong("and for its prefix", "foreign", "GET", PREFIX, 403, "permission.not-allowed"),
    Wrong("and for its identities", "foreign", "GET", f"{PREFIX}/identities", 403, "permission.not-allowed"),
    Wrong("and issues a token for one", "foreign", "POST", TOKENS, 403, "permission.not-allowed", {}),
    Wrong("a token for reading writes", "narrow", "PUT", f"/api/v1/records/{PUMPS}.7/P1", 403, "rights.other-prefix",
          OK_BODY),
    Wrong("and reads elsewhere", "narrow", "GET", RECORD, 403, "rights.other-prefix"),
    Wrong("and issues a token", "narrow", "POST", TOKENS, 403, "permission.not-allowed", {}),
    Wrong("a reader writes", "reader", "PUT", RECORD, 403, "rights.other-prefix", OK_BODY),
    Wrong("a writer makes templates", "writer", "POST", TEMPLATES, 403, "rights.other-prefix", TEMPLATE),
    Wrong("and sets policies", "writer", "PUT", f"{PREFIX}/policy", 403, "permission.not-allowed",
          {"versions": 1, "days": 1}),
    # Enterprises
    Wrong("an enterprise applies for another", "boss", "POST", EVERY, 403, "permission.not-allowed", told(9)),
    Wrong("and lists all", "boss", "GET", EVERY, 403, "permission.not-allowed"),
    Wrong("and looks at another", "boss", "GET", f"{EVERY}/{code(2)}", 403, "permission.not-allowed"),
    Wrong("who runs the node reviews", "admin", "POST", f"{ONE}/approve", 403, "permission.not-allowed",
          says="enterprise.review"),
    Wrong("an auditor allots", "auditor", "POST", f"{ONE}/prefixes", 403, "permission.not-allowed", {}),
    Wrong("a code that is none", "admin", "POST", EVERY, 400, "enterprise.credit-code", told(9, credit_code="9132")),
    Wrong("a mistyped code", "admin", "POST", EVERY, 400, "enterprise.credit-code-check",
          told(9, credit_code=code(9)[:-1] + ("0" if code(9)[-1] != "0" else "1"))),
    Wrong("a section that is none", "admin", "POST", EVERY, 400, "enterprise.industry-section", told(9, section="Z")),
    Wrong("a division of another", "admin", "POST", EVERY, 400, "enterprise.industry-division", told(9, division="01")),
    Wrong("a nature that is none", "admin", "POST", EVERY, 400, "api.bad-json", told(9, nature=6), "nature"),
    Wrong("no organisation", "admin", "POST", EVERY, 400, "api.bad-json", told(9, organisation="")),
    Wrong("a name of two lines", "admin", "POST", EVERY, 400, "api.bad-json", told(9, organisation="a\nb")),
    Wrong("nobody to ask", "admin", "POST", EVERY, 400, "api.bad-json", told(9, contact={})),
    Wrong("more than is asked", "admin", "POST", EVERY, 400, "api.bad-json", told(9, state="approved"), "state"),
    Wrong("a wish that is no prefix", "admin", "POST", EVERY, 400, "identifier.empty-segment", told(9, prefix="88..9")),
    Wrong("twice the same", "admin", "POST", EVERY, 409, "enterprise.duplicate", told(1), "approved"),
    Wrong("approved twice", "auditor", "POST", f"{ONE}/approve", 409, "enterprise.not-now"),
    Wrong("refused when approved", "auditor", "POST", f"{ONE}/refuse", 409, "enterprise.not-now", WHY),
    Wrong("refused without a reason", "auditor", "POST", f"{ONE}/refuse", 400, "api.bad-json", {"reason": ""}),
    Wrong("a body for what takes none", "auditor", "POST", f"{ONE}/approve", 400, "api.unexpected-body", WHY),
    Wrong("closed with a prefix", "admin", "POST", f"{ONE}/close", 409, "enterprise.has-prefixes", WHY, PUMPS),
    Wrong("one that is not there", "admin", "GET", NOBODY, 404, "enterprise.unknown"),
    Wrong("a code in the path that is none", "admin", "GET", f"{EVERY}/x", 400, "enterprise.credit-code"),
    Wrong("a code that is no text", "admin", "GET", f"{EVERY}/%ff", 400, "api.bad-path"),
    Wrong("a page that is none", "admin", "GET", f"{EVERY}?limit=1001", 400, "api.bad-query"),
    Wrong("a cursor that is too long", "admin", "GET", f"{EVERY}?cursor={'%E6%B3%B5' * 400}", 400, "api.bad-cursor"),
    # Prefixes
    Wrong("a prefix that was given", "admin", "POST", f"{ONE}/prefixes", 409, "prefix.taken", {"prefix": VALVES}),
    Wrong("one below it", "admin", "POST", f"{ONE}/prefixes", 409, "prefix.taken", {"prefix": f"{VALVES}.1"}),
    Wrong("one in another zone", "admin", "POST", f"{ONE}/prefixes", 400, "prefix.outside", {"prefix": "88.119.1"}),
    Wrong("the zone itself", "admin", "POST", f"{ONE}/prefixes", 400, "prefix.outside", {"prefix": "88.118"}),
    Wrong("one that is none", "admin", "POST", f"{ONE}/prefixes", 400, "identifier.empty-segment", {"prefix": "88..1"}),
    Wrong("for nobody", "admin", "POST", f"{NOBODY}/prefixes", 404, "enterprise.unknown", {}),
    Wrong("resumed when not suspended", "admin", "POST", f"{PREFIX}/resume", 409, "prefix.not-now", WHY, "hosted"),
    Wrong("delegated before the delegation", "admin", "POST", f"{PREFIX}/delegate", 409, "prefix.not-delegated"),
    Wrong("arrived before it left", "admin", "POST", f"{PREFIX}/arrive", 409, "prefix.not-now"),
    Wrong("suspended by its own", "boss", "POST", f"{PREFIX}/suspend", 403, "permission.not-allowed", WHY),
    Wrong("moved nowhere", "admin", "POST", f"{PREFIX}/transfer", 400, "api.bad-json", WHY, "to"),
    Wrong("one nobody has", "admin", "GET", "/api/v1/prefixes/88.118.9", 404, "prefix.unknown"),
    Wrong("writing to a suspended one", "owner", "PUT", f"/api/v1/records/{SHUT}/P1", 403, "rights.suspended", OK_BODY,
          "质量问题"),
    Wrong("a series there", "owner", "PUT", f"/api/v1/series/{SHUT}/B-%7B01..99%7D", 403, "rights.suspended", OK_BODY),
    Wrong("a template there", "owner", "POST", f"/api/v1/prefixes/{SHUT}/templates", 403, "rights.suspended", TEMPLATE),
    Wrong("writing to one not opened", "owner", "PUT", f"/api/v1/records/{FRESH}/P1", 403, "rights.not-open", OK_BODY),
    Wrong("a policy of too much", "boss", "PUT", f"{PREFIX}/policy", 400, "api.bad-json", {"versions": 101, "days": 1}),
    Wrong("a policy of no days", "boss", "PUT", f"{PREFIX}/policy", 400, "api.bad-json", {"versions": 1, "days": 0}),
    # Identities
    Wrong("one nowhere", "admin", "POST", IDENTITIES, 400, "identity.no-place", identity("88.118.77/U.x", "reader")),
    Wrong("one of another enterprise", "boss", "POST", IDENTITIES, 403, "permission.not-allowed",
          identity(f"{VALVES}/U.x", "reader")),
    Wrong("staff of the node by an enterprise", "boss", "POST", IDENTITIES, 403, "permission.not-allowed",
          identity("88.118/U.x", "node-administrator")),
    Wrong("a role of the node in an enterprise", "boss", "POST", IDENTITIES, 400, "identity.foreign-role",
          identity(f"{PUMPS}/U.x", "auditor")),
    Wrong("a role that is none", "boss", "POST", IDENTITIES, 400, "api.bad-json", identity(f"{PUMPS}/U.x", "king")),
    Wrong("no role", "boss", "POST", IDENTITIES, 400, "api.bad-json", identity(f"{PUMPS}/U.x")),
    Wrong("no name", "boss", "POST", IDENTITIES, 400, "identifier.no-slash", identity("U.x", "reader")),
    Wrong("one that is there", "boss", "POST", IDENTITIES, 409, "identity.exists", identity(WRITER, "reader")),
    Wrong("one that is not there", "boss", "GET", f"{IDENTITIES}/{PUMPS}/U.x", 404, "identity.unknown"),
    Wrong("one's own roles", "boss", "PATCH", f"{IDENTITIES}/{PUMPS}/U.boss", 403, "identity.own-rights",
          {"disabled": True}),
    Wrong("a change of nobody", "boss", "PATCH", f"{IDENTITIES}/{PUMPS}/U.x", 404, "identity.unknown", {"title": "x"}),
    Wrong("a change by a writer", "writer", "PATCH", f"{IDENTITIES}/{WRITER}", 403, "permission.not-allowed",
          {"roles": ["enterprise-administrator"]}),
    Wrong("a token for days without end", "boss", "POST", TOKENS, 400, "api.bad-json", {"days": 4_000}),
    Wrong("a token for no days", "boss", "POST", TOKENS, 400, "api.bad-json", {"days": 0}),
    Wrong("a token for days that are none", "boss", "POST", TOKENS, 400, "api.bad-json", b'{"days":1e999}'),
    Wrong("a token for elsewhere", "boss", "POST", TOKENS, 400, "identity.no-scope", {"prefixes": [VALVES]}),
    Wrong("a token for what nobody knows", "boss", "POST", TOKENS, 400, "api.bad-json", {"operations": ["all"]}),
    Wrong("a token for nobody", "boss", "POST", f"/api/v1/tokens/{PUMPS}/U.x", 404, "identity.unknown", {}),
    Wrong("a token of staff by an enterprise", "boss", "POST", "/api/v1/tokens/88.118/U.admin", 403,
          "permission.not-allowed", {}),
    Wrong("a key that is none", "boss", "POST", f"/api/v1/keys/{WRITER}", 400, "key.malformed", {"key": "x"}),
    Wrong("a password that is short", "boss", "PUT", f"/api/v1/passwords/{WRITER}", 400, "api.bad-json",
          {"password": "geheim"}),
    Wrong("a password of another enterprise", "foreign", "PUT", f"/api/v1/passwords/{WRITER}", 403,
          "permission.not-allowed", {"password": "correct horse battery"}),
    Wrong("revoking what is not there", "boss", "DELETE", f"/api/v1/credentials/token-0/{WRITER}", 404,
          "identity.no-credential"),
    Wrong("revoking of another enterprise", "foreign", "DELETE", f"/api/v1/credentials/token-0/{WRITER}", 403,
          "permission.not-allowed"),
    Wrong("a group with a member that is none", "boss", "PUT", f"/api/v1/groups/{PUMPS}/G.x", 400,
          "identity.bad-member", {"members": ["88.118.ab/U.x"]}),
    Wrong("a group named as an identity", "boss", "PUT", f"/api/v1/groups/{WRITER}", 409, "identity.exists",
          {"members": []}),
    Wrong("a group that is not there", "boss", "GET", f"/api/v1/groups/{PUMPS}/G.y", 404, "identity.no-group"),
    Wrong("taking one away that is not there", "boss", "DELETE", f"/api/v1/groups/{PUMPS}/G.y", 404,
          "identity.no-group"),
    # The audit log
    Wrong("the log for an enterprise", "boss", "GET", "/api/v1/audit", 403, "permission.not-allowed"),
    Wrong("the whole of it", "boss", "GET", "/api/v1/audit:export", 403, "permission.not-allowed"),
    Wrong("its head", "boss", "GET", "/api/v1/audit:head", 403, "permission.not-allowed"),
    Wrong("an entry below none", "auditor", "GET", "/api/v1/audit?start=-1", 400, "api.bad-query"),
    Wrong("writing to it", "admin", "POST", "/api/v1/audit", 405, "api.no-method", {}),
    # Templates
    Wrong("a version of none", "boss", "PUT", f"{TEMPLATES}/0", 400, "api.bad-version", TEMPLATE),
    Wrong("a version too high", "boss", "PUT", f"{TEMPLATES}/9999999", 400, "api.bad-version", TEMPLATE),
    Wrong("a version that is text", "boss", "GET", f"{TEMPLATES}/last", 400, "api.bad-version", says="last"),
    Wrong("a template that is not there", "boss", "GET", f"{TEMPLATES}/7", 404, "template.no-such"),
    Wrong("one that is there, changed", "boss", "PUT", f"{TEMPLATES}/1", 409, "template.fixed",
          {"name": "pump", "items": [{**ITEM, "required": False}]}),
    Wrong("no items", "boss", "POST", TEMPLATES, 422, "template.not-usable", {"name": "x", "items": []}),
    Wrong("an index too low", "boss", "POST", TEMPLATES, 400, "api.bad-json",
          {"name": "x", "items": [{**ITEM, "index": 1_999}]}),
    Wrong("an index twice", "boss", "POST", TEMPLATES, 422, "template.not-usable", {"name": "x", "items": [ITEM,
          {**ITEM, "name": "B"}]}),
    Wrong("a pattern that runs for ever", "boss", "POST", TEMPLATES, 422, "template.not-usable",
          {"name": "x", "items": [{**ITEM, "pattern": "(a+)+$"}]}),
    Wrong("braces that do not fit", "boss", "POST", TEMPLATES, 422, "template.not-usable",
          {"name": "x", "items": [{"index": 2_000, "name": "U", "computed": "https://x/{suffix"}]}),
    Wrong("disabling what is not there", "boss", "POST", f"{TEMPLATES}/1/disable", 400, "template.no-item",
          {"items": ["COLOUR"]}, "LOT"),
    Wrong("a record without what is required", "boss", "PUT", RECORD, 422, "template.not-followed", following(), "LOT"),
    Wrong("one that does not match", "boss", "PUT", RECORD, 422, "template.not-followed",
          following({"index": 2_000, "data": "x"}), "B[0-9]+"),
    Wrong("one with more than there is", "boss", "PUT", RECORD, 422, "template.not-followed",
          following({"index": 2_000, "data": "B1"}, {"index": 2_001, "data": "x"}), "2001"),
    Wrong("an index twice in one", "boss", "PUT", RECORD, 422, "template.not-followed",
          following({"index": 2_000, "data": "B1"}, {"index": 2_000, "data": "B2"}), "2000"),
    Wrong("one with a type of its own", "boss", "PUT", RECORD, 422, "record.data-alone",
          following({**OK_VALUE, "index": 2_000})),
    Wrong("one of a version that is not there", "boss", "PUT", RECORD, 422, "template.no-such",
          {"template": 9, "values": []}),
    Wrong("a type missing without a template", "boss", "PUT", RECORD, 422, "record.no-type",
          {"values": [{"index": 1, "data": "x"}]}),
    Wrong("a reader that is none", "boss", "PUT", RECORD, 422, "record.bad-reader",
          {"values": [{**OK_VALUE, "readers": ["88..1/x"]}]}),
    Wrong("a search for nothing", "boss", "GET", f"{PREFIX}/records:search", 400, "api.bad-query", says="item"),
    Wrong("history of what is not there", "boss", "GET", f"/api/v1/history/{PUMPS}/none", 404, "api.not-registered"),
    Wrong("a time that is none", "boss", "GET", f"/api/v1/history/{PUMPS}/P1?at=yesterday", 400, "api.bad-query"),
    Wrong("before anything was", "boss", "GET", f"/api/v1/history/{PUMPS}/there07?at=5", 404, "api.not-registered"),
    # Series and numbers
    Wrong("a series that is none", "boss", "PUT", f"/api/v1/series/{PUMPS}/B-1", 400, "series.no-pattern", OK_BODY),
    Wrong("one that ends before it begins", "boss", "PUT", f"/api/v1/series/{PUMPS}/B-%7B9..1%7D", 400,
          "series.nothing-in-it", OK_BODY),
    Wrong("one of two widths", "boss", "PUT", f"/api/v1/series/{PUMPS}/B-%7B1..99%7D", 400, "series.other-width",
          OK_BODY),
    Wrong("one that meets another", "boss", "PUT", f"/api/v1/series/{PUMPS}/B-%7B50..60%7D", 409,
          "series.stands-in-the-way", OK_BODY, "B-{01..99}"),
    Wrong("one that meets a record", "boss", "PUT", f"/api/v1/series/{PUMPS}/there%7B01..99%7D", 409,
          "series.stands-in-the-way", OK_BODY, "there07"),
    Wrong("one with other content", "boss", "PUT", SERIES, 409, "api.not-carried-out", {"values": [{**OK_VALUE,
          "data": "other"}]}),
    Wrong("one that is not there", "boss", "GET", f"/api/v1/series/{PUMPS}/X-%7B01..99%7D", 404, "api.not-registered"),
    Wrong("withdrawing it", "boss", "DELETE", f"/api/v1/series/{PUMPS}/X-%7B01..99%7D", 404, "api.not-registered"),
    Wrong("suspending what is not there", "boss", "POST", f"/api/v1/suspend/{PUMPS}/none", 404, "api.not-registered"),
    Wrong("a rule that is none", "boss", "PUT", f"{PREFIX}/rules/x", 400, "series.no-pattern", {"text": "B"}),
    Wrong("a rule whose name is none", "boss", "PUT", f"{PREFIX}/rules/a%20b", 422, "minting.bad-name",
          {"text": "Z{01..99}"}),
    Wrong("a rule in no time zone", "boss", "PUT", f"{PREFIX}/rules/x", 422, "minting.bad-time-zone",
          {"text": "Z{01..99}", "zone": "Mars/Base"}),
    Wrong("a rule that meets another", "boss", "PUT", f"{PREFIX}/rules/x", 409, "minting.meets",
          {"text": "M{00..50}"}),
    Wrong("numbers of no rule", "boss", "POST", f"{PREFIX}/rules/none/mint", 404, "minting.no-rule", {"count": 1}),
    Wrong("no numbers", "boss", "POST", f"{RULE}/mint", 400, "api.bad-json", {"count": 0}),
    Wrong("too many at once", "boss", "POST", f"{RULE}/mint", 400, "api.bad-json", {"count": 2_001}),
]  # fmt: skip


def test_every_wrong_request_gets_what_it_should_and_changes_nothing() -> None:
    async def main() -> None:
        store = MemoryStore()
        async with settled(store) as town:
            await town.ask("boss", "POST", TEMPLATES, TEMPLATE)
            await town.ask("boss", "PUT", SERIES, OK_BODY)
            await town.ask("boss", "PUT", RULE, {"text": "M{00..99}"})
            await town.ask("boss", "PUT", f"/api/v1/records/{PUMPS}/there07", OK_BODY)
            town["mistyped"], town["short"] = town["boss"][:-1] + "!", town["boss"][:-1]
            town.api.clock.now += DAY + 1
            town["owner"] = await town.api.token()
            before = everything(store)
            failed = []
            for row in TABLE:
                async with town.client(row.who) as client:
                    reply = await client.ask(row.method, row.path, row.body)
                    try:
                        check(reply, row.status, row.rule, row.says)
                        assert everything(store) == before
                    except AssertionError as error:
                        failed.append(f"{row.name}: {reply} {error}")
            assert not failed, "\n".join(failed)

    run(main(), seconds=60)


def test_the_table_names_each_row_once() -> None:
    assert len({(row.name, row.path, row.who) for row in TABLE}) == len(TABLE)
    assert len(TABLE) >= 100
