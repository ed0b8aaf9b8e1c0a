"""Answers as people and programs read them."""

from __future__ import annotations

import base64
import time
import unicodedata
from typing import Any, Final

from protocol.answers import Answer
from protocol.records import NOT_SHOWN, Record, State, Value
from protocol.status import Status
from protocol.trust import Proof, TrustAnchor
from resolver.client.resolving import Unanswered
from resolver.client.ways import Traced
from resolver.recursion.walk import Step

_ROOT: Final = "(root)"


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer with its proof, for ``json.dumps``."""
    shown: dict[str, Any] = {
        "identifier": answer.identifier,
        "status": answer.status.label,
        "ttl": answer.ttl,
    }
    if answer.record is not None:
        shown |= record_json(answer.record)
    if answer.age or answer.stale:
        shown |= {"age": answer.age, "stale": answer.stale}
    proof = answer.proof
    shown["proof"] = {
        "zone": proof.zone.prefix,
        "node": proof.key.node,
        "key_id": proof.key.key.id.hex(),
        "sealed_ms": proof.time,
        "sealed": _moment_ms(proof.time),
    }
    return shown


def unanswered_json(result: Unanswered, line: int, language: str) -> dict[str, Any]:
    """An identifier without an answer, with the number of its line, for ``json.dumps``."""
    error = result.error
    return {
        "identifier": result.identifier,
        "status": error.status.label,
        "line": line,
        "rule": error.rule.name,
        "error": error.message(language),
    }


def record_json(record: Record) -> dict[str, Any]:
    """A record, for ``json.dumps``."""
    return {
        "version": record.version,
        "time": record.time,
        "values": [_value_json(value) for value in record.values],
    }


def answer_text(answer: Answer, language: str) -> str:
    """An answer for a person."""
    zh = language == "zh"
    lines = [answer.identifier]
    if answer.status is Status.OK and answer.record is not None:
        lines += map(_value_text, answer.record.values)
        since = _moment_ms(answer.record.time * 1000)
        version = answer.record.version
        lines.append(f"  版本 {version}，登记于 {since}" if zh else f"  version {version}, registered {since}")
    else:
        lines.append(f"  {answer.status.sentence(language)}")
    if answer.stale:
        lines.append(
            f"  ! 区域服务器均不可用，此为 {answer.age} 秒前的应答，已超过其有效期" if zh
            else f"  ! stale: the zone's servers are down; this was said {answer.age} s ago"
        )  # fmt: skip
    lines.append(f"  {proof_text(answer.proof, language)}")
    return "\n".join(lines)


def trace_text(traced: Traced, server: str, anchor: TrustAnchor, milliseconds: float, language: str) -> str:
    """The steps to an answer, and what was verified of it, one a line."""
    answer, zh = traced.answer, language == "zh"
    proof = answer.proof
    lines: list[str] = []
    if traced.told:
        lines.append(f"递归节点 {server} 所述步骤：" if zh else f"what the recursive node {server} says of its steps:")
    lines += [f"  {_step_text(step, zh)}" for step in traced.steps]
    if not traced.steps:
        lines.append(f"  {proof.zone.prefix or _ROOT:<16} {server}")
    lines.append(
        f"{milliseconds:.2f} 毫秒，本机验证：" if zh else f"{milliseconds:.2f} ms in all; verified on this machine:"
    )
    lines.append(f"  {padded('信任锚' if zh else 'anchor', 12)} {anchor.prefix or _ROOT}, {anchor.key}")
    lines += [
        f"  {padded('授权' if zh else 'delegation', 12)} {link.parent or _ROOT} → {link.child}, serial {link.serial}"
        for link in proof.zone.delegations
    ]
    key, node, zone = proof.key.key.id.hex(), proof.key.node, proof.zone.prefix or _ROOT
    lines.append(f"  {padded('在线密钥' if zh else 'online key', 12)} {key} ({node}, {zone})")
    lines.append(f"  {padded('签章' if zh else 'seal', 12)} {_moment_ms(proof.time)}")
    lines.append(
        f"  {padded('应答' if zh else 'answer', 12)} {answer.status.label}{' (stale)' if answer.stale else ''}"
    )
    return "\n".join(f"  | {line}" for line in lines)


def _step_text(step: Step, zh: bool) -> str:
    zone = step.zone or _ROOT
    if step.cached:
        return f"{zone:<16} {'缓存' if zh else 'from cache'}  {_one_line(step.said)}"
    return f"{zone:<16} {step.server or '-'}  {step.seconds * 1_000:.2f} ms  {_one_line(step.said)}"


def _one_line(text: str) -> str:
    """Text of somebody else, without what could drive a terminal."""
    return "".join(one if one.isprintable() else "�" for one in text)


def padded(text: str, columns: int) -> str:
    """Text with spaces up to ``columns`` of a terminal, in which Chinese characters take two each (Unicode Standard
    Annex 11)."""
    taken = sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)
    return text + " " * (columns - taken)


def proof_text(proof: Proof, language: str) -> str:
    """Who sealed it, and when, in one line."""
    sealed, zone, node = _moment_ms(proof.time), proof.zone.prefix or _ROOT, proof.key.node
    key = proof.key.key.id.hex()
    if language == "zh":
        return f"✔ 已验证：区域 {zone} 的节点 {node} 于 {sealed} 签章（在线密钥 {key}）"
    return f"✔ verified: sealed {sealed} by {node} of zone {zone} (online key {key})"


def version_text(record: Record, language: str) -> str:
    """A version of a record for a person."""
    since = _moment_ms(record.time * 1000)
    head = f"版本 {record.version}，{since}" if language == "zh" else f"version {record.version}, {since}"
    if record.state is not State.ACTIVE:
        return f"{head}: {NOT_SHOWN[record.state].sentence(language)}"
    return "\n".join([head, *(_value_text(value) for value in record.values)])


def _value_text(value: Value) -> str:
    return f"  {value.index:>5}  {padded(value.type, 10)} {_printable(value)}"


def _value_json(value: Value) -> dict[str, Any]:
    shown: dict[str, Any] = {"index": value.index, "type": value.type}
    try:
        shown["data"] = value.data.decode()
    except UnicodeDecodeError:
        shown["data_base64"] = base64.b64encode(value.data).decode()
    shown["ttl"] = value.ttl
    return shown


def _printable(value: Value) -> str:
    """The data without control characters."""
    return _one_line(value.text)


def _moment_ms(moment: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment / 1000))
