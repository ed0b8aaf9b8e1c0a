"""The child's side: a request from the configuration, and the chain from the parent into its file."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final, NamedTuple

from config.keyfiles import AnchorFile, read_anchor, read_delegations, read_secret, write_anchor, write_whole
from config.places import NoNodeRuns, registry_address, resolver_address
from config.settings import Settings
from protocol.address import parse_address
from protocol.errors import BiaoshiError, MessageError, NotVerified, Refused, Rule, SettingsError, Unreachable
from protocol.identifiers import normal_zone_text
from protocol.limits import DEFAULT_PORT
from protocol.signatures import PublicKey, SigningKey
from protocol.statements import Address, DelegationRequest, read_delegation
from protocol.status import Status
from protocol.trust import TrustAnchor, Zone, verify_zone
from registry.client import RegistryClient

BAD_ADDRESS = Rule(
    "delegate.bad-address",
    Status.SETTINGS,
    "'{text}' is no address of a node; write HOST:PORT, HOST:PORT/UDP-PORT, with ,tls behind it for TLS",
    "“{text}”不是合法的节点地址，应写成 主机:端口 或 主机:端口/UDP端口，TLS 在其后加 ,tls",
)
NO_ZONE_KEY = Rule(
    "delegate.no-zone-key",
    Status.SETTINGS,
    "the configuration names no zone key; write the public key that 'biaoshi key {path}' prints under [keys] zone",
    "配置中没有区域公钥，请将 biaoshi key {path} 显示的公钥写入 [keys] zone",
)
OTHER_ZONE_KEY = Rule(
    "delegate.not-first-key",
    Status.SETTINGS,
    "{path} is not the secret half of the first key under [keys] zone",
    "{path} 不是 [keys] zone 中第一把公钥对应的私钥",
)
OWN_ANCHOR = Rule(
    "delegate.own-anchor",
    Status.SETTINGS,
    "{path} is the anchor of this node's own zone; name that of the zone where trust begins with --anchor",
    "{path} 是本节点自身区域的信任锚，请用 --anchor 指定信任起点的锚",
)
NOT_OURS = Rule(
    "delegate.not-ours",
    Status.NOT_VERIFIED,
    "the parent delegates '{zone}' to other keys than this node's; ask for it anew with 'biaoshi delegate ask'",
    "上级授权“{zone}”所用的密钥不是本节点的，请用 biaoshi delegate ask 重新申请",
)
NOT_GIVEN = Rule(
    "delegate.not-given",
    Status.NOT_FOUND,
    "the parent '{parent}' does not delegate '{zone}': not yet, or not any more",
    "上级“{parent}”没有授权“{zone}”：尚未签发或已撤销",
)
OLDER = Rule(
    "delegate.older",
    Status.NOT_VERIFIED,
    "the parent shows a delegation of '{zone}' with serial {serial}; serial {known} is here already",
    "上级给出的“{zone}”授权序号为 {serial}，而本地已有 {known}",
)


TAKE_UP_SECONDS: Final = 10.0
"""How long a running node may take to show a new chain: it looks at its files once a second."""


class Chain(NamedTuple):
    """A chain that was fetched and verified, and whether it is another than the one that is there."""

    zone: Zone
    changed: bool


def node_address(text: str) -> Address:
    """Read ``HOST:PORT[/UDP-PORT][,tls]``; UDP has the same port where none is named, and 0 is none. Raises
    :class:`SettingsError`."""
    plain, comma, tls = text.partition(",")
    where, slash, udp = plain.partition("/")
    if (comma and tls != "tls") or (slash and not (udp.isascii() and udp.isdecimal() and int(udp) <= 65_535)):
        raise SettingsError(BAD_ADDRESS, text=text)
    host, port = parse_address(where)
    return Address(host, port, int(udp) if slash else port, bool(comma))


def address_text(address: Address) -> str:
    """The same form, from an address."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    udp = "" if address.udp_port == address.tcp_port else f"/{address.udp_port}"
    return f"{host}:{address.tcp_port}{udp}{',tls' if address.tls else ''}"


def make_request(settings: Settings, zone_key: Path, addresses: list[Address], now: int) -> bytes:
    """A signed request for the node's zone under the keys of its configuration. Raises :class:`SettingsError`,
    :class:`~config.keyfiles.BadKeyFile`."""
    keys = tuple(PublicKey.parse(text) for text in settings.keys.zone)
    if not keys:
        raise SettingsError(NO_ZONE_KEY, path=str(zone_key))
    signer = SigningKey(read_secret(zone_key))
    if signer.public != keys[0]:
        raise SettingsError(OTHER_ZONE_KEY, path=str(zone_key))
    return DelegationRequest(normal_zone_text(settings.node.prefix), keys, tuple(addresses), now).sign(signer)


