"""A record as a row of an export, which an import takes again."""

from __future__ import annotations

import base64
from typing import Any

from protocol.limits import DEFAULT_TTL_SECONDS
from protocol.records import DEFAULT_PERMISSIONS
from registry.replies import ListedRecord


def exported(listed: ListedRecord) -> dict[str, Any]:
    """The row of an active record or series: with its values, or with the version of its template and its data by
    index."""
    record = listed.record
    name = {"series" if listed.members else "identifier": listed.name}
    if record.template:
        values = [{"index": index, **_data(data)} for index, data in record.data]
        return name | {"template": record.template, "values": values}
    values = []
    for value in record.values:
        shown: dict[str, Any] = {"index": value.index, "type": value.type, **_data(value.data)}
        if value.ttl != DEFAULT_TTL_SECONDS:
            shown["ttl"] = value.ttl
        if value.permissions != DEFAULT_PERMISSIONS:
            shown["permissions"] = value.permissions
        if value.readers:
            shown["readers"] = list(value.readers)
        values.append(shown)
    return name | {"values": values}


def _data(data: bytes) -> dict[str, str]:
    try:
        return {"data": data.decode()}
    except UnicodeDecodeError:
        return {"data_base64": base64.b64encode(data).decode()}
