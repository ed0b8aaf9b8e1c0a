"""The writer's side of the desk."""

from __future__ import annotations

from collections.abc import AsyncIterator

from protocol.errors import MessageError, RecordError
from protocol.limits import MAX_LIST
from protocol.messages import Op
from protocol.templates import Template, encode_template, read_template
from registry.client import RegistryClient
from registry.replies import BAD_REPLY
from registry.templates.checking import NO_SUCH


class TemplateClient(RegistryClient):
    """A connection to a registry that also knows templates."""

    async def put_template(self, template: Template) -> bool:
        """Keep a template, or disable items of one that is kept; whether that changed something. Raises
        :class:`~protocol.errors.BiaoshiError`."""
        changed = (await self._ask(Op.TEMPLATE, encode_template(template))).payload
        if not isinstance(changed, bool):
            raise MessageError(BAD_REPLY, operation="template")
        return changed

    async def template(self, prefix: str, version: int) -> Template:
        """A version of a prefix's template. Raises :class:`RecordError` where there is none."""
        found, _ = self._templates((await self._ask(Op.TEMPLATES, prefix.encode(), version)).payload)
        if not found:
            raise RecordError(NO_SUCH, prefix=prefix, version=version)
        return found[0]

    async def templates(self, prefix: str) -> AsyncIterator[Template]:
        """All versions of a prefix's template."""
        cursor: bytes | None = None
        while True:
            found, cursor = self._templates((await self._ask(Op.TEMPLATES, prefix.encode(), cursor, MAX_LIST)).payload)
            for template in found:
                yield template
            if cursor is None:
                return

    @staticmethod
    def _templates(payload: object) -> tuple[list[Template], bytes | None]:
        match payload:
            case (tuple(items), (None | bytes()) as cursor) if all(type(item) is bytes for item in items):
                return [read_template(item) for item in items], cursor
        raise MessageError(BAD_REPLY, operation="templates")
