"""What the supervisor and its children say to each other. Each direction has its own set, so that no process can say
what is another's to say."""

from typing import TypeAlias

import msgspec

from hashcheck_service.processes.reports import Report


class _Message(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    pass


class Answer(_Message, frozen=True):
    """The answer to the question of that number."""

    number: int


class Alive(_Message, frozen=True):
    """The child's event loop goes round. Sent about once a second.

    `descriptors`: how many it has open. Only the process itself may count them, for its memory is closed to others.
    Of a worker: how many connections it holds, and since it said so last, how many it closed to make room and how often
    there was none.
    """

    descriptors: int = 0
    connections: int = 0
    closed: int = 0
    pauses: int = 0


class Ready(_Message, frozen=True):
    """The child has started. A worker waits for `Accept` before it takes connections."""


class Accept(_Message, frozen=True):
    """Take connections."""


class FailReadiness(_Message, frozen=True):
    """The service is about to stop: `/readyz` answers 503 `draining`; everything else goes on."""


class StopAccepting(_Message, frozen=True):
    """Take the connections that are established and wait to be taken, then close the listener."""


class Stopped(_Message, frozen=True):
    """The worker has closed the listener."""


class Retire(_Message, frozen=True):
    """Stop accepting, answer what is in hand within `seconds`, and end."""

    seconds: float


class ReportMetrics(_Message, frozen=True):
    """Send `Metrics`."""


class Metrics(_Message, frozen=True):
    """What the child has counted. Sent when asked, now and then, and at the end."""

    report: Report


class AskMetrics(_Message, frozen=True):
    """What have all processes of this machine counted? Answered by `AllMetrics`."""

    number: int


class AllMetrics(Answer, frozen=True):
    """Of all processes, merged, those that have ended included."""

    report: Report


class Offered(_Message, frozen=True):
    """This snapshot is here. With it comes the descriptor of its sealed memory, or none where its files in the state
    directory are to be mapped."""

    snapshot: str


class Withdrawn(_Message, frozen=True):
    """This snapshot is not what was verified any more: it is out of force."""

    snapshot: str


class Doubted(_Message, frozen=True):
    """A worker found this snapshot not to be as signed."""

    snapshot: str


ToWorker: TypeAlias = (
    Accept | FailReadiness | StopAccepting | Retire | ReportMetrics | AllMetrics | Offered | Withdrawn
)
FromWorker: TypeAlias = Alive | Ready | Stopped | Metrics | AskMetrics | Doubted
ToSync: TypeAlias = Retire | ReportMetrics | Offered | Doubted
FromSync: TypeAlias = Alive | Ready | Metrics | Offered | Withdrawn
