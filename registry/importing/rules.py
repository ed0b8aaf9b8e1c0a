"""What an import can find wrong: with the file, with the columns asked for, with a row, with the place it works in.

A sentence says what was found and what to do about it. Those about a row stand in the report of refused rows,
so they must make sense to the person who has the spreadsheet open.
"""

from __future__ import annotations

from typing import Final

from protocol.errors import Rule
from protocol.status import Status


def _rule(name: str, status: Status, en: str, zh: str) -> Rule:
    return Rule(f"import.{name}", status, en, zh)


# The input as a whole --------------------------------------------------------------------------------

NO_INPUT: Final = _rule(
    "no-input",
    Status.SETTINGS,
    "{path} cannot be read: {reason}. Name an ordinary file that this user may read",
    "无法读取 {path}：{reason}。请指定当前用户可读的普通文件",
)
INPUT_CHANGED: Final = _rule(
    "input-changed",
    Status.SETTINGS,
    "{path} was changed while it was read. Close the program that writes it, then start the import again",
    "读取期间 {path} 被修改。请先关闭正在写入该文件的程序，再重新导入",
)
UNKNOWN_FORMAT: Final = _rule(
    "unknown-format",
    Status.BAD_REQUEST,
    "the format of {path} is not known from its name. Name it .csv, .tsv, .txt, .ndjson, .jsonl or .xlsx, "
    "or say the format",
    "无法从文件名判断 {path} 的格式。请使用 .csv、.tsv、.txt、.ndjson、.jsonl 或 .xlsx 扩展名，或明确指定格式",
)
BAD_OPTION: Final = _rule(
    "bad-option",
    Status.BAD_REQUEST,
    "{option} cannot be {value}; choose one of: {choices}",
    "{option} 不能为 {value}，可选值：{choices}",
)
UNKNOWN_ENCODING: Final = _rule(
    "unknown-encoding",
    Status.BAD_REQUEST,
    "the text of {path} is clearly neither UTF-8 nor GB18030; the first doubtful byte is at {position}. Save the "
    "file as 'CSV UTF-8', or say the encoding if you know it is one of the two",
    "{path} 的文字编码既不像 UTF-8 也不像 GB18030，首个可疑字节位于 {position}。"
    "请另存为“CSV UTF-8”，或在确知时明确指定编码",
)
UTF_16: Final = _rule(
    "utf-16",
    Status.BAD_REQUEST,
    "{path} is UTF-16 ('Unicode text'). Save it as 'CSV UTF-8' or as an .xlsx workbook",
    "{path} 是 UTF-16 编码（“Unicode 文本”）。请另存为“CSV UTF-8”或 .xlsx 工作簿",
)
NO_HEADER: Final = _rule(
    "no-header",
    Status.BAD_REQUEST,
    "{path} has no first row with column names: {reason}",
    "{path} 没有可用的列名行：{reason_zh}",
)
BAD_WORKBOOK: Final = _rule(
    "bad-workbook",
    Status.BAD_REQUEST,
    "{path} is no readable .xlsx workbook ({reason}). Open it in the spreadsheet program and save it again as .xlsx",
    "{path} 不是可读取的 .xlsx 工作簿（{reason}）。请在电子表格软件中打开并重新另存为 .xlsx",
)
NO_SHEET: Final = _rule(
    "no-sheet",
    Status.BAD_REQUEST,
    "there is no sheet named '{sheet}'; the workbook has: {sheets}",
    "没有名为“{sheet}”的工作表，工作簿中有：{sheets}",
)

# The columns asked for -------------------------------------------------------------------------------

