"""What a request over HTTP can get wrong before its content is looked at, and the API's limits."""

from __future__ import annotations

from typing import Final

from protocol.errors import Rule
from protocol.status import Status

MAX_BODY_BYTES: Final = 4 << 20
"""Bytes of one JSON body: 2,000 records of 2 kB. More goes by an import, which has no such limit."""

MAX_HELD_BYTES: Final = 256 << 20
"""Bytes of bodies that are held at one time, over all connections; further requests are to come later."""

MAX_BATCH: Final = 2_000
"""Items of one batch: what clients in the field send."""

MAX_HEADERS: Final = 64
"""Header fields of one request."""

MAX_HEADER_BYTES: Final = 8_190
"""Bytes of the request line, or of one header field: an identifier of 480 bytes, each in three, takes 1,440."""

MAX_LINE_BYTES: Final = 262_144
"""Bytes of one line of an import: the largest record, with every byte of it escaped."""

MAX_REASON_CHARACTERS: Final = 200
"""Characters of what a decoder says, which may repeat what it was given."""

BODY_SECONDS: Final = 30.0
"""How long a whole JSON body may take to come, and how long an import may send nothing."""


def _rule(name: str, status: Status, en: str, zh: str) -> Rule:
    return Rule(f"api.{name}", status, en, zh)


