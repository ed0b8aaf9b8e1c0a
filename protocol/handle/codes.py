"""The numbers of the Handle protocol: operations, response codes, flags, kinds of hash.

Messages carry plain integers, as a stranger may send any; these are the ones that have a name. Those from 2,001 among
the operations and from 601 among the response codes are additions of the national system's SDK.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Opcode(IntEnum):
    """What a message asks for (RFC 3652, section 2.2.2.1)."""

    RESOLVE = 1
    SITE_INFO = 2
    CREATE = 100
    DELETE = 101
    ADD_VALUES = 102
    REMOVE_VALUES = 103
    MODIFY_VALUES = 104
    LIST = 105
    ANSWER_CHALLENGE = 200
    VERIFY_CHALLENGE = 201
    HOME_PREFIX = 300
    UNHOME_PREFIX = 301
    LIST_HOMED = 302
    SET_UP_SESSION = 400
    END_SESSION = 401
    EXCHANGE_KEY = 402
    NEXT_TRANSACTION = 1000
    TRANSACTION_LOG = 1001
    DUMP = 1002
    BACK_UP = 1003
    LOG_IN = 2001


class ResponseCode(IntEnum):
    """What came of a request (RFC 3652, section 2.2.2.2); a request itself has 0. With a sentence for people."""

    en: str
    zh: str

    def __new__(cls, code: int, en: str, zh: str) -> ResponseCode:
        member = int.__new__(cls, code)
        member._value_ = code
        member.en = en
        member.zh = zh
        return member

    SUCCESS = 1, "done", "成功"
    ERROR = 2, "the server failed", "服务器错误"
    BUSY = 3, "the server has too much to do; try later", "服务器繁忙，请稍后再试"
    PROTOCOL_ERROR = 4, "the message is malformed", "报文格式错误"
    UNSUPPORTED = 5, "the server has no such operation", "服务器不支持该操作"
    RECURSION_TOO_DEEP = 6, "the request was handed on too often", "请求被转发次数过多"
    READ_ONLY = 7, "the server takes no changes now", "服务器目前不接受变更"

    HANDLE_NOT_FOUND = 100, "no such handle", "标识不存在"
    HANDLE_EXISTS = 101, "the handle is there already", "标识已存在"
    BAD_HANDLE = 102, "the handle breaks a rule", "标识不符合规则"

    VALUES_NOT_FOUND = 200, "the handle has no such values", "标识没有所请求的值"
    VALUE_EXISTS = 201, "a value with that index is there already", "该索引的值已存在"
    BAD_VALUE = 202, "a value breaks a rule", "标识值不符合规则"

    STALE_SITE_INFO = (
        300,
        "the client's site information is old; ask for it again",
        "客户端的站点信息已过期，请重新获取",
    )
    NOT_RESPONSIBLE = 301, "this server is not responsible for that handle", "本服务器不负责该标识"
    SERVICE_REFERRAL = 302, "another service is responsible; ask there", "该标识由另一服务负责，请向其查询"
    PREFIX_REFERRAL = 303, "another service has that prefix; ask there", "该前缀由另一服务负责，请向其查询"

    BAD_ADMINISTRATOR = 400, "nobody is administrator under that name", "不存在该管理员"
    NOT_PERMITTED = 401, "the administrator may not do this", "管理员无此权限"
    AUTHENTICATION_NEEDED = 402, "prove who you are: answer the challenge", "需要身份认证，请应答质询"
    AUTHENTICATION_FAILED = 403, "the proof does not hold", "身份认证失败"
    BAD_CREDENTIAL = 404, "the credential is not usable", "凭据无效"
    AUTHENTICATION_TIMED_OUT = 405, "the answer to the challenge came too late", "应答质询超时"
    CANNOT_AUTHENTICATE = 406, "the server could not check the proof", "服务器无法完成身份认证"

    SESSION_TIMED_OUT = 500, "the session is over", "会话已超时"
    SESSION_FAILED = 501, "no session could be set up", "无法建立会话"
    BAD_SESSION_KEY = 502, "the session's key does not serve", "会话密钥无效"
    NO_SESSION_KEY = 503, "the session has no key", "会话没有密钥"
    BAD_SESSION_REQUEST = 504, "the session cannot be set up like this", "会话建立请求无效"
    MESSAGE_REPLAYED = 505, "the message was sent before; send a new one", "报文重复，请重新发送新报文"

    CHANNEL_FAILED = 601, "the connection failed", "连接通道错误"
    TIMED_OUT = 602, "no answer in time", "请求超时"
    TOO_MANY_REQUESTS = 603, "no more requests today", "已达当日请求次数上限"
    TOO_MANY_HANDLES = 604, "no more registrations", "已达注册数量上限"
    TOO_MANY_PREFIXES = 605, "no more prefixes", "已达前缀数量上限"

    def sentence(self, language: str = "en") -> str:
        """What it means, for a person."""
        return self.zh if language == "zh" else self.en


REQUEST: Final = 0
"""The response code of a message that is a request."""


class Flag(IntEnum):
    """Bits that say how an operation is to be done, or was (RFC 3652, section 2.2.2.3)."""

    AUTHORITATIVE = 0x8000_0000
    CERTIFY = 0x4000_0000
    """Sign the response."""
    ENCRYPT = 0x2000_0000
    RECURSE = 0x1000_0000
    CERTIFY_CACHED = 0x0800_0000
    CONTINUED = 0x0400_0000
    """Further messages with the same request number follow."""
    KEEP_ALIVE = 0x0200_0000
    """Leave the connection open."""
    PUBLIC_ONLY = 0x0100_0000
    RETURN_DIGEST = 0x0080_0000
    """In a request: say its digest in the response. In a response: the body begins with it."""
    OVERWRITE = 0x0040_0000
    MINT = 0x0020_0000
    """Let the server choose the suffix."""
    DO_NOT_REFER = 0x0010_0000


class HashCode(IntEnum):
    """Kinds of hash in digests of requests and in proofs by a secret key."""

    MD5 = 1
    SHA1 = 2
    SHA256 = 3
    HMAC_SHA1 = 0x12
    HMAC_SHA256 = 0x13
    PBKDF2_HMAC_SHA1 = 0x22
