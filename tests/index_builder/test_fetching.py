"""Polling: every source by its own rules, over real sockets, with whatever goes wrong on the way."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashcheck_core.errors import ConfigError, FeedError, HashcheckError, TransportError
from hashcheck_stores.store import Pace
from index_builder.feeds.fetching.client import Ask, PageError
from index_builder.feeds.fetching.poller import entries
from index_builder.feeds.fetching.retry import TransientError
from index_builder.feeds.fetching.source import Source
from tests.index_builder.fetching import ENVIRONMENT, POLLED, Desk
from tests.index_builder.sources import START, Answer, Entry, Sources, sources
from tests.servers import https_server
from tests.specimens.feeds import NCMEC_NS, md5

HTML = b"<!DOCTYPE html><html><body>Please sign in</body></html>"


@pytest.fixture(scope="module")
def running() -> Iterator[Sources]:
    with sources() as server:
        yield server


@pytest.fixture
def server(running: Sources, monkeypatch: pytest.MonkeyPatch) -> Sources:
    """A source with eight entries, as if it had just been started."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    running.reset()
    running.put(*(Entry(n, START + timedelta(minutes=n)) for n in range(8)))
    return running


@pytest.fixture(params=POLLED)
def desk(request: pytest.FixtureRequest, server: Sources, tmp_path: Path) -> Desk:
    return Desk(server, request.param, tmp_path)


def md5s(*numbers: int) -> set[str]:
    return {md5(number) for number in numbers}


def later(server: Sources, **by: float) -> None:
    server.clock += timedelta(**by)


# Every source


def test_all_of_it_comes_and_then_what_is_new(desk: Desk) -> None:
    first = desk.fetch()
    assert (first.full, first.rows, first.pages) == (True, 8, 3)
    assert desk.listed() == md5s(*range(8))
    later(desk.server, hours=2)
    now = desk.server.clock - timedelta(minutes=1)
    desk.server.put(Entry(8, now), Entry(2, now, deleted=True), Entry(3, now, code="B"))
    second = desk.fetch()
    assert not second.full
    assert second.rows < 8
    assert desk.listed() == md5s(0, 1, *range(3, 9))
    if desk.kind != "stopncii":  # which has no code
        assert {r.category for r in desk.records if r.value == md5(3)} == {"B"}
    assert desk.listed(fresh_state=True) == md5s(0, 1, *range(3, 9))


def test_a_seal_says_what_came_and_from_where(desk: Desk) -> None:
    desk.fetch()
    later(desk.server, hours=2)
    desk.fetch()
    first, second = desk.folder.in_force()
    assert second.seal.previous == first.id
    assert (first.seal.full, second.seal.full) == (True, False)
    assert first.seal.source.startswith(desk.feed.fetch.url)  # type: ignore[union-attr, arg-type]
    assert first.seal.checkpoint
    assert first.seal.rows == sum(page.rows for page in first.seal.pages) == 8
    assert second.seal.fetched_at == desk.server.clock
    reading = desk.read()
    assert reading.batch == second.id
    assert reading.delivered_at == desk.server.clock
    assert reading.size == first.seal.size + second.seal.size


def test_a_source_that_is_down_for_a_moment_is_asked_again_and_no_page_twice(desk: Desk) -> None:
    desk.server.fail(2, Answer(b"", 503))
    desk.fetch()
    assert desk.waits == [1.0, 2.0]
    assert desk.listed() == md5s(*range(8))


