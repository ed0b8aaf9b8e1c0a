from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import BiaoshiError
from registry.importing import ImportOptions, Tuning
from tests.registry.importing.fakes import FakeRegistry, importing, read_report

_bits = [
    b"id",
    b",",
    b"\n",
    b"\r\n",
    b'"',
    b"88/1",
    b"URL",
    b"\t",
    b"\xff",
    "泵".encode(),
    "泵".encode("gb18030"),
    b"\0",
]
_json = [b'{"id":"88/1","URL":"u"}', b"\n", b"{", b"}", b'"values":[', b"]", b":1", b",", b"\xff", b"\\ud800", b'"']


@pytest.mark.parametrize(("suffix", "bits"), [("csv", _bits), ("ndjson", _json), ("xlsx", [b"PK\x03\x04", b"x"])])
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_no_file_gives_anything_but_a_typed_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, bits: list[bytes], data: st.DataObject
) -> None:
    pieces = data.draw(st.lists(st.sampled_from(bits) | st.binary(max_size=4), max_size=40))
    header = data.draw(st.sampled_from([b"", b"id,URL\n", b'{"id":"88/2","x":"y"}\n']))
    path = tmp_path_factory.getbasetemp() / f"any.{suffix}"
    path.write_bytes(header + b"".join(pieces))
    registry = FakeRegistry()
    try:
        summary = importing(path, registry, ImportOptions(), Tuning())
    except BiaoshiError:
        return
    assert summary.rows == summary.registered + summary.refused
    assert summary.registered == len(registry.records)
    if summary.report_path is not None:
        assert len(read_report(summary.report_path)) == summary.refused