NO_PATH: Final = _rule(
    "no-path",
    Status.NOT_FOUND,
    "there is nothing at {path}; /openapi.json lists what there is",
    "路径 {path} 不存在，可用路径见 /openapi.json",
)
NO_METHOD: Final = _rule(
    "no-method",
    Status.UNKNOWN_OPERATION,
    "{method} is not for this path; it takes {allowed}",
    "此路径不支持 {method}，可用方法：{allowed}",
)
BAD_PATH: Final = _rule(
    "bad-path",
    Status.BAD_REQUEST,
    "the path has a '%' that begins no escape like %2F; write the sign itself as %25",
    "路径中的“%”不是合法的转义（如 %2F）；百分号本身请写成 %25",
)
BAD_HTTP: Final = _rule(
    "bad-http", Status.BAD_REQUEST, "this is no HTTP request: {reason}", "不是合法的 HTTP 请求：{reason}"
)
BAD_QUERY: Final = _rule(
    "bad-query",
    Status.BAD_REQUEST,
    "the query (behind '?') is not right: {reason}. A '?' within an identifier is written %3F",
    "查询参数（“?”之后）有误：{reason}。标识中的“?”请写成 %3F",
)
HEADER_TWICE: Final = _rule(
    "header-twice", Status.BAD_REQUEST, "the header {name} is there twice", "请求头 {name} 重复出现"
)
BAD_HEADER: Final = _rule(
    "bad-header", Status.BAD_REQUEST, "the header {name} is not right: {reason}", "请求头 {name} 有误：{reason}"
)
BAD_CONDITION: Final = _rule(
    "bad-condition",
    Status.BAD_REQUEST,
    'a write takes If-Match: "VERSION", If-Match: * or If-None-Match: *, one of them',
    '写入条件只能是 If-Match: "版本"、If-Match: * 或 If-None-Match: * 之一',
)
OTHER_CONTENT: Final = _rule(
    "other-content",
    Status.BAD_REQUEST,
    "the body is {found}; send {wanted}, in UTF-8 and not compressed",
    "请求体类型为 {found}，应为 {wanted}，使用 UTF-8 且不压缩",
)
UNEXPECTED_BODY: Final = _rule(
    "unexpected-body", Status.BAD_REQUEST, "{method} on this path takes no body", "此路径的 {method} 请求不应带请求体"
)
BODY_TOO_LARGE: Final = _rule(
    "body-too-large",
    Status.TOO_LARGE,
    "the body has more than {limit} bytes; send less at a time, or use records:import",
    "请求体超过 {limit} 字节，请减少单次数量，或使用 records:import",
)
BODY_TOO_SLOW: Final = _rule(
    "body-too-slow",
    Status.BAD_REQUEST,
    "the body did not come within {seconds} s",
    "请求体未能在 {seconds} 秒内到达",
)
BODY_CUT: Final = _rule("body-cut", Status.BAD_REQUEST, "the body broke off", "请求体中途断开")
BAD_JSON: Final = _rule(
    "bad-json", Status.BAD_REQUEST, "the body is not what is wanted: {reason}", "请求体内容有误：{reason}"
)
KEY_TWICE: Final = _rule(
    "key-twice", Status.BAD_REQUEST, "an object has the key '{key}' twice", "同一对象中键“{key}”重复"
)
BUSY: Final = _rule(
    "busy", Status.OVERLOADED, "too much is under way already; try again in a second", "节点繁忙，请稍后再试"
)
STOPPING: Final = _rule(
    "stopping",
    Status.SHUTTING_DOWN,
    "the node is going down; what was reported as durable is, send the rest again",
    "节点正在关闭；已报告落盘的内容有效，其余请重新发送",
)
FAILED: Final = _rule(
    "failed",
    Status.INTERNAL,
    "the node failed; its log says more, under the id of this request",
    "节点内部错误，详情见节点日志中此请求编号下的记录",
)
BAD_TOKEN: Final = _rule(
    "bad-token",
    Status.NOT_AUTHENTICATED,
    "this token is unknown or over; get one by POST /api/v1/sessions, or with 'biaoshi api token'",
    "令牌无效或已过期；请通过 POST /api/v1/sessions 或 biaoshi api token 获取",
)
NO_TOKEN: Final = _rule(
    "no-token",
    Status.NOT_AUTHENTICATED,
    "send a token as 'Authorization: Bearer TOKEN'; get one by POST /api/v1/sessions, or with 'biaoshi api token'",
    "请以“Authorization: Bearer 令牌”携带令牌；可通过 POST /api/v1/sessions 或 biaoshi api token 获取",
)
NO_SESSION: Final = _rule(
    "no-session",
    Status.NOT_FOUND,
    "there is no such challenge, or its time is over; begin again with POST /api/v1/sessions",
    "没有该挑战或已过期，请重新 POST /api/v1/sessions",
)
NOT_REGISTERED: Final = _rule(
    "not-registered", Status.NOT_FOUND, "{identifier} is not registered", "{identifier} 尚未注册"
)
WITHDRAWN: Final = _rule("withdrawn", Status.WITHDRAWN, "{identifier} was withdrawn", "{identifier} 已注销")
NOT_CARRIED_OUT: Final = _rule(
    "not-carried-out",
    Status.CONFLICT,
    "{identifier} is left as it is, at version {version}: {sentence}",
    "{identifier} 未作改动，当前版本 {version}：{sentence_zh}",
)
BAD_ITEM: Final = _rule(
    "bad-item",
    Status.BAD_RECORD,
    "an item has values, or withdraw = true and no values",
    "每项应有 values，或 withdraw 为 true 且没有 values",
)
BAD_LINE: Final = _rule("bad-line", Status.BAD_RECORD, "this line is not right: {reason}", "本行内容有误：{reason}")
LONG_LINE: Final = _rule(
    "line-too-long",
    Status.TOO_LARGE,
    "this line has more than {limit} bytes; line ends may be missing",
    "本行超过 {limit} 字节，可能缺少换行",
)
OTHER_PREFIX: Final = _rule(
    "other-prefix",
    Status.NOT_PERMITTED,
    "this is not below {prefix}, the prefix of this import",
    "不在本次导入的前缀 {prefix} 之下",
)
ONE_NAME: Final = _rule(
    "one-name",
    Status.BAD_RECORD,
    "an item has to have either identifier or series",
    "每一项应有且仅有 identifier 与 series 之一",
)
BAD_VERSION: Final = _rule(
    "bad-version",
    Status.BAD_REQUEST,
    "'{text}' is no version of a template; versions are 1, 2, 3 …",
    "“{text}”不是合法的模板版本，版本号为 1、2、3……",
)
BAD_CURSOR: Final = _rule(
    "bad-cursor",
    Status.BAD_REQUEST,
    "this cursor was not given out here; begin without one",
    "游标无效，请不带游标重新开始",
)
SAME_KEY_UNDER_WAY: Final = _rule(
    "same-key-under-way",
    Status.CONFLICT,
    "a request with this Idempotency-Key is under way; ask again for its answer",
    "带有相同 Idempotency-Key 的请求正在处理，请稍后重试以取得结果",
)
SAME_KEY_OTHER_BODY: Final = _rule(
    "same-key-other-body",
    Status.BAD_RECORD,
    "this Idempotency-Key came before with another request; draw a new one for each request",
    "此 Idempotency-Key 已用于其他请求，请为每个请求使用新的键",
)
CERTIFICATE: Final = _rule(
    "certificate",
    Status.SETTINGS,
    "the certificate of the API ({path}) cannot be used: {reason}",
    "API 的证书（{path}）无法使用：{reason}",
)