def test_a_fetch_that_fails_goes_on_where_it_was(desk: Desk) -> None:
    asked: list[str] = []
    pages = [0]

    def third_page_fails(path: str) -> Answer | None:
        asked.append(path)
        pages[0] += "token-auth" not in path
        return Answer(b"", 500) if pages[0] >= 3 and broken else None

    broken = True
    desk.server.faults.append(third_page_fails)
    with pytest.raises(TransportError, match="answers 500, 6 times"):
        desk.fetch()
    assert desk.folder.names() == []
    with pytest.raises(FeedError, match="has no batch"):
        desk.read()
    broken = False
    before = len(asked)
    desk.fetch()
    again = [path for path in asked[before:] if "token-auth" not in path]
    assert again[0] == asked[before - 1]  # the page that failed, and none before it
    assert len(again) == 2  # and then what is new since the first run began
    assert desk.folder.in_force()[0].seal.rows == 8
    assert desk.listed() == md5s(*range(8))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(HTML), "HTML page"),
        (Answer(b"{}", kind="text/html; charset=utf-8"), "HTML page"),
        (Answer(b""), "damaged"),
        (Answer(b'{"error": "try later"}'), "damaged"),
    ],
    ids=["html", "html-by-its-type", "nothing", "another-json"],
)
def test_what_is_no_page_is_kept_aside_and_changes_nothing(desk: Desk, answer: Answer, says: str) -> None:
    desk.fetch()
    later(desk.server, hours=2)
    desk.server.fail(99, answer, desk.data)
    with pytest.raises(FeedError, match=says) as caught:
        desk.fetch()
    [kept] = (desk.folder.path / "damaged").iterdir()
    assert str(kept) in str(caught.value)
    assert kept.read_bytes() == answer.body
    assert desk.listed() == md5s(*range(8))  # as before
    desk.server.faults.clear()
    desk.server.put(Entry(8, desk.server.clock - timedelta(minutes=1)))
    desk.fetch()
    assert desk.listed() == md5s(*range(9))


