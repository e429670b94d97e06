"""`lines`: python-threatexchange's local file. `<type> <hash>` a line, or bare hashes of one configured type.

It has no ids and no categories: the hash itself is the id (entry ids are keyed, so it does not show), and the
config names one category for the whole feed.
"""

from collections.abc import Iterator

from index_builder.config.feed import FeedConfig
from index_builder.feeds.formats.lines import LineReader
from index_builder.feeds.formats.record import BadRow, Item, Reason, Record
from index_builder.feeds.formats.source_file import SourceFile


def read_local_file(source: SourceFile, feed: FeedConfig) -> Iterator[Item]:
    """Rows of a local file. Blank lines are passed over. With `type` in the config a line is a bare hash."""
    category = str(feed.category)
    for line in LineReader(source):
        if line.bad is not None:
            yield line.bad
            continue
        words = line.text.split()
        if not words:
            continue
        if feed.type is not None:
            words.insert(0, feed.type)
        if len(words) != 2:
            expected = "a hash" if feed.type else "a type and a hash"
            yield BadRow(line.number, Reason.MALFORMED_ROW, f"expected {expected}")
            continue
        hash_type, value = words
        yield Record(line.number, f"{hash_type} {value.lower()}", hash_type, value, None, category)