MAPPING: Final = _rule(
    "mapping",
    Status.BAD_REQUEST,
    "the columns cannot be mapped:\n{problems}",
    "列映射无法成立：\n{problems_zh}",
)
BAD_COLUMN_OPTION: Final = _rule(
    "bad-column-option",
    Status.BAD_REQUEST,
    "'{option}' is not HEADER=TYPE, HEADER=TYPE:INDEX or HEADER=",
    "“{option}”不符合 列名=类型、列名=类型:索引 或 列名= 的写法",
)
BAD_INDEX: Final = _rule(
    "bad-index",
    Status.BAD_REQUEST,
    "index {index} of column '{header}' is not between 1 and 4294967295",
    "列“{header}”的索引 {index} 不在 1 到 4294967295 之间",
)
INDEX_TWICE: Final = _rule(
    "index-twice",
    Status.BAD_REQUEST,
    "columns '{first}' and '{second}' both have index {index}; give one of them another with HEADER=TYPE:INDEX",
    "列“{first}”与“{second}”使用了同一索引 {index}，请用 列名=类型:索引 为其中一列另行指定",
)
LONG_TYPE: Final = _rule(
    "type-too-long",
    Status.BAD_REQUEST,
    "the type '{type}' has {length} characters; at most {limit} are allowed",
    "类型“{type}”有 {length} 个字符，超过上限 {limit}",
)
UNKNOWN_HEADER: Final = _rule(
    "unknown-header",
    Status.BAD_REQUEST,
    "there is no column '{header}'; the file has: {headers}",
    "文件中没有列“{header}”，现有列：{headers}",
)
SAME_HEADER: Final = _rule(
    "same-header",
    Status.BAD_REQUEST,
    "two columns are called '{header}'; rename one in the file",
    "有两列的列名都是“{header}”，请在文件中修改其一",
)
COLUMN_TWICE: Final = _rule(
    "column-twice",
    Status.BAD_REQUEST,
    "column '{header}' is mapped twice; keep one of the two options",
    "列“{header}”被指定了两次，请只保留一次",
)
IDENTIFIER_MAPPED: Final = _rule(
    "identifier-mapped",
    Status.BAD_REQUEST,
    "column '{header}' holds the identifier and cannot be mapped to a value as well",
    "列“{header}”是标识列，不能同时作为值",
)
NO_IDENTIFIER_COLUMN: Final = _rule(
    "no-identifier-column",
    Status.BAD_REQUEST,
    "no column is recognised as the identifier; the file has: {headers}. Say which one it is",
    "未能识别标识列，现有列：{headers}。请明确指定标识列",
)
TWO_IDENTIFIER_COLUMNS: Final = _rule(
    "two-identifier-columns",
    Status.BAD_REQUEST,
    "columns '{first}' and '{second}' could both be the identifier; say which one it is",
    "列“{first}”与“{second}”都可能是标识列，请明确指定",
)
NO_VALUE_COLUMN: Final = _rule(
    "no-value-column",
    Status.BAD_REQUEST,
    "no column is left to be a value; a record needs at least one",
    "没有任何列可作为值，记录至少需要一个值",
)
TOO_MANY_COLUMNS: Final = _rule(
    "too-many-columns",
    Status.BAD_REQUEST,
    "{count} columns would be values; a record has at most {limit}. Leave columns out with HEADER=",
    "作为值的列有 {count} 个，超过上限 {limit}，请用 列名= 忽略部分列",
)
BAD_PREFIX: Final = _rule(
    "bad-prefix",
    Status.BAD_REQUEST,
    "the prefix '{prefix}' cannot be used: {reason}",
    "前缀“{prefix}”不可用：{reason_zh}",
)

# A row -----------------------------------------------------------------------------------------------

BROKEN_QUOTES: Final = _rule(
    "broken-quotes",
    Status.BAD_RECORD,
    "the quotation marks of this row do not match ({reason}); close each one and double those inside a cell",
    "本行引号不成对（{reason}），请补全引号，并将单元格内的引号写成两个",
)
ROW_TOO_LONG: Final = _rule(
    "row-too-long",
    Status.BAD_RECORD,
    "this row has more than {limit} characters; line ends may be missing",
    "本行超过 {limit} 个字符，可能缺少换行",
)
CELL_COUNT: Final = _rule(
    "cell-count",
    Status.BAD_RECORD,
    "this row has {found} cells, the header has {expected}; put cells that hold the delimiter in quotation marks",
    "本行有 {found} 个单元格，列名行有 {expected} 个；含分隔符的内容请用引号括起",
)
BEYOND_HEADER: Final = _rule(
    "beyond-header",
    Status.BAD_RECORD,
    "column {column} has data but no name in the header",
    "第 {column} 列有数据，但列名行中没有列名",
)
NOT_TEXT: Final = _rule(
    "not-text",
    Status.BAD_RECORD,
    "column '{column}' holds the byte 0x{byte}, which is not {encoding}; correct it, or say the encoding of the file",
    "列“{column}”含有字节 0x{byte}，不是合法的 {encoding}；请更正，或明确指定文件编码",
)
CELL_ERROR: Final = _rule(
    "cell-error",
    Status.BAD_RECORD,
    "the cell in column '{column}' shows the spreadsheet error {error}",
    "列“{column}”的单元格显示电子表格错误 {error}",
)
DIGITS_LOST: Final = _rule(
    "digits-lost",
    Status.BAD_RECORD,
    "column '{column}' holds a number of more than 15 digits, of which the spreadsheet has lost the last ones. "
    "Format the column as text and enter it again",
    "列“{column}”是超过 15 位的数字，末尾数字已被电子表格舍弃。请将该列设为文本格式后重新录入",
)
BAD_JSON: Final = _rule("bad-json", Status.BAD_RECORD, "this line is not right: {reason}", "本行内容有误：{reason}")
UNKNOWN_KEY: Final = _rule(
    "unknown-key",
    Status.BAD_RECORD,
    "the key '{key}' is not among those of the first line; declare it with HEADER=TYPE:INDEX, or leave it out with "
    "HEADER=",
    "键“{key}”未在首行出现，请用 列名=类型:索引 声明，或用 列名= 忽略",
)
NOT_PLAIN: Final = _rule(
    "not-plain",
    Status.BAD_RECORD,
    "'{column}' is a list or an object; write text or a number",
    "“{column}”是列表或对象，请写成文本或数字",
)
EMPTY_IDENTIFIER: Final = _rule("empty-identifier", Status.BAD_IDENTIFIER, "the identifier is missing", "缺少标识")
WHITE_SPACE: Final = _rule(
    "white-space",
    Status.BAD_IDENTIFIER,
    "the identifier begins or ends with a space or another invisible character; remove it",
    "标识首尾有空格或其他不可见字符，请删除",
)
SCIENTIFIC: Final = _rule(
    "scientific",
    Status.BAD_IDENTIFIER,
    "'{text}' is how a spreadsheet shortens a long number, and digits are lost. Format the column as text, enter the "
    "identifier again, and export anew",
    "“{text}”是电子表格对长数字的科学计数法缩写，部分数字已丢失。请将该列设为文本格式，重新录入标识后再导出",
)
OTHER_PREFIX: Final = _rule(
    "other-prefix",
    Status.BAD_IDENTIFIER,
    "'{text}' looks like a whole identifier under another prefix than {prefix}; import such rows without the prefix "
    "option",
    "“{text}”看起来是其他前缀（非 {prefix}）下的完整标识，请不带前缀选项导入这些行",
)
NO_VALUE: Final = _rule(
    "no-value",
    Status.BAD_RECORD,
    "the row has an identifier but no value",
    "本行只有标识，没有任何值",
)
LONG_VALUE: Final = _rule(
    "value-too-long",
    Status.BAD_RECORD,
    "column '{column}' has {length} bytes; at most {limit} are allowed",
    "列“{column}”长度为 {length} 字节，超过上限 {limit} 字节",
)
DUPLICATE: Final = _rule(
    "duplicate",
    Status.CONFLICT,
    "duplicate of row {row}, with other content; row {row} was taken",
    "与第 {row} 行标识重复且内容不同，已采用第 {row} 行",
)
DUPLICATE_SAME: Final = _rule(
    "duplicate-same",
    Status.CONFLICT,
    "duplicate of row {row}, with the same content; nothing is lost",
    "与第 {row} 行完全重复，可忽略",
)

