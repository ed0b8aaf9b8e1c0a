"""Answers as people and programs read them."""

from __future__ import annotations

import base64
import time
from typing import Any

from protocol.answers import Answer
from protocol.records import Record, Value
from protocol.status import Status
from protocol.trust import Proof


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer with its proof, for ``json.dumps``."""
    shown: dict[str, Any] = {
        "identifier": answer.identifier,
        "status": answer.status.label,
        "ttl": answer.ttl,
    }
    if answer.record is not None:
        shown |= record_json(answer.record)
    proof = answer.proof
    shown["proof"] = {
        "zone": proof.zone.prefix,
        "node": proof.key.node,
        "key_id": proof.key.key.id.hex(),
        "sealed_ms": proof.time,
        "sealed": _moment_ms(proof.time),
    }
    return shown


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
        lines += [f"  {value.index:>5}  {value.type:<10} {_printable(value)}" for value in answer.record.values]
        since = _moment_ms(answer.record.time * 1000)
        version = answer.record.version
        lines.append(f"  版本 {version}，登记于 {since}" if zh else f"  version {version}, registered {since}")
    else:
        lines.append(f"  {answer.status.sentence(language)}")
    lines.append(f"  {proof_text(answer.proof, language)}")
    return "\n".join(lines)


def proof_text(proof: Proof, language: str) -> str:
    """Who sealed it, and when, in one line."""
    sealed, zone, node = _moment_ms(proof.time), proof.zone.prefix or "(root)", proof.key.node
    key = proof.key.key.id.hex()
    if language == "zh":
        return f"✔ 已验证：区域 {zone} 的节点 {node} 于 {sealed} 签章（在线密钥 {key}）"
    return f"✔ verified: sealed {sealed} by {node} of zone {zone} (online key {key})"


def _value_json(value: Value) -> dict[str, Any]:
    shown: dict[str, Any] = {"index": value.index, "type": value.type}
    try:
        shown["data"] = value.data.decode()
    except UnicodeDecodeError:
        shown["data_base64"] = base64.b64encode(value.data).decode()
    shown["ttl"] = value.ttl
    return shown


def _printable(value: Value) -> str:
    """The data without control characters, which could drive a terminal."""
    return "".join(one if one.isprintable() else "�" for one in value.text)


def _moment_ms(moment: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment / 1000))
