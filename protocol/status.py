"""The one table of status codes.

The wire carries the number; HTTP, exit codes and metric labels are derived from the same row, so that
one outcome has one name everywhere. Numbers are never reused. 100s: about the identifier; 200s: about a
write; 300s: the request is at fault; 400s: rights; 500s: the node cannot now.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the ``biaoshi`` command."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    BAD_INPUT = 5
    NOT_PERMITTED = 6
    UNREACHABLE = 7
    NOT_VERIFIED = 8
    SETTINGS = 9
    PARTLY_REFUSED = 10
    STORE = 11


class Status(IntEnum):
    """Outcome of a request, of one item of a batch, or of a command."""

    http: int
    exit: Exit
    en: str
    zh: str

    def __new__(cls, code: int, http: int, exit_code: Exit, en: str, zh: str) -> Status:
        member = int.__new__(cls, code)
        member._value_ = code
        member.http = http
        member.exit = exit_code
        member.en = en
        member.zh = zh
        return member

    OK = 0, 200, Exit.OK, "done", "成功"

    NOT_FOUND = 100, 404, Exit.NOT_FOUND, "no such identifier is registered", "标识不存在"
    WITHDRAWN = 101, 410, Exit.NOT_FOUND, "the identifier was withdrawn", "标识已注销"
    NOT_RESPONSIBLE = 102, 421, Exit.NOT_FOUND, "this node does not serve that prefix", "本节点不负责该前缀"
    REFERRAL = 103, 307, Exit.NOT_FOUND, "another node serves that prefix; ask there", "该前缀由另一节点负责"
    STALE = (
        104,
        200,
        Exit.OK,
        "the zone's servers are down; this is what they last said",
        "区域服务器不可用，此为其最近一次应答",
    )
    SUSPENDED = 105, 403, Exit.NOT_FOUND, "the identifier is suspended", "标识已停用"

    FORGOTTEN = 106, 410, Exit.NOT_FOUND, "what it was then is not kept any more", "当时的内容已不再保存"

    CONFLICT = 200, 409, Exit.CONFLICT, "the record has another version", "记录版本不一致"
    EXISTS = 201, 409, Exit.CONFLICT, "registered already, with other content", "标识已存在且内容不同"
    DIVERGED = 203, 409, Exit.CONFLICT, "the feed is not the one that was followed", "变更流与所跟随的不是同一条"
    PRUNED = (
        204,
        410,
        Exit.CONFLICT,
        "the feed no longer reaches back that far; begin anew",
        "变更流已不含如此早的部分，请重新开始",
    )
    UNKNOWN = 202, 504, Exit.UNREACHABLE, "the outcome is not known; send it again", "结果未知，请重新发送"

    BAD_REQUEST = 300, 400, Exit.BAD_INPUT, "the request is not understood", "请求无法识别"
    BAD_IDENTIFIER = 301, 400, Exit.BAD_INPUT, "the identifier breaks a rule", "标识不符合规则"
    BAD_RECORD = 302, 422, Exit.BAD_INPUT, "the record breaks a rule", "记录不符合规则"
    UNKNOWN_OPERATION = 303, 501, Exit.BAD_INPUT, "the node has no such operation", "节点不支持该操作"
    TOO_LARGE = 304, 413, Exit.BAD_INPUT, "larger than the limit", "超出长度限制"
    TRUNCATED = (
        305,
        413,
        Exit.UNREACHABLE,
        "the answer does not fit; ask over TCP, or for less at a time",
        ("应答过长，请改用 TCP 或减少数量"),
    )
    UNSUPPORTED_VERSION = 306, 505, Exit.BAD_INPUT, "protocol version not supported", "协议版本不受支持"
    NOT_VERIFIED = 307, 502, Exit.NOT_VERIFIED, "the proof does not hold", "证明无效"

    NOT_AUTHENTICATED = 400, 401, Exit.NOT_PERMITTED, "prove a key first", "请先完成身份认证"
    NOT_PERMITTED = 401, 403, Exit.NOT_PERMITTED, "the key may not do this", "密钥无此权限"
    TOO_MANY_ATTEMPTS = 402, 429, Exit.NOT_PERMITTED, "too many wrong attempts; wait", "错误尝试过多，请稍候"

    INTERNAL = 500, 500, Exit.INTERNAL, "the node failed", "节点内部错误"
    OVERLOADED = 501, 503, Exit.UNREACHABLE, "the node has too much to do; try later", "节点繁忙，请稍后再试"
    STORE_FULL = 502, 507, Exit.STORE, "the disk of the node is full", "节点磁盘已满"
    SHUTTING_DOWN = 503, 503, Exit.UNREACHABLE, "the node is going down; ask another", "节点正在关闭"
    UNREACHABLE = 504, 504, Exit.UNREACHABLE, "no answer from the node", "节点无应答"
    STORE_FAILED = 505, 500, Exit.STORE, "the store cannot be read or written", "存储无法读写"
    SETTINGS = 506, 500, Exit.SETTINGS, "configuration or files are not usable", "配置或文件不可用"
    UNRESOLVED = 507, 502, Exit.UNREACHABLE, "no server of the zone answered as it should", "该区域无服务器正确应答"

    @classmethod
    def named(cls, code: int) -> Status:
        """The status of a number from the wire; INTERNAL for one that is not in the table."""
        member = cls._value2member_map_.get(code, cls.INTERNAL)
        assert isinstance(member, Status)
        return member

    @property
    def label(self) -> str:
        """The name for metrics and JSON: ``not_found``."""
        return self.name.lower()

    def sentence(self, language: str = "en") -> str:
        """What it means, for a person."""
        return self.zh if language == "zh" else self.en