# The place of work and the registry ------------------------------------------------------------------

BUSY: Final = _rule(
    "busy",
    Status.SETTINGS,
    "another import is at work in {path}. Wait until it ends, or name another work directory",
    "另一个导入正在使用 {path}。请等待其结束，或指定其他工作目录",
)
FILES: Final = _rule(
    "files",
    Status.SETTINGS,
    "the import cannot work with its files ({path}): {reason}. Mend that and run the same import again: it continues",
    "导入无法使用其文件（{path}）：{reason}。排除后重新执行同一导入即可续传",
)
DAMAGED: Final = _rule(
    "damaged",
    Status.SETTINGS,
    "the work file {path} is damaged. Remove the work directory and import again: what is registered stays",
    "工作文件 {path} 已损坏。请删除工作目录后重新导入，已注册内容不受影响",
)
SORTER_ENDED: Final = _rule(
    "sorter-ended",
    Status.SETTINGS,
    "the process that sorts the rows ended before its time (signal {signal}); memory may be short. "
    "Run the same import again: it continues",
    "排序进程意外终止（信号 {signal}），可能是内存不足。重新执行同一导入即可续传",
)
NOT_A_REPORT: Final = _rule(
    "not-a-report",
    Status.SETTINGS,
    "{path} exists and is not a report of refused rows; it was left alone. Name another file for the report",
    "{path} 已存在且不是拒绝行报告，未作改动。请为报告指定其他文件",
)
STOPPED: Final = _rule(
    "stopped",
    Status.INTERNAL,
    "the registry stopped the import: {sentence}. Run the same import again: it continues where it was",
    "注册服务中止了导入：{sentence_zh}。重新执行同一导入即可续传",
)
WRONG_ANSWER: Final = _rule(
    "wrong-answer",
    Status.INTERNAL,
    "the registry answered {answers} of {writes} writes; run the same import again",
    "注册服务对 {writes} 条写入只答复了 {answers} 条，请重新执行同一导入",
)

# Notices ---------------------------------------------------------------------------------------------

STARTED_OVER: Final = _rule(
    "started-over",
    Status.OK,
    "the file or the options differ from those of the interrupted import: starting from the beginning",
    "文件或选项与上次中断的导入不同，将从头开始",
)
CONTINUED: Final = _rule(
    "continued",
    Status.OK,
    "continuing the interrupted import after row {row} ({phase})",
    "继续上次中断的导入：已处理到第 {row} 行（{phase}）",
)
ENCODING: Final = _rule("encoding", Status.OK, "reading {path} as {encoding}", "按 {encoding} 读取 {path}")