def trusted_anchor(settings: Settings, anchor: Path | None) -> tuple[TrustAnchor, AnchorFile]:
    """The anchor from which a node's chain is to lead down: the one given, or the node's. Raises
    :class:`SettingsError`, :class:`~config.keyfiles.BadKeyFile`."""
    path = anchor or settings.path("anchor.toml")
    file = read_anchor(path)
    trust = TrustAnchor.parse(*file)
    if trust.prefix == normal_zone_text(settings.node.prefix):
        raise SettingsError(OWN_ANCHOR, path=str(path))
    return trust, file


def parent_client(parent: str, anchor: TrustAnchor, timeout: float = 20.0) -> RegistryClient:
    """A connection to a parent's registry, without a key. Raises :class:`SettingsError`."""
    host, port = parse_address(parent, DEFAULT_PORT + 1)
    return RegistryClient(host, port, anchor=anchor, key=None, timeout=timeout)


async def fetch(settings: Settings, parent: str, anchor: Path | None) -> Chain:
    """Get the chain down to the node's zone from its parent, verify it from the anchor and put it in its file; the
    node's anchor becomes the one it was verified from. Raises :class:`~protocol.errors.BiaoshiError`,
    :class:`~config.keyfiles.BadKeyFile`."""
    trust, file = trusted_anchor(settings, anchor)
    zone = normal_zone_text(settings.node.prefix)
    async with parent_client(parent, trust) as client:
        try:
            statements = await client.chain_to(zone)
        except Refused as refused:
            if refused.status is not Status.NOT_FOUND:
                raise
            raise Refused(NOT_GIVEN, NOT_GIVEN.status, zone=zone, parent=client.zone.prefix) from None
    path = settings.path(settings.keys.delegations)
    before = read_delegations(path)
    found = judge_chain(trust, statements, before, zone, settings.keys.zone, int(time.time()))
    if found.changed:
        write_whole(path, b"".join(statements))
    if read_anchor(settings.path("anchor.toml")) != file:
        write_anchor(settings.path("anchor.toml"), file)
    return found


async def is_taken_up(settings: Settings, anchor: TrustAnchor, patience: float = TAKE_UP_SECONDS) -> bool:
    """Wait until the node, where it runs, proves itself from ``anchor`` at both its doors; False where it has not
    after ``patience`` seconds."""
    try:
        where = [ask(None, settings.path("")) for ask in (registry_address, resolver_address)]
    except NoNodeRuns:
        return True  # it will begin with the chain that is there
    try:
        async with asyncio.timeout(patience):
            for address in where:
                while not await _proves_itself(address, anchor):  # noqa: ASYNC110  it tells nobody
                    await asyncio.sleep(0.1)
    except TimeoutError:
        return False
    return True


async def _proves_itself(address: str, anchor: TrustAnchor) -> bool:
    try:
        async with RegistryClient(*parse_address(address), anchor=anchor, key=None):
            return True
    except Unreachable:
        return True  # it was killed; started again, it begins with the chain that is there
    except BiaoshiError:  # still the chain from before
        return False


def judge_chain(
    anchor: TrustAnchor, statements: tuple[bytes, ...], before: tuple[bytes, ...], zone: str, keys: list[str], now: int
) -> Chain:
    """Verify a chain that was fetched for ``zone`` with these public ``keys``, and that it is no older than the one
    ``before``. Raises :class:`NotVerified`, :class:`MessageError`."""
    found = verify_zone(anchor, statements, now)
    mine = {PublicKey.parse(text) for text in keys}
    if found.prefix != zone or not mine & set(found.keys):
        raise NotVerified(NOT_OURS, zone=zone)
    serial = read_delegation(statements[-1]).claim.serial
    known = _serial(before[-1], zone) if before else 0
    if serial < known:
        raise NotVerified(OLDER, zone=zone, serial=serial, known=known)
    return Chain(found, statements != before)


def _serial(statement: bytes, zone: str) -> int:
    """The serial of the zone's delegation that is there; 0 where what is there is no such."""
    try:
        claim = read_delegation(statement).claim
    except MessageError:
        return 0
    return claim.serial if claim.child == zone else 0
