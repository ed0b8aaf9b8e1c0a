"""What an identity, a group and a credential may be. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from protocol.errors import InvalidInput, Refused, Rule
from protocol.identifiers import Identifier, covers, normal_prefix_text, normal_text, parse
from protocol.status import Status
from registry.identities.bodies import MAX_CREDENTIALS, MAX_GROUP_BYTES
from registry.store.callers.kept import Identity
from registry.store.callers.permissions import STAFF, Caller, Operation, Role


def _rule(name: str, status: Status, en: str, zh: str) -> Rule:
    return Rule(f"identity.{name}", status, en, zh)


UNKNOWN: Final = _rule("unknown", Status.NOT_FOUND, "there is no identity '{name}' here", "本节点没有身份“{name}”")
EXISTS: Final = _rule(
    "exists",
    Status.EXISTS,
    "there is an identity or a group '{name}' already; change it, or choose another name",
    "身份或身份组“{name}”已存在，请修改它或另选名称",
)
NO_PLACE: Final = _rule(
    "no-place",
    Status.BAD_REQUEST,
    "'{name}' lies below no prefix of an enterprise here, nor directly below the zone '{zone}'; identities are named "
    "below the prefix that is theirs",
    "“{name}”既不在本节点企业的前缀之下，也不直接位于区域“{zone}”之下，身份应以其所属前缀命名",
)
FOREIGN_ROLE: Final = _rule(
    "foreign-role",
    Status.BAD_REQUEST,
    "'{name}' cannot have the role {role}: node administrators and auditors are named directly below the zone, "
    "the others below an enterprise's prefix",
    "“{name}”不能担任 {role}：节点管理员和审核员直接位于区域之下，其他角色位于企业前缀之下",
)
TOO_MANY_CREDENTIALS: Final = _rule(
    "too-many-credentials",
    Status.CONFLICT,
    "'{name}' has {limit} tokens and keys; revoke one first",
    "“{name}”已有 {limit} 个令牌和密钥，请先撤销其中一个",
)
NO_CREDENTIAL: Final = _rule(
    "no-credential",
    Status.NOT_FOUND,
    "'{name}' has no credential {id}; it may have been revoked",
    "“{name}”没有凭证 {id}，可能已被撤销",
)
KEY_IN_USE: Final = _rule(
    "key-in-use",
    Status.EXISTS,
    "the key {key} speaks for another identity, or is named in the node's configuration",
    "密钥 {key} 已属于其他身份或已写入节点配置",
)
BEYOND: Final = _rule(
    "beyond-own",
    Status.NOT_PERMITTED,
    "a credential cannot be good for more than the one that issues it: {what}",
    "所签发凭证的权限不能超过签发者自身：{what}",
)
NO_SCOPE: Final = _rule(
    "no-scope",
    Status.BAD_REQUEST,
    "the token would be good for nothing: '{name}' has nothing below {prefixes}",
    "该令牌没有任何权限：“{name}”在 {prefixes} 之下没有权限",
)
BAD_MEMBER: Final = _rule(
    "bad-member",
    Status.BAD_REQUEST,
    "'{member}' is no member of a group; a member is an identity, or the prefix of an enterprise, in normal form",
    "“{member}”不能作为身份组成员：应为规范形式的身份标识或企业前缀",
)
LARGE_GROUP: Final = _rule(
    "large-group",
    Status.TOO_LARGE,
    "the names of the group's members have {length} bytes together; at most {limit} are kept. Name prefixes of "
    "enterprises, or make several groups",
    "身份组成员名称共 {length} 字节，超过上限 {limit}；请改用企业前缀，或分成多个身份组",
)
NO_GROUP: Final = _rule("no-group", Status.NOT_FOUND, "there is no group '{name}' here", "本节点没有身份组“{name}”")
NO_PASSWORDS: Final = _rule(
    "no-password",
    Status.NOT_AUTHENTICATED,
    "name and password do not fit",
    "用户名与密码不符",
)
OWN_RIGHTS: Final = _rule(
    "own-rights",
    Status.NOT_PERMITTED,
    "'{name}' cannot change its own roles or disable itself; another administrator does",
    "“{name}”不能修改自身角色或停用自己，请由其他管理员操作",
)


def check_place(name: str, roles: Iterable[Role], zone: str, enterprise: bool) -> Identifier:
    """See that an identity may be called so and have these roles; ``enterprise`` says whether the name's prefix was
    given to one. Raises :class:`InvalidInput`, :class:`~protocol.errors.IdentifierError`."""
    identifier = parse(name)
    staff = identifier.prefix == zone
    if not staff and not enterprise:
        raise InvalidInput(NO_PLACE, name=str(identifier), zone=zone)
    for role in roles:
        if role is not Role.READER and (role in STAFF) != staff:
            raise InvalidInput(FOREIGN_ROLE, name=str(identifier), role=str(role))
    return identifier


def check_more_credentials(name: str, identity: Identity) -> None:
    """Raise :class:`Refused` where an identity can have no more."""
    if len(identity.credentials) >= MAX_CREDENTIALS:
        raise Refused(TOO_MANY_CREDENTIALS, TOO_MANY_CREDENTIALS.status, name=name, limit=MAX_CREDENTIALS)


def check_scope(
    caller: Caller, own: Collection[str], name: str, prefixes: Sequence[str], operations: Sequence[Operation]
) -> tuple[tuple[str, ...], tuple[Operation, ...]]:
    """The scope of a token that ``caller`` issues for the identity ``name``, which has ``own`` prefixes: never more
    than the caller's own credential is good for. Empty means all. Raises :class:`Refused`, :class:`InvalidInput`."""
    wanted = tuple(sorted({normal_prefix_text(prefix) for prefix in prefixes}))
    for prefix in wanted:
        if not any(covers(one, prefix) for one in own):
            raise InvalidInput(NO_SCOPE, name=name, prefixes=prefix)
    limits = frozenset(operations)
    if caller.operations is not None:
        beyond = sorted(limits - caller.operations) if limits else ["all operations"]
        if beyond:
            raise Refused(BEYOND, BEYOND.status, what=", ".join(beyond))
    for prefix in wanted or tuple(own):
        if not any(covers(one, prefix) for one in caller.prefixes):
            raise Refused(BEYOND, BEYOND.status, what=prefix)
    return wanted, tuple(sorted(limits))


def check_members(members: Iterable[str]) -> tuple[str, ...]:
    """The members of a group, in order, each once. Raises :class:`InvalidInput`."""
    members = list(members)
    length = sum(len(member.encode()) for member in members)
    if length > MAX_GROUP_BYTES:
        raise InvalidInput(LARGE_GROUP, length=length, limit=MAX_GROUP_BYTES)
    checked: set[str] = set()
    for member in members:
        normal = normal_text(member).decode() if "/" in member else normal_prefix_text(member)
        if normal != member:
            raise InvalidInput(BAD_MEMBER, member=member)
        checked.add(member)
    return tuple(sorted(checked))
