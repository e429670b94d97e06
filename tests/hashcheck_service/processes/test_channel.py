"""Messages between the processes of a service: whole, in order, and no more than each side may say."""

import os
import socket
import tracemalloc
from collections.abc import Iterator

import msgspec
import pytest

from hashcheck_service.processes import messages as m
from hashcheck_service.processes.channel import PACKET_BYTES, Channel, ChannelError
from hashcheck_service.processes.reports import Family, Merge, Sample, lasting, merged

Ends = tuple[Channel[m.ToWorker], Channel[m.FromWorker]]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """The worker's end and the supervisor's."""
    theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker: Channel[m.ToWorker] = Channel(theirs, m.ToWorker, take_descriptors=True)
    supervisor: Channel[m.FromWorker] = Channel(ours, m.FromWorker)
    yield worker, supervisor
    worker.close()
    supervisor.close()


def report(size: int) -> list[Family]:
    return [
        Family(
            "hashcheck_x",
            "X.",
            "counter",
            [Sample("hashcheck_x_total", (("n", str(n)),), n) for n in range(size)],
        )
    ]


def test_messages_of_any_length_arrive_in_order(ends: Ends) -> None:
    worker, supervisor = ends
    sent = [m.Ready(), m.Metrics(report(3000)), m.Alive(), m.Metrics(report(1))]
    assert len(msgspec.msgpack.encode(sent[1])) > 2 * PACKET_BYTES
    received: list[msgspec.Struct] = []
    for message in sent:
        worker.send(message)
    while worker.waits or len(received) < len(sent):
        worker.flush()
        received += [message for message, _ in supervisor.receive()]
    assert received == sent


def test_sending_to_a_side_that_reads_nothing_never_blocks_and_fails_in_the_end(ends: Ends) -> None:
    worker, _ = ends

    def speak() -> None:
        for _ in range(1_000_000):
            worker.send(m.Alive())

    with pytest.raises(ChannelError, match="takes no messages"):
        speak()
    # Whoever goes on all the same adds nothing to what waits.
    tracemalloc.start()
    for _ in range(10_000):
        with pytest.raises(ChannelError):
            worker.send(m.Alive())
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 100_000


def test_descriptors_come_with_their_message_to_who_may_take_them_and_to_nobody_else(ends: Ends) -> None:
    worker, supervisor = ends
    read, write = os.pipe()
    supervisor.send(m.Accept(), [write])
    worker.send(m.Alive(), [write])
    os.close(write)
    [(message, [given])] = worker.receive()
    assert message == m.Accept()
    assert not os.get_inheritable(given)
    assert supervisor.receive() == [(m.Alive(), [])]
    os.write(given, b"x")
    os.close(given)
    assert os.read(read, 9) == b"x"
    assert (
        os.read(read, 9) == b""
    )  # nobody else has it: what was sent to the supervisor was closed on the way
    os.close(read)


@pytest.mark.parametrize(
    "packet", [b"\0", b"\0junk", b"\0" + msgspec.msgpack.encode({"type": "Accept"}), b"\0\xc0"]
)
def test_what_a_worker_may_not_say_is_refused(ends: Ends, packet: bytes) -> None:
    worker, supervisor = ends
    os.write(worker.fileno(), packet)
    with pytest.raises(ChannelError, match="no message"):
        supervisor.receive()


def test_the_end_of_one_side_shows_on_the_other_after_its_last_words(ends: Ends) -> None:
    worker, supervisor = ends
    worker.send(m.Alive())
    worker.close()
    assert supervisor.receive() == [(m.Alive(), [])]
    with pytest.raises(ChannelError, match="ended"):
        supervisor.receive()


def test_reports_are_added_up_or_their_worst_is_kept_and_gauges_end_with_their_process() -> None:
    def one(name: str, kind: str, merge: Merge, value: float) -> Family:
        return Family(name, "", kind, [Sample(name, (("a", "b"),), value)], merge)

    reports = [
        [
            one("c", "counter", Merge.SUM, value),
            one("low", "gauge", Merge.LOWEST, value),
            one("high", "gauge", Merge.HIGHEST, value),
        ]
        for value in (3.0, 1.0, 2.0)
    ]
    assert {family.name: family.samples[0].value for family in merged(reports)} == {
        "c": 6.0,
        "low": 1.0,
        "high": 3.0,
    }
    assert [family.name for family in lasting(reports[0])] == ["c"]
