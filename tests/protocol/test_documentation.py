"""docs/protocol.md says what the code does: its tables, its example, its layouts."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest

from protocol.challenges import READ_CONTEXT
from protocol.errors import Rule
from protocol.messages import Op
from protocol.records import DEFAULT_PERMISSIONS
from protocol.reports import REPORT_CONTEXT
from protocol.seals import CONTEXT
from protocol.signatures import NAMES
from protocol.statements import DELEGATION_CONTEXT, ONLINE_KEY_CONTEXT, REQUEST_CONTEXT
from protocol.succession import CONTEXT as SUCCESSION_CONTEXT
from registry.audit.chain import CHAIN_CONTEXT, HEAD_CONTEXT
from registry.codes import ASK_CONTEXT, KEY_CONTEXT
from registry.delegations import UNDER_WAY
from registry.rights import COPY_CONTEXT, PROVE_CONTEXT
from registry.statistics.rules import NOT_DELEGATED
from tests.protocol import plain
from tests.protocol.documentation import PAGE, limits_table, status_table
from tests.vectors.actors import SECONDARY
from tests.vectors.load import load

TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLE = TEXT[TEXT.index("## A worked example") :]


@pytest.mark.parametrize(("name", "table"), [("statuses", status_table()), ("limits", limits_table())])
def test_tables_are_those_of_the_code(name: str, table: str) -> None:
    match = re.search(rf"<!-- {name}: [^>]*-->\n(.*?)\n<!-- end -->", TEXT, re.DOTALL)
    assert match is not None
    assert match.group(1) == table, f"the table should be:\n{table}"


def test_every_operation_is_described() -> None:
    for op in Op:
        assert f"| {op.value} | `{op.name}` |" in TEXT
        assert re.search(rf"\*\*{op.name}\*\* `\[{op.value}, rid|`\[{op.value}, rid", TEXT), op.name


def test_every_rule_that_is_named_exists() -> None:
    rooms = "reading|identifier|record|message|trust|rights|report|statement|delegating"
    named = set(re.findall(rf"`\[?\"?((?:{rooms})\.[a-z0-9-]+)", TEXT))
    assert len(named) > 20
    assert named <= set(Rule.known)
    assert NOT_DELEGATED.name in named


def test_all_rules_of_identifiers_are_there() -> None:
    for name in Rule.known:
        if name.startswith("identifier."):
            assert f"`{name}`" in TEXT, name


def test_all_rules_of_delegating_are_there_with_their_status() -> None:
    told = dict(re.findall(r"^\| `([a-z]+\.[a-z-]+)` \| `([A-Z_]+)` \|", TEXT, re.MULTILINE))
    assert {name: Rule.known[name].status.name for name in told} == told
    assert {name for name in Rule.known if name.startswith("delegating.")} - set(told) == {UNDER_WAY.name}
    assert f"`{UNDER_WAY.status.name}`, `{UNDER_WAY.name}`" in TEXT


def test_contexts() -> None:
    contexts = (
        CONTEXT,
        DELEGATION_CONTEXT,
        ONLINE_KEY_CONTEXT,
        REQUEST_CONTEXT,
        PROVE_CONTEXT,
        COPY_CONTEXT,
        READ_CONTEXT,
        ASK_CONTEXT,
        KEY_CONTEXT,
        SUCCESSION_CONTEXT,
        REPORT_CONTEXT,
        CHAIN_CONTEXT,
        HEAD_CONTEXT,
    )
    for context in contexts:
        assert f'"{context[:-1].decode()}" ‖ 00' in TEXT
        assert context.endswith(b" 1\x00")


def test_algorithms_and_defaults() -> None:
    assert NAMES == {1: "ed25519"}
    assert "| 1 Ed25519 | 32 bytes | 64 bytes |" in TEXT
    assert f"by default {int(DEFAULT_PERMISSIONS)} |" in TEXT


def test_the_contents_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in TEXT.splitlines()
        if line.startswith("#")
    }
    for link in re.findall(r"\]\(#([a-z0-9-]+)\)", TEXT):
        assert link in headings


def blocks() -> list[str]:
    """The blocks of the example, blanks left out."""
    return ["".join(block.split()) for block in re.findall(r"```\n(.*?)```", EXAMPLE, re.DOTALL)]


def test_the_example_is_the_vector() -> None:
    vector = load("receipt")["good"][0]
    assert blocks()[:3] == [vector["request"], vector["response"], vector["seal"]]
    request, response, seal = (bytes.fromhex(one) for one in blocks()[:3])
    said = blocks()[3]
    asked_hash, said_hash = sha256(request), sha256(response)
    leaf = sha256(b"\x00" + asked_hash.digest() + said_hash.digest()).digest()
    signed = CONTEXT + vector["time"].to_bytes(8, "big") + (1).to_bytes(8, "big") + leaf
    for shown in (asked_hash.hexdigest(), said_hash.hexdigest(), leaf.hex(), signed.hex()):
        assert shown in said
    public = SECONDARY.online.public
    assert said.endswith(f"onlinekey{public.raw.hex()}")
    assert plain.verifies(public.raw, seal[-64:], signed)
    assert plain.seal_holds([request], [response], seal, public.raw)


def test_the_pieces_of_the_example_are_pieces_of_it() -> None:
    request, response, seal, _ = blocks()
    tables = re.findall(r"\| bytes \| \|\n\|---\|---\|\n((?:\|.*\n)+)", EXAMPLE)
    for table, whole in zip(tables, (request, response, seal), strict=True):
        first_column = "".join(row.split(" | ")[0] for row in table.splitlines())
        pieces = "".join(re.findall(r"`([0-9a-f …]+)`", first_column)).replace(" ", "")
        assert re.fullmatch(pieces.replace("…", "[0-9a-f]*"), whole), pieces
