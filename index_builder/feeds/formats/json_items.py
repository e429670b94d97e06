"""The objects of one array in a JSON feed, streamed, with limits on depth and size.

The feed is a stranger's: an entry that is too deep or too long costs only itself, and where the JSON ends early or
is none the entries before that stand. What an object means is its format's to say.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import ijson

from index_builder.feeds.formats.record import BadRow, Reason
from index_builder.feeds.formats.source_file import EntryTooLargeError, SourceFile, Utf8Source

MAX_DEPTH: Final = 16
MAX_ENTRY_CHARS: Final = 1024 * 1024
_MAX_NODES: Final = 20_000
_OPEN = frozenset({"start_map", "start_array"})
_CLOSE = frozenset({"end_map", "end_array"})


class JsonItem(NamedTuple):
    number: int
    value: dict[str, Any]


class JsonItems:
    """Iterate over the objects of `array` in the root object (or of a root array).

    `header` holds the scalars of the root object that came before; anything else there is passed over.
    """

    def __init__(self, source: SourceFile, name: str, array: str) -> None:
        self._bytes = Utf8Source(source, name)
        self._array = array
        self.header: dict[str, Any] = {}
        self.found = False

    def __iter__(self) -> Iterator[JsonItem | BadRow]:
        number = 0
        try:
            events = ijson.basic_parse(self._bytes, multiple_values=False)
            for element in self._elements(events):
                number += 1
                yield self._item(number, element)
                self._bytes.entry_ended()
        except EntryTooLargeError:
            yield BadRow(number + 1, Reason.TRUNCATED, "one entry does not end; what follows was not read")
        except (ijson.JSONError, ValueError, ArithmeticError):
            yield BadRow(
                number + 1, Reason.TRUNCATED, "the JSON ends or breaks here; what follows was not read"
            )

    def _item(self, number: int, element: "_Element") -> JsonItem | BadRow:
        if element.too_large:
            return BadRow(
                number, Reason.LINE_TOO_LONG, f"the entry is over {MAX_ENTRY_CHARS} characters or too deep"
            )
        if not isinstance(element.value, dict):
            return BadRow(number, Reason.MALFORMED_ROW, "the entry is not an object")
        if element.replaced and self._bytes.damaged:
            return BadRow(number, Reason.NOT_UTF8, "the entry is not UTF-8")
        return JsonItem(number, element.value)

    def _elements(self, events: Iterator[tuple[str, Any]]) -> Iterator["_Element"]:
        depth = 0
        key = ""
        for event, value in events:
            if depth == 0 and event == "start_array":
                self.found = True
                yield from _array(events)
            elif event in _OPEN:
                if depth == 1 and key == self._array and event == "start_array":
                    self.found = True
                    yield from _array(events)
                else:
                    depth += 1
            elif event in _CLOSE:
                depth -= 1
            elif depth == 1 and event == "map_key":
                key = value
            elif depth == 1 and not self.found and len(self.header) < 100:
                self.header[key] = value


class _Element:
    """One value, put together from events within the limits."""

    def __init__(self) -> None:
        self.value: Any = None
        self.too_large = False
        self.replaced = False
        self._chars = 0
        self._nodes = 0
        self._stack: list[Any] = []
        self._keys: list[str] = []
        self._depth = 0

    def take(self, event: str, value: Any) -> bool:
        """Take one event; True when the element is complete."""
        self._nodes += 1
        if isinstance(value, str):
            self._chars += len(value)
            self.replaced = self.replaced or "\ufffd" in value
        if self._chars > MAX_ENTRY_CHARS or self._nodes > _MAX_NODES or self._depth > MAX_DEPTH:
            self.too_large = True
            self._stack.clear()
        if event in _OPEN:
            self._depth += 1
            if not self.too_large:
                container: Any = {} if event == "start_map" else []
                self._put(container)
                self._stack.append(container)
                self._keys.append("")
        elif event in _CLOSE:
            self._depth -= 1
            if not self.too_large:
                self._stack.pop()
                self._keys.pop()
        elif not self.too_large:
            if event == "map_key":
                self._keys[-1] = value
            else:
                self._put(value)
        return self._depth == 0

    def _put(self, value: Any) -> None:
        if not self._stack:
            self.value = value
        elif isinstance(self._stack[-1], dict):
            self._stack[-1][self._keys[-1]] = value
        else:
            self._stack[-1].append(value)


def _array(events: Iterator[tuple[str, Any]]) -> Iterator[_Element]:
    """The elements of the array just entered, up to its end."""
    element = _Element()
    for event, value in events:
        if event == "end_array" and element._depth == 0:
            return
        if element.take(event, value):
            yield element
            element = _Element()


def text(value: object) -> str:
    """A field as text: numbers as they are written, nothing for null, truth values as JSON has them."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else ""
