"""Messages and data of the Handle protocol to search through."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from protocol.handle import answers, requests
from protocol.handle.administration import Administrator
from protocol.handle.codes import Flag, HashCode, Opcode, ResponseCode
from protocol.handle.credentials import Credential, Mac, Signature
from protocol.handle.digests import DIGEST_BYTES, Digest
from protocol.handle.envelope import Envelope, EnvelopeFlag
from protocol.handle.keys import OtherKey, RSAKey
from protocol.handle.messages import Header, Message
from protocol.handle.signed import Signed
from protocol.handle.sites import HashOption, Interface, Server, Serves, Site, Transport
from protocol.handle.values import HandleValue, Reference, TTLKind

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFF_FFFF)
text = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
octets = st.binary(max_size=40)

references = st.builds(Reference, text, u32)
values = st.builds(
    HandleValue,
    index=u32,
    type=text,
    data=octets,
    ttl=u32,
    ttl_kind=st.sampled_from(TTLKind),
    timestamp=u32,
    permissions=st.integers(0, 15),
    references=st.lists(references, max_size=2).map(tuple),
)
value_lists = st.lists(values, max_size=3).map(tuple)
texts = st.lists(text, max_size=4).map(tuple)
indexes = st.lists(u32, max_size=4).map(tuple)

digests = st.sampled_from(list(DIGEST_BYTES.items())).flatmap(
    lambda kind: st.binary(min_size=kind[1], max_size=kind[1]).map(lambda found: Digest(HashCode(kind[0]), found))
)
signatures = st.builds(Signature, text, octets)
credentials = st.none() | st.builds(
    Credential, signer=references, type=text, signature=signatures, version=u8, options=u16
)
macs = st.builds(Mac, st.sampled_from([kind for kind in HashCode if kind is not HashCode.PBKDF2_HMAC_SHA1]), octets)
derived_macs = st.builds(
    Mac, st.just(HashCode.PBKDF2_HMAC_SHA1), octets, octets, st.integers(0, 1_000_000), st.integers(0, 512)
)

_REQUESTS = {
    Opcode.RESOLVE: st.builds(requests.Resolve, text, indexes, texts),
    Opcode.SITE_INFO: st.builds(requests.AskSite, text),
    Opcode.CREATE: st.builds(requests.Create, text, value_lists),
    Opcode.DELETE: st.builds(requests.Delete, text),
    Opcode.ADD_VALUES: st.builds(requests.AddValues, text, value_lists),
    Opcode.REMOVE_VALUES: st.builds(requests.RemoveValues, text, indexes),
    Opcode.MODIFY_VALUES: st.builds(requests.ModifyValues, text, value_lists),
    Opcode.LIST: st.builds(requests.ListHandles, text),
    Opcode.ANSWER_CHALLENGE: st.builds(requests.AnswerChallenge, text, references, octets),
    Opcode.LOG_IN: st.builds(requests.LogIn, references),
    Opcode.SET_UP_SESSION: st.builds(answers.Opaque, octets),
    77_777: st.builds(answers.Opaque, octets),
}
_BODIES = {
    answers.Resolved: st.builds(answers.Resolved, text, value_lists),
    answers.SiteTold: st.builds(answers.SiteTold, octets),
    answers.Created: st.builds(answers.Created, st.none() | text),
    answers.Done: st.just(answers.Done()),
    answers.Listed: st.builds(answers.Listed, texts),
    answers.Challenge: st.builds(answers.Challenge, octets),
    answers.Referral: st.builds(answers.Referral, text, value_lists),
    answers.Failure: st.builds(answers.Failure, text),
    answers.Opaque: st.builds(answers.Opaque, octets),
}
_FLAGS = u32.map(lambda flags: flags & ~Flag.RETURN_DIGEST)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Any message."""
    opcode = draw(st.sampled_from(list(_REQUESTS)))
    code = draw(st.just(0) | st.sampled_from([*map(int, ResponseCode), 9_999]))
    digest = draw(st.none() | digests) if code else None
    asks = draw(st.booleans()) if not code else digest is not None
    flags = draw(_FLAGS) | (Flag.RETURN_DIGEST if asks else 0)
    body = draw(_BODIES[answers.form(opcode, code)] if code else _REQUESTS[opcode])
    return Message(Header(int(opcode), code, flags, draw(u16), draw(u8), draw(u32)), body, digest, draw(credentials))


envelopes = st.builds(
    Envelope,
    session=u32,
    request=u32,
    length=st.integers(0, 262_144),
    sequence=u32,
    flags=st.sampled_from([0, *EnvelopeFlag, 0xE0]),
    major=st.sampled_from([2, 3]),
    minor=u8,
    suggested_major=st.integers(0, 3),
    suggested_minor=u8,
)

_addresses = st.ip_addresses(v=4).map(IPv4Address) | st.ip_addresses(v=6).map(IPv6Address).filter(
    lambda one: not one.packed.startswith(bytes(12))
)
_interfaces = st.builds(Interface, st.sampled_from(Serves), st.sampled_from(Transport), u32)
_servers = st.builds(Server, u32, _addresses, octets, st.lists(_interfaces, max_size=3).map(tuple))
sites = st.builds(
    Site,
    serial=u16,
    servers=st.lists(_servers, max_size=2).map(tuple),
    attributes=st.lists(st.tuples(text, text), max_size=2).map(tuple),
    primary=st.booleans(),
    multi_primary=st.booleans(),
    hash_option=st.sampled_from(HashOption),
    hash_filter=text,
    version=st.tuples(u8, u8),
    format=u16,
)
keys = st.builds(RSAKey, st.integers(1, 1 << 4_096), st.integers(1, 1 << 64), u16) | st.builds(
    OtherKey, st.sampled_from(["DSA_PUB_KEY", "SM2_PUB_KEY", ""]), octets, u16
)
data = (
    st.tuples(st.just("HS_ADMIN"), st.builds(Administrator, u16, references))
    | st.tuples(st.just("HS_VLIST"), st.lists(references, max_size=4).map(tuple))
    | st.tuples(st.sampled_from(["HS_SITE", "hs_site", "HS_SITE.PREFIX"]), sites)
    | st.tuples(st.just("HS_PUBKEY"), keys)
    | st.tuples(st.sampled_from(["HS_CERT", "HS_SIGNATURE"]), st.builds(Signed, octets, octets, octets))
    | st.tuples(st.just("HS_ALIAS"), text)
    | st.tuples(st.sampled_from(["HS_SECKEY", "URL", "HS_SITES"]), octets)
)
"""Types of values with their data, taken apart."""
