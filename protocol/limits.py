"""Every bound that a stranger can run into: name, unit, reason.

Both sides hold to them, and ``hello`` tells a client the ones it must keep.
"""

from __future__ import annotations

from typing import Final

PROTOCOL_VERSION: Final = 1
"""What HELLO agrees on."""

DEFAULT_PORT: Final = 26410
"""TCP and UDP port of the resolver; the registry listens on the next one."""

# Identifiers -----------------------------------------------------------------------------------------

MAX_IDENTIFIER_BYTES: Final = 480
"""Bytes of UTF-8. With the store's short prefix id it stays below LMDB's key limit of 511 bytes."""

MAX_PREFIX_BYTES: Final = 64
"""Bytes. The longest prefixes in use (11-digit enterprises below 4-digit secondaries) need about 20."""

# Records ---------------------------------------------------------------------------------------------

MAX_VALUES: Final = 1_000
"""Values in one record. Handle records in the field have below 50."""

MAX_INDEX: Final = 0xFFFF_FFFF
"""The greatest index of a value: an unsigned 32-bit integer in the Handle System (RFC 3651, section 3.1)."""

MAX_TYPE_CHARACTERS: Final = 128
"""Characters in a value's type: the limit of the nodes in the field."""

MAX_DATA_BYTES: Final = 16_384
"""Bytes in one value's data. A record names and points; documents live behind its URL."""

MAX_RECORD_BYTES: Final = 32_768
"""Bytes of an encoded record. Bounds what one small question can make a node send."""

MAX_READERS: Final = 64
"""Names in one value's list of readers: a group stands for more."""

MAX_TTL_SECONDS: Final = 172_800
"""Two days: clients in the field cap there."""

DEFAULT_TTL_SECONDS: Final = 86_400
"""One day, the Handle System's default (RFC 3651, section 3.1)."""

ABSENT_TTL_SECONDS: Final = 300
"""How long an absence may be remembered. Short, because registration is what follows (compare RFC 2308)."""

# Templates -------------------------------------------------------------------------------------------

MAX_TEMPLATE_VERSION: Final = 999_999
"""Versions of a prefix's template: six digits in its name."""

MAX_TEMPLATE_BYTES: Final = MAX_DATA_BYTES
"""Bytes of an encoded template: it is kept as one value of a record."""

MAX_TEMPLATE_ITEMS: Final = 200
"""Items of a template. Those in the field have below 50."""

MAX_PATTERN_CHARACTERS: Final = 256
"""Characters of an item's pattern."""

# Messages --------------------------------------------------------------------------------------------

MAX_MESSAGE_BYTES: Final = 1_048_576
"""Bytes of one request or response. A batch of 2,000 ordinary registrations needs 300 kB."""

MAX_BUNDLE_BYTES: Final = 16 * MAX_MESSAGE_BYTES
"""Bytes a client holds back while it waits for their seal; a server closes its bundles well before."""

MAX_MANY: Final = 1_000
"""Identifiers in one resolve-many."""

MAX_LIST: Final = 1_000
"""Identifiers in one page of a list."""

MAX_WRITES: Final = 10_000
"""Writes in one batch: one durable commit, some 50 ms of work for the single writer."""

MAX_SERIES_WRITES: Final = 1_000
"""Series in one batch: each is compared with what its prefix has, some fifty microseconds of the single writer."""

MAX_MINTED: Final = 2_000
"""Numbers in one block of a rule: each is looked up, 20 ms in all in which nothing else is answered."""

MAX_CHANGES: Final = 10_000
"""Changes in one page of the feed."""

MAX_WAIT_MS: Final = 30_000
"""Milliseconds that a question for changes may wait for news: well below the time after which firewalls forget silent
connections."""

MAX_CURSOR_BYTES: Final = 512
"""Bytes in a cursor that a client hands back."""

MAX_REPORT_BYTES: Final = 16_384
"""Bytes of one report upward: it is kept as one value of a record."""

# UDP -------------------------------------------------------------------------------------------------

MAX_DATAGRAM_BYTES: Final = 1_232
"""Bytes of one datagram: 1,280 (the least MTU of IPv6) less 48 of headers, as DNS settled on in 2020."""

MAX_AMPLIFICATION: Final = 3
"""An answer over UDP is at most this many times its request, as in QUIC (RFC 9000, section 8.1). A client
pads its request to leave room; what does not fit is answered by 14 unsealed bytes: ``TRUNCATED``."""

UDP_REQUEST_BYTES: Final = 411
"""Bytes to which a client pads a request, so that a full datagram may come back (1,232 / 3, rounded up)."""

# Trust -----------------------------------------------------------------------------------------------

CLOCK_TOLERANCE_MS: Final = 300_000
"""Milliseconds by which a seal's time may differ from the verifier's clock: five minutes, the skew that
Kerberos recommends (RFC 4120, section 5.4.2)."""

MAX_CHAIN: Final = 8
"""Delegations between the anchor and a zone. Top, secondary, enterprise are two; prefixes of 64 bytes
could hold more, the field does not."""

DELEGATION_TTL_SECONDS: Final = 600
"""How long a referral may be remembered: the time within which a revoked delegation is gone from all caches."""

MAX_STALE_SECONDS: Final = 86_400
"""How long beyond its TTL an answer may be used while all servers of its zone are down, unless configured otherwise: a
day, within what RFC 8767 (section 5) recommends."""

MAX_REQUEST_AGE_SECONDS: Final = 86_400
"""By how much the time at which a delegation request was made may differ from the parent's clock: an old one, shown
again by somebody else, must not bring old keys back."""

MAX_CODE_HOURS: Final = 720
"""Hours that a one-time code for a delegation request may be valid: a month."""

MAX_CODE_ATTEMPTS: Final = 20
"""Requests with a wrong code for one prefix before its code is void."""

MAX_KNOWN_DELEGATIONS: Final = 100_000
"""Delegations of which a verifier remembers the newest serial: 40 secondaries with all their enterprises, 100 MB."""

MAX_ONLINE_KEYS: Final = 16
"""Online keys that a node shows at one time: current and next of each serving machine."""

MAX_STATEMENT_BYTES: Final = 4_096
"""Bytes of one signed statement."""

MAX_PROOF_NODES: Final = 32
"""Hashes in an inclusion proof: a turn with more than four thousand million bundles does not happen."""
