"""What can go wrong, as types a caller can act on and rules a person can read.

::

    BiaoshiError                 everything below; ``except BiaoshiError`` is enough for an application
    ├── InvalidInput             what we were given breaks a rule; sending it again cannot help
    │   ├── IdentifierError      an identifier
    │   ├── RecordError          a value or a record
    │   └── MessageError         bytes from the other side: message, statement, seal or receipt
    ├── NotVerified              a proof does not hold: do not use the answer
    ├── Refused                  the node answered, and the answer is no (``.status`` says which)
    ├── Unreachable              no answer: connection refused, lost, or too late
    ├── Unresolved               no server of some zone answered as it should; names the chain of zones
    ├── StoreError               the store cannot do it: disk full, damaged, locked
    └── SettingsError            configuration or files of this installation

Every error carries a :class:`Rule`: a stable name for programs and one sentence in each language for
people. A rule is defined next to the code that raises it; the table by name serves to print an error
that came over the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from protocol.status import Status


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule that input or proof can break.

    ``name`` is stable (``area.what``), ``en`` and ``zh`` are sentences with ``{parameters}``, and
    ``status`` is the code by which the wire, HTTP and the shell learn of it.
    """

    name: str
    status: Status
    en: str
    zh: str

    known: ClassVar[dict[str, Rule]] = {}

    def __post_init__(self) -> None:
        if self.name in Rule.known:
            raise ValueError(f"two rules are called {self.name}")
        Rule.known[self.name] = self


class BiaoshiError(Exception):
    """Base of all errors of this project. ``rule`` names what was broken, ``details`` fill its sentence."""

    # The rule goes by position only, as details that came over the wire may have any name.
    def __init__(self, rule: Rule, /, **details: str | int | float) -> None:
        super().__init__(rule, details)
        self.rule = rule
        self.details = details

    @property
    def status(self) -> Status:
        """The code for the wire, HTTP and the exit code of the command."""
        return self.rule.status

    def message(self, language: str = "en") -> str:
        """The sentence for a person; ``language`` is ``en`` or ``zh``."""
        return render(self.rule.name, self.details, language)

    def __str__(self) -> str:
        return self.message()


class InvalidInput(BiaoshiError):
    """What was given breaks a rule; trying again cannot help."""


class IdentifierError(InvalidInput):
    """An identifier breaks a rule; ``details`` has ``position``, counted in bytes from 0."""


class RecordError(InvalidInput):
    """A value or record breaks a rule."""


class MessageError(InvalidInput):
    """Bytes that are no message, statement, seal or receipt of this protocol."""


class NotVerified(BiaoshiError):
    """A proof does not hold. The data it came with must not be used."""


class Refused(BiaoshiError):
    """A node answered with a status other than OK."""

    def __init__(self, rule: Rule, status: Status, /, **details: str | int | float) -> None:
        super().__init__(rule, **details)
        self._status = status

    @property
    def status(self) -> Status:
        return self._status


class Unreachable(BiaoshiError):
    """No answer came: nothing listens there, the connection broke, or time ran out."""


class Unresolved(BiaoshiError):
    """Iterative resolution came to no answer; ``details`` has ``chain``, the zones and servers that were asked."""


class StoreError(BiaoshiError):
    """The store cannot carry this out now."""


class SettingsError(BiaoshiError):
    """Configuration or local files are not usable."""


def render(rule_name: str, details: dict[str, str | int | float], language: str) -> str:
    """The sentence of a rule, or name and details as they are where the rule is not known here."""
    rule = Rule.known.get(rule_name)
    if rule is None:
        return f"{rule_name} {details}" if details else rule_name
    sentence = rule.zh if language == "zh" else rule.en
    try:
        return sentence.format(**details)
    except (KeyError, IndexError):
        # Details from an older or newer peer may not fit the sentence; the name is still right.
        return f"{rule_name} {details}"
