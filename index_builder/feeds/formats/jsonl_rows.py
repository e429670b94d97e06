"""`jsonl`: one JSON object a line with id, type, value, category and, where the type has one, quality."""

from collections.abc import Iterator

import msgspec

from index_builder.config.feed import FeedConfig
from index_builder.feeds.formats.lines import LineReader
from index_builder.feeds.formats.record import BadRow, Item, Reason, Record
from index_builder.feeds.formats.source_file import SourceFile


class _Object(msgspec.Struct):
    id: str
    type: str
    value: str
    category: str
    quality: int | None = None


_decoder = msgspec.json.Decoder(_Object)


def read_jsonl(source: SourceFile, feed: FeedConfig) -> Iterator[Item]:
    """Rows of a jsonl feed. Blank lines and further fields are passed over."""
    for line in LineReader(source):
        if line.bad is not None:
            yield line.bad
            continue
        if not line.text.strip():
            continue
        try:
            row = _decoder.decode(line.text)
        except msgspec.ValidationError as error:  # names fields and types, never values
            yield BadRow(line.number, Reason.MALFORMED_ROW, str(error))
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            yield BadRow(line.number, Reason.MALFORMED_ROW, "the line is not one JSON object")
        else:
            yield Record(line.number, row.id, row.type, row.value, row.quality, row.category)
