"""How a Cog is called, and what becomes of what it says: the same in an engine's process and in one of its own (X8, X9)."""

from __future__ import annotations

import asyncio
import contextvars
import os
import traceback
from typing import Any

import msgspec

from . import _core
from ._answers import no_answer, undone, yes_or_no
from ._codec import encoder
from ._cog import _Cog
from ._context import Context, Running, current
from ._errors import NoRetry
from ._forked import end_child
from ._model import AttemptStatus
from ._outputs import pack, pack_text, safe_repr

SUCCESS = int(AttemptStatus.SUCCESS)
FAILURE = int(AttemptStatus.FAILURE)
NO_RETRIES = int(AttemptStatus.FAILURE_NO_RETRIES)
_CUT = 1
_REPR = 2

Answer = tuple[int, "bytes | None", str, int]
"""Status, output as msgpack, error, marks."""

_LONGEST_LINE = 1000
"""Letters of an error's first line that stand before what is left of it."""
CANCELLED: Answer = (FAILURE, None, "cancelled", 0)


class Caller:
    """Turns calls into answers. max_output: bytes that are kept of an output, and of an error. around: how many lists and maps the output will
    stand in when it is sent."""

    def __init__(self, max_output: int, around: int = 0) -> None:
        self.max_output = max_output
        self._around = around
        self._process = os.getpid()

    def call(self, cog: _Cog, running: Running, args: bytes) -> Answer:
        """Calls a plain Cog in this thread, with context variables of its own. Raises nothing, whatever the Cog does."""
        return contextvars.Context().run(self._call, cog, running, args)

    def _call(self, cog: _Cog, running: Running, args: bytes) -> Answer:
        current.set(running)
        try:
            positional, keywords = self._arguments(cog, running, args)
            result = cog.function(*positional, **keywords)
        except BaseException as error:  # SystemExit and KeyboardInterrupt in a Cog are the Cog's affair
            self._demand_process(error)
            return self._failed(error)
        self._demand_process(None)
        return self._answer(result, running)

    async def call_async(self, cog: _Cog, running: Running, args: bytes) -> Answer:
        """Awaits an async Cog, in a task of its own, which has context variables of its own."""
        current.set(running)
        try:
            positional, keywords = self._arguments(cog, running, args)
            result = await cog.function(*positional, **keywords)
        except asyncio.CancelledError as error:
            self._demand_process(error)
            answer = CANCELLED
        except BaseException as error:
            self._demand_process(error)
            answer = self._failed(error)
        else:
            self._demand_process(None)
            answer = self._answer(result, running)
        return answer if running.fault is None else self._failed(running.fault)

    def _demand_process(self, error: BaseException | None) -> None:
        """Does not return in a child that the Cog forked off."""
        if os.getpid() != self._process:
            end_child(error)

    def _arguments(self, cog: _Cog, running: Running, args: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        binding = cog.binding
        try:
            positional, keywords = binding.arguments(binding.decode(args))
        except msgspec.DecodeError as error:
            # They were right at submit: it is another version of the Cog, and trying again does not help.
            raise _WrongArgs(cog.explain(error)) from None
        return ((Context(running), *positional) if binding.takes_context else positional), keywords

    # ---- what came out ----

    def _answer(self, result: Any, running: Running) -> Answer:
        """X8: returning is SUCCESS, but exactly False is FAILURE, and a check says yes or no. X9: a strange output does not undo a success."""
        try:
            said = undone(result)
            word = yes_or_no(result) if said is None and running.call.check else None
        except BaseException as error:  # an object whose own code raises when it is looked at
            return self._failed(error)
        if said is not None:
            return NO_RETRIES, None, said, 0
        if word is not None:
            return (SUCCESS, _TRUE, "", 0) if word else _SAYS_NO
        if result is False:
            return _SAYS_NO
        if running.call.check:
            return FAILURE, None, no_answer(result), 0
        if result is None:
            return SUCCESS, None, "", 0
        output, odd, said = pack(result, self._around)
        if said is not None:
            return NO_RETRIES, None, said, 0
        marks = _REPR if odd else 0
        if len(output) > self.max_output:
            marks |= _CUT
            output = self._cut_output(result, marks)
        return SUCCESS, output, "", marks

    def _cut_output(self, result: Any, marks: int) -> bytes:
        room = max(0, self.max_output - 16)  # a header takes a few bytes
        if isinstance(result, (bytes, bytearray)) and not marks & _REPR:
            return encoder.encode(bytes(result[:room]))
        text = str.__str__(result) if isinstance(result, str) else safe_repr(result)
        return pack_text(text.encode("utf-8", "backslashreplace")[:room].decode("utf-8", "ignore"))

    def _failed(self, error: BaseException) -> Answer:
        if isinstance(error, _WrongArgs):
            return NO_RETRIES, None, str(error), 0
        status = NO_RETRIES if isinstance(error, NoRetry) else FAILURE
        text = _describe(error).encode("utf-8", "replace")
        if len(text) > self.max_output:
            head = f"{_core.error_line(text.decode())[:_LONGEST_LINE]}\n... cut ...\n".encode()
            room = max(0, self.max_output - len(head))
            end = text[-room:].decode("utf-8", "ignore") if room else ""
            return status, None, head.decode() + end, _CUT
        return status, None, text.decode("utf-8"), 0


_TRUE = encoder.encode(True)
_SAYS_NO: Answer = (FAILURE, encoder.encode(False), "the cog returned False", 0)


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
