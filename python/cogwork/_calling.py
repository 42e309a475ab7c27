"""How a Cog is called, and what becomes of what it says: the same in an engine's process and in one of its own (X8, X9)."""

from __future__ import annotations

import asyncio
import traceback
from types import CoroutineType
from typing import Any

import msgspec

from . import _core
from ._codec import encoder
from ._cog import _Cog
from ._context import Context, Running, current
from ._errors import NoRetry
from ._model import AttemptStatus

SUCCESS = int(AttemptStatus.SUCCESS)
FAILURE = int(AttemptStatus.FAILURE)
NO_RETRIES = int(AttemptStatus.FAILURE_NO_RETRIES)
_CUT = 1
_REPR = 2

Answer = tuple[int, "bytes | None", str, int]
"""Status, output as msgpack, error, marks."""

CANCELLED: Answer = (FAILURE, None, "cancelled", 0)


class Caller:
    """Turns calls into answers. max_output: bytes that are kept of an output, and of an error."""

    def __init__(self, max_output: int) -> None:
        self.max_output = max_output

    def call(self, cog: _Cog, running: Running, args: bytes) -> Answer:
        """Calls a plain Cog in this thread. Raises nothing, whatever the Cog does."""
        token = current.set(running)
        try:
            return self._call(cog, running, args)
        finally:
            current.reset(token)

    def _call(self, cog: _Cog, running: Running, args: bytes) -> Answer:
        try:
            positional, keywords = self._arguments(cog, running, args)
            result = cog.function(*positional, **keywords)
        except BaseException as error:  # SystemExit and KeyboardInterrupt in a Cog are the Cog's affair
            return self._failed(error)
        if type(result) is CoroutineType:
            result.close()
            said = f"cog {cog.name!r} is a plain function that returned a coroutine: declare it `async def`"
            return NO_RETRIES, None, said, 0
        return self._answer(result)

    async def call_async(self, cog: _Cog, running: Running, args: bytes) -> Answer:
        """Awaits an async Cog, in a task of its own."""
        current.set(running)  # a task has a context of its own
        try:
            positional, keywords = self._arguments(cog, running, args)
            result = await cog.function(*positional, **keywords)
        except asyncio.CancelledError:
            return CANCELLED
        except BaseException as error:
            return self._failed(error)
        return self._answer(result)

    def _arguments(self, cog: _Cog, running: Running, args: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        binding = cog.binding
        try:
            positional, keywords = binding.arguments(binding.decode(args))
        except msgspec.DecodeError as error:
            # They were right at submit: it is another version of the Cog, and trying again does not help.
            raise _WrongArgs(cog.explain(error)) from None
        return ((Context(running), *positional) if binding.takes_context else positional), keywords

    # ---- what came out ----

    def _answer(self, result: Any) -> Answer:
        """X8: returning is SUCCESS, but exactly False is FAILURE. X9: a strange output does not undo a success."""
        if result is None:
            return SUCCESS, None, "", 0
        if result is False:
            return FAILURE, encoder.encode(False), "the cog returned False", 0
        marks = 0
        try:
            output = encoder.encode(result)
        except BaseException:
            marks = _REPR
            output = _encode_text(_safe_repr(result))
        if len(output) > self.max_output:
            marks |= _CUT
            output = self._cut_output(result, marks)
        return SUCCESS, output, "", marks

    def _cut_output(self, result: Any, marks: int) -> bytes:
        room = max(0, self.max_output - 16)  # a header takes a few bytes
        if isinstance(result, (bytes, bytearray)) and not marks & _REPR:
            return encoder.encode(bytes(result[:room]))
        text = result if isinstance(result, str) and not marks & _REPR else _safe_repr(result)
        return encoder.encode(text.encode("utf-8", "replace")[:room].decode("utf-8", "ignore"))

    def _failed(self, error: BaseException) -> Answer:
        if isinstance(error, _WrongArgs):
            return NO_RETRIES, None, str(error), 0
        status = NO_RETRIES if isinstance(error, NoRetry) else FAILURE
        text = _describe(error).encode("utf-8", "replace")
        if len(text) > self.max_output:
            head = f"{_core.error_line(text.decode())}\n... cut ...\n".encode()
            room = max(0, self.max_output - len(head))
            end = text[-room:].decode("utf-8", "ignore") if room else ""
            return status, None, head.decode() + end, _CUT
        return status, None, text.decode("utf-8"), 0


class _WrongArgs(Exception):
    """Args that are not what the Cog takes."""


def _describe(error: BaseException) -> str:
    """The traceback from the Cog's own frames on."""
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
        tb = tb.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, tb)).rstrip("\n")
    except BaseException:  # an exception whose __str__ raises, or that is too deep to format
        return f"{type(error).__name__} (it cannot be described)"


def _safe_repr(value: Any) -> str:
    try:
        return repr(value)
    except BaseException as error:
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"


def _encode_text(text: str) -> bytes:
    return encoder.encode(text.encode("utf-8", "replace").decode("utf-8"))


def run_loop(loop: asyncio.AbstractEventLoop) -> None:
    """The thread of an event loop of cogwork's own, until it is stopped. Tasks that swallow their cancellation are not waited for."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        try:
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.wait(tasks, timeout=1))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
