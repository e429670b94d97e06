"""A child's side of the channel to the supervisor, on the child's event loop."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from hashcheck_core.errors import TransportError
from hashcheck_service.processes.channel import Channel, ChannelError
from hashcheck_service.processes.messages import Answer

A = TypeVar("A", bound=Answer)


class Uplink:
    """Tells messages as they come to whoever asked to hear them, and asks questions. `attach` it to a loop first."""

    def __init__(self, channel: Channel[Any]) -> None:
        self._channel = channel
        self.on_end: Callable[[], None] = lambda: None  # called when the supervisor has ended
        self._handlers: dict[type, Callable[[Any, list[int]], None]] = {}
        self._questions: dict[int, asyncio.Future[Answer]] = {}
        self._number = 0

    def attach(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._channel.fileno(), self._hear)
        self._hear()  # what a new child was told before it was there to listen

    def on(self, kind: type, handler: Callable[[Any, list[int]], None]) -> None:
        """Have `handler` called with each message of this kind and its descriptors, which become its own."""
        self._handlers[kind] = handler

    def say(self, message: msgspec.Struct, descriptors: tuple[int, ...] = ()) -> None:
        with contextlib.suppress(ChannelError):  # its end shows where messages are received
            self._channel.send(message, descriptors)
            if self._channel.waits:
                self._loop.add_writer(self._channel.fileno(), self._flush)

    def say_from_thread(self, message: msgspec.Struct) -> None:
        """`say`, from another thread than that of the event loop."""
        self._loop.call_soon_threadsafe(self.say, message)

    async def ask(self, question: Callable[[int], msgspec.Struct], answer: type[A], seconds: float) -> A:
        """Ask what `question` makes of a number, and wait for the answer of this kind; raises TransportError."""
        self._number = number = self._number + 1
        self._questions[number] = waiting = self._loop.create_future()
        self.say(question(number))
        try:
            async with asyncio.timeout(seconds):
                found = await waiting
        except TimeoutError:
            raise TransportError(
                "The other processes of this machine do not answer.", next_step="See the log of the service."
            ) from None
        finally:
            del self._questions[number]
        assert isinstance(found, answer)
        return found

    def _hear(self) -> None:
        try:
            for message, descriptors in self._channel.receive():
                if isinstance(message, Answer):
                    waiting = self._questions.get(message.number)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(message)
                elif type(message) in self._handlers:
                    self._handlers[type(message)](message, descriptors)
                    continue
                for descriptor in descriptors:
                    os.close(descriptor)
        except ChannelError:
            self._loop.remove_reader(self._channel.fileno())
            self.on_end()

    def _flush(self) -> None:
        try:
            self._channel.flush()
        except ChannelError:  # its end shows where messages are received
            self._loop.remove_writer(self._channel.fileno())
        else:
            if not self._channel.waits:
                self._loop.remove_writer(self._channel.fileno())