def test_a_truncated_page_that_comes_whole_the_second_time_is_no_news(desk: Desk) -> None:
    left = [1]

    def cut_once(path: str, body: bytes) -> bytes:
        left[0] -= 1
        return body[: len(body) * 2 // 3] if left[0] == 0 else body

    desk.server.spoil = cut_once
    desk.fetch()
    assert desk.waits == [1.0]
    assert desk.listed() == md5s(*range(8))


def test_a_broken_connection_is_tried_again(desk: Desk) -> None:
    desk.server.fail(1, Answer(b"x" * 1000, cut=True), desk.data)
    desk.fetch()
    assert desk.waits == [1.0]
    assert desk.listed() == md5s(*range(8))


@pytest.mark.parametrize("kind", ["ncmec", "stopncii", "threatexchange"])
def test_rows_that_come_on_two_pages_change_nothing(kind: str, server: Sources, tmp_path: Path) -> None:
    desk = Desk(server, kind, tmp_path)
    server.stutters = True
    assert desk.fetch().rows == 11
    assert desk.listed() == md5s(*range(8))
    assert len(desk.records) == 8


def test_a_page_that_leads_back_is_an_error_and_the_next_run_begins_again(desk: Desk) -> None:
    desk.server.replays = True  # whatever is asked for, the first page comes
    with pytest.raises(FeedError, match="leads in a circle"):
        desk.fetch()
    desk.server.replays = False
    desk.fetch()
    assert desk.listed() == md5s(*range(8))


def test_a_clock_that_is_ahead_is_refused_before_anything_is_missed(desk: Desk) -> None:
    desk.ahead = lambda now: now + timedelta(hours=3)
    with pytest.raises(ConfigError, match="180 minutes ahead"):
        desk.fetch()
    desk.ahead = lambda now: now + timedelta(minutes=4)
    desk.fetch()
    later(desk.server, minutes=3)
    desk.server.put(Entry(8, desk.server.clock - timedelta(minutes=2)))
    desk.fetch()
    assert desk.listed() == md5s(*range(9))


def test_a_clock_that_was_set_back_is_refused(desk: Desk) -> None:
    desk.fetch()
    desk.ahead = lambda now: now - timedelta(hours=1)
    with pytest.raises(ConfigError, match="still to come"):
        desk.fetch()


@pytest.mark.parametrize("kind", ["stopncii", "threatexchange"])
def test_an_entry_dated_in_the_future_hides_nothing_that_comes_after(
    kind: str, server: Sources, tmp_path: Path
) -> None:
    desk = Desk(server, kind, tmp_path)
    server.lets_future_through = True
    server.put(Entry(7, server.clock + timedelta(days=300)))
    desk.fetch()
    later(desk.server, hours=1)
    desk.server.put(Entry(8, desk.server.clock - timedelta(minutes=30)))
    desk.fetch()
    assert desk.listed() == md5s(*range(9))


def test_a_list_that_is_suddenly_empty_does_not_replace_the_one_in_force(desk: Desk) -> None:
    desk.fetch()
    desk.server.entries.clear()
    with pytest.raises(FeedError, match=r"suddenly empty; its batches so far have 8 entries"):
        desk.fetch(full=True)
    assert desk.listed() == md5s(*range(8))
    later(desk.server, hours=2)
    assert desk.fetch().rows == 0  # no news is no alarm
    assert desk.listed() == md5s(*range(8))
    desk.more = {"allow_empty": True}
    desk.fetch(full=True)
    assert desk.listed() == set()


def test_a_full_fetch_takes_the_place_of_all_before_it(desk: Desk) -> None:
    desk.fetch()
    assert desk.listed() == md5s(*range(8))
    del desk.server.entries[5]  # gone without a tombstone
    later(desk.server, hours=2)
    desk.fetch()
    assert desk.listed() == md5s(*range(8))
    desk.fetch(full=True)
    assert [batch.seal.full for batch in desk.folder.in_force()] == [True]
    assert desk.listed() == md5s(0, 1, 2, 3, 4, 6, 7)
    later(desk.server, hours=2)
    desk.fetch()
    assert desk.listed() == md5s(0, 1, 2, 3, 4, 6, 7)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_after_any_story_the_list_is_what_the_source_says(
    data: st.DataObject, desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = desk.server
    server.entries.clear()
    server.faults.clear()
    desk.root = tmp_path_factory.mktemp("story")
    server.clock = START
    for _ in range(data.draw(st.integers(1, 4))):
        later(server, hours=data.draw(st.sampled_from([1, 13, 40])))
        for number in data.draw(st.lists(st.integers(0, 12), max_size=8)):
            at = server.clock - timedelta(seconds=data.draw(st.integers(30, 1800)))
            server.put(Entry(number, at, deleted=data.draw(st.booleans())))
        server.page_rows = data.draw(st.integers(1, 4))
        good = [data.draw(st.integers(0, 5))]

        def sometimes(path: str, good: list[int] = good) -> Answer | None:
            good[0] -= 1
            return Answer(b"", 500) if good[0] < 0 else None

        if data.draw(st.booleans()):
            server.faults.append(sometimes)
        try:
            desk.fetch()
        except HashcheckError:
            assert server.faults
        server.faults.clear()
    desk.fetch()
    wanted = {md5(entry.number) for entry in server.entries.values() if not entry.deleted}
    assert desk.listed() == wanted
    assert desk.listed(fresh_state=True) == wanted


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_a_source_sends_is_a_step_or_a_page_error(data: st.DataObject, desk: Desk) -> None:
    """A page is damaged here and there; no other error comes of it than the one that keeps it for a person."""
    with Source(desk.feed, lambda: desk.server.clock) as source:
        poller = source.poller
        cursor = poller.begin("", desk.server.clock).cursor
        page = bytearray(desk.a_page(poller.ask(cursor)))
        for _ in range(data.draw(st.integers(0, 4))):
            place = data.draw(st.integers(0, len(page) - 1))
            page[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        part = desk.root / "page"
        part.write_bytes(page)
        with suppress(PageError):
            entries(part, desk.feed)
            step = poller.read(part, cursor, desk.server.clock)
            if step.cursor is not None:
                assert poller.ask(step.cursor) != poller.ask(cursor)
        passed = poller.past(part, cursor, "")
        assert passed is None or passed.cursor is None or poller.ask(passed.cursor)


# NCMEC


@pytest.fixture
def ncmec(server: Sources, tmp_path: Path) -> Desk:
    return Desk(server, "ncmec", tmp_path)


def ranges(server: Sources) -> list[tuple[str, str]]:
    """What was asked for, pages after the first left out."""
    queries = [dict(parse_qsl(urlsplit(path).query)) for path in server.asked]
    return [(query["from"], query["to"]) for query in queries if "start" not in query]


def test_ncmec_is_asked_in_utc_up_to_some_seconds_ago(ncmec: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    ncmec.fetch()
    later(ncmec.server, hours=2)
    ncmec.fetch()
    assert ranges(ncmec.server) == [
        ("1970-01-01T00:00:00Z", "2026-03-01T23:59:55Z"),
        ("2026-03-01T23:49:55Z", "2026-03-02T01:59:55Z"),  # over the last ten minutes once more
    ]


def test_ncmec_gives_any_number_of_entries_of_one_second(ncmec: Desk) -> None:
    ncmec.server.put(*(Entry(n, START) for n in range(100, 2600)))
    ncmec.server.page_rows = 1000
    ncmec.fetch()
    assert ncmec.listed() == md5s(*range(8), *range(100, 2600))


def test_ncmec_is_asked_for_parts_of_a_range_that_holds_too_much(ncmec: Desk) -> None:
    ncmec.server.claims = lambda seconds: 900_000 if seconds > 30 * 86400 else 6
    later(ncmec.server, days=-1, hours=1)
    assert ncmec.fetch().rows == 8
    asked = ranges(ncmec.server)
    assert len(asked) > 16
    edges = sorted({edge for pair in asked for edge in pair})
    assert edges[0] == "1970-01-01T00:00:00Z"
    assert ncmec.listed() == md5s(*range(8))
    assert ncmec.folder.in_force()[0].seal.covers == {"from": edges[0], "to": edges[-1]}


def test_ncmec_begins_a_range_again_when_its_link_is_too_old(ncmec: Desk) -> None:
    ncmec.server.fail(99, Answer(b"", 500), "start=7")
    with pytest.raises(TransportError):
        ncmec.fetch()
    ncmec.server.faults.clear()
    later(ncmec.server, hours=11)
    ncmec.server.fail(99, Answer(b"", 500), "start=7")
    with pytest.raises(TransportError):
        ncmec.fetch()
    ncmec.server.faults.clear()
    later(ncmec.server, hours=2)
    ncmec.server.asked.clear()
    ncmec.fetch()
    assert ranges(ncmec.server)[0] == ("1970-01-01T00:00:00Z", "2026-03-01T23:59:55Z")
    assert "asks again" in " ".join(ncmec.told.steps)
    assert ncmec.folder.in_force()[0].seal.rows == 8
    assert ncmec.listed() == md5s(*range(8))


@pytest.mark.parametrize(
    "link", ["https://elsewhere.example/v2/entries", "//elsewhere.example/x", "x", r"/\elsewhere.example"]
)
def test_ncmec_is_followed_to_no_other_host(ncmec: Desk, link: str) -> None:
    page = f'<queryResult xmlns="{NCMEC_NS}"><paging><next>{link}</next></paging></queryResult>'
    ncmec.server.fail(99, Answer(page.encode()))
    with pytest.raises(FeedError, match="not a path below the root"):
        ncmec.fetch()
    assert len(ncmec.server.asked) == 6


# StopNCII


def second_page(path: str) -> bool:
    return "startTimestamp=10&" in path and "nextPageToken=3" in path


def test_stopncii_is_not_held_up_for_ever_by_a_page_that_stays_damaged(
    server: Sources, tmp_path: Path
) -> None:
    desk = Desk(server, "stopncii", tmp_path)
    server.spoil = lambda path, body: body[:-150] if second_page(path) else body
    for _ in range(2):
        with pytest.raises(FeedError, match=r"page 2 is damaged.*--skip-damaged source"):
            desk.fetch()
    assert desk.folder.names() == []
    fetched = desk.fetch(skip_damaged=True)
    assert fetched.damaged == 1
    assert desk.listed() == md5s(*range(8))  # what could be read of it told where to go on
    assert desk.rejects.counts == {"malformed_row": 1}
    damaged = [page for page in desk.folder.in_force()[0].seal.pages if page.damaged]
    assert len(damaged) == 1


def test_stopncii_page_of_which_nothing_can_be_read_is_passed_in_a_stride(
    server: Sources, tmp_path: Path
) -> None:
    desk = Desk(server, "stopncii", tmp_path)
    server.put(Entry(20, START + timedelta(minutes=30)))
    server.spoil = lambda path, body: b"\0" if second_page(path) else body
    desk.fetch(skip_damaged=True)
    ten_minutes_on = int((START + timedelta(minutes=12)).timestamp())  # after the last record that came
    assert f"startTimestamp={ten_minutes_on}" in server.asked[-1]
    assert md5(20) in desk.listed()


def test_an_html_page_is_never_gone_past(desk: Desk) -> None:
    desk.server.fail(99, Answer(HTML), desk.data)
    with pytest.raises(FeedError, match="no way past it"):
        desk.fetch(skip_damaged=True)


def test_a_source_with_nothing_but_damage_is_not_gone_past(server: Sources, tmp_path: Path) -> None:
    desk = Desk(server, "stopncii", tmp_path)
    server.spoil = lambda path, body: b"{"
    with pytest.raises(FeedError, match="10 before it were too"):
        desk.fetch(skip_damaged=True)
    assert desk.folder.names() == []


def test_ncmec_is_asked_around_a_damaged_page_second_by_second(ncmec: Desk) -> None:
    ncmec.server.spoil = lambda path, body: body[: body.index(b"image5")] if b"image5" in body else body
    with pytest.raises(FeedError, match="--skip-damaged source"):
        ncmec.fetch()
    later(ncmec.server, hours=-23)
    fetched = ncmec.fetch(skip_damaged=True)
    assert fetched.damaged in (1, 2)  # the second that it is in begins one range and ends another
    assert ncmec.listed() == md5s(0, 1, 2, 3, 4, 6, 7)
    assert set(ncmec.rejects.counts) == {"malformed_row"}


# ThreatExchange


def test_threatexchange_is_fetched_anew_when_tombstones_may_be_missed(
    server: Sources, tmp_path: Path
) -> None:
    desk = Desk(server, "threatexchange", tmp_path)
    desk.fetch()
    del server.entries[4]  # deleted, and the tombstone has been forgotten since
    later(server, days=84)
    assert not desk.fetch().full
    later(server, days=86)
    server.put(Entry(30, server.clock))
    assert desk.fetch().full
    assert "86 days old, and the source forgets what it deleted after 85" in " ".join(desk.told.steps)
    assert desk.listed() == md5s(0, 1, 2, 3, 5, 6, 7, 30)


def test_threatexchange_pages_are_kept_without_the_token_they_repeat(server: Sources, tmp_path: Path) -> None:
    desk = Desk(server, "threatexchange", tmp_path)
    desk.fetch()
    [batch] = desk.folder.in_force()
    assert [page.redacted for page in batch.seal.pages] == [1, 1, 0]
    assert b"access_token=REDACTED" in batch.page(batch.seal.pages[0]).read_bytes()


# Tech Against Terrorism


def test_tat_signs_in_again_when_its_token_runs_out(server: Sources, tmp_path: Path) -> None:
    desk = Desk(server, "tat", tmp_path)
    pages = [0]

    def run_out(path: str) -> Answer | None:
        pages[0] += "hash-list" in path
        return Answer(b"", 401) if pages[0] == 2 and "hash-list" in path else None

    server.faults.append(run_out)
    desk.fetch()
    assert len(server.tokens) == 2
    assert desk.listed() == md5s(*range(8))


# Files


@pytest.fixture
def listfile(server: Sources, tmp_path: Path) -> Desk:
    server.files["/lists/hotline.csv"] = csv(*range(5))
    return Desk(server, "csv", tmp_path)


def csv(*numbers: int) -> bytes:
    lines = ["id,type,value,quality,category", *(f"e{n},md5,{md5(n)},,A" for n in numbers)]
    return "\n".join(lines).encode() + b"\n"


def test_a_file_replaces_the_one_before_it(listfile: Desk) -> None:
    listfile.fetch()
    assert listfile.listed() == md5s(*range(5))
    listfile.server.files["/lists/hotline.csv"] = csv(1, 9)
    later(listfile.server, hours=1)
    assert listfile.fetch().full
    assert listfile.listed() == md5s(1, 9)
    [batch] = listfile.folder.in_force()
    assert batch.page(batch.seal.pages[0]).read_bytes() == csv(1, 9)  # as it was served


@pytest.mark.parametrize(
    ("body", "says"),
    [(HTML, "HTML page"), (b"", "damaged"), (csv(), "suddenly empty"), (b"MD5;SHA1\n", "damaged")],
)
def test_a_file_that_is_not_a_list_leaves_the_one_in_force(listfile: Desk, body: bytes, says: str) -> None:
    listfile.fetch()
    listfile.server.files["/lists/hotline.csv"] = body
    later(listfile.server, hours=1)
    with pytest.raises(FeedError, match=says):
        listfile.fetch()
    assert listfile.listed() == md5s(*range(5))


def test_a_file_of_this_machine_is_sealed_like_any_other(server: Sources, tmp_path: Path) -> None:
    drop = tmp_path / "drop.csv"
    drop.write_bytes(csv(1, 2))
    desk = Desk(server, "csv", tmp_path, limits={"url": None, "path": str(drop)})
    desk.fetch()
    drop.unlink()
    assert desk.listed() == md5s(1, 2)
    with pytest.raises(TransportError, match=r"drop\.csv could not be read"):
        desk.fetch()
    assert desk.listed() == md5s(1, 2)


# Limits, waits and addresses


def test_an_answer_that_trickles_is_broken_off(listfile: Desk) -> None:
    source = Source(listfile.feed, lambda: listfile.server.clock)
    source._client._pace = Pace(bytes_per_second=1e15, grace_seconds=0)
    with source, pytest.raises(TransientError, match="too slowly"):
        source.get(Ask(""), listfile.root / "part")


def test_waits_double_and_a_source_may_ask_for_longer_ones_but_not_for_ever(listfile: Desk) -> None:
    listfile.server.fail(1, Answer(b"", 429, {"Retry-After": "30"}))
    listfile.server.fail(2, Answer(b"", 503))
    listfile.fetch()
    assert listfile.waits == [30.0, 2.0, 4.0]
    in_a_minute = (listfile.server.clock + timedelta(seconds=60)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    listfile.server.fail(1, Answer(b"", 503, {"Retry-After": in_a_minute}))
    listfile.fetch()
    assert listfile.waits[3:] == [60.0]
    listfile.server.fail(1, Answer(b"", 503, {"Retry-After": "7200"}))
    with pytest.raises(TransportError, match="asks to wait for 120 minutes"):
        listfile.fetch()
    assert len(listfile.waits) == 4


@pytest.mark.parametrize("status", [401, 403])
def test_who_is_denied_does_not_ask_again(desk: Desk, status: int) -> None:
    desk.server.fail(99, Answer(b"", status))
    with pytest.raises(ConfigError, match=f"answers {status}: it does not take these credentials"):
        desk.fetch()
    assert len(desk.server.asked) == 1
    assert desk.waits == []


def test_a_redirect_is_followed_on_the_same_host_alone(listfile: Desk) -> None:
    listfile.server.files["/moved.csv"] = csv(7)
    listfile.server.fail(1, Answer(b"", 302, {"Location": "/moved.csv"}))
    listfile.fetch()
    assert listfile.listed() == md5s(7)
    with sources() as other:
        other.files["/lists/hotline.csv"] = csv(8)
        listfile.server.fail(1, Answer(b"", 302, {"Location": f"{other.url}/lists/hotline.csv"}))
        with pytest.raises(TransportError, match="redirects to another host"):
            listfile.fetch()
        assert other.asked == []
    listfile.server.fail(9, Answer(b"", 302, {"Location": "/lists/hotline.csv"}))
    with pytest.raises(TransportError, match="redirects without end"):
        listfile.fetch()


def test_a_page_and_a_run_have_their_limits(desk: Desk) -> None:
    desk.limits = {"max_pages": 2}
    with pytest.raises(TransportError, match="stopped after 2 pages"):
        desk.fetch()
    fetched = desk.fetch()  # two more: the first poll is at its end, and so is what was new since
    assert desk.folder.in_force()[0].seal.rows == 8
    assert len(fetched.batches) == 2
    desk.limits = {"max_page_bytes": 1024}
    desk.server.put(*(Entry(n) for n in range(50, 70)))
    desk.server.page_rows = 100
    with pytest.raises(FeedError, match="more than 1024 bytes"):
        desk.fetch(full=True)
    assert desk.listed() == md5s(*range(8))


def test_a_run_that_takes_too_long_stops_and_goes_on_another_time(desk: Desk) -> None:
    def an_hour(path: str) -> None:
        later(desk.server, hours=1)

    desk.server.faults.append(an_hour)
    desk.limits = {"max_time": "1h"}
    with pytest.raises(TransportError, match="the time that a run may take"):
        desk.fetch()
    desk.server.faults.clear()
    desk.fetch()
    assert desk.listed() == md5s(*range(8))


def test_two_fetches_of_one_feed_exclude_each_other(desk: Desk) -> None:
    with desk.folder.locked(), pytest.raises(TransportError, match="Another fetch"):
        desk.fetch()
    desk.fetch()


def test_a_poll_of_another_address_is_not_gone_on_with(desk: Desk) -> None:
    desk.limits = {"max_pages": 1}
    with pytest.raises(TransportError):
        desk.fetch()
    desk.limits = {}
    port = desk.server.url.rpartition(":")[2]
    [old] = [desk.feed.fetch.url or ""]  # type: ignore[union-attr]
    desk.limits = {"url": old.replace(f"127.0.0.1:{port}", f"localhost:{port}")}
    desk.fetch()
    [batch] = desk.folder.in_force()
    assert "localhost" in batch.seal.source
    assert desk.listed() == md5s(*range(8))
    desk.limits = {}  # and nor is a batch of another address gone on from: that may be another list
    del desk.server.entries[3]
    assert desk.fetch().full
    assert "from another address now" in desk.told.steps[-2]
    assert desk.listed() == md5s(0, 1, 2, *range(4, 8))


def test_a_certificate_that_is_not_trusted_is_refused(server: Sources, tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "list.csv").write_bytes(csv(1))
    with https_server(tmp_path / "www", tmp_path) as (_, url, pem):
        desk = Desk(server, "csv", tmp_path, limits={"url": f"{url}/list.csv", "attempts": 1})
        with pytest.raises(TransportError, match="ConnectError"):
            desk.fetch()
        desk.limits["ca"] = str(pem)
        desk.fetch()
        assert desk.listed() == md5s(1)


def test_a_poller_keeps_the_entry_it_knows_to_be_newer(desk: Desk) -> None:
    """An update that comes late does not undo what is newer."""
    desk.fetch()
    later(desk.server, hours=2)
    newer = Entry(1, desk.server.clock - timedelta(minutes=5), deleted=True)
    desk.server.put(newer)
    desk.fetch()
    later(desk.server, minutes=1)
    desk.server.put(replace(newer, at=newer.at - timedelta(minutes=1), deleted=False))
    desk.fetch()
    assert desk.listed() == md5s(0, *range(2, 8))
