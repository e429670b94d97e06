"""Quotas hold over all workers of a machine and over a restart."""

import subprocess
import sys
from pathlib import Path

import pytest

from hashcheck_service.admission.quota import Kind, Quota
from hashcheck_service.admission.usage_table import UsageTable
from hashcheck_service.problems import Problem

KINDS = len(Kind)
ADD = """
import sys
from pathlib import Path
from hashcheck_service.admission.quota import Kind
from hashcheck_service.admission.usage_table import UsageTable
table = UsageTable(Path(sys.argv[1]), len(Kind))
for _ in range(1000):
    table.account("tenant", Kind.HASHES).add(7, 1)
print(table.account("tenant", Kind.HASHES).used(7), flush=True)
sys.stdin.read()
"""


def another_worker(path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", ADD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def limited(path: Path, now: list[float], **limits: int) -> Quota:
    table = UsageTable(path, KINDS)
    return Quota(
        table,
        lambda _: {kind.name.lower(): limits.get(kind.name.lower(), 10**9) for kind in Kind},
        lambda: now[0],
    )


def test_workers_add_up_and_what_a_dead_one_added_stays(tmp_path: Path) -> None:
    path = tmp_path / "usage"
    workers = [another_worker(path) for _ in range(3)]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()  # it has added all, and lives
    mine = UsageTable(path, KINDS)
    mine.account("tenant", Kind.HASHES).add(7, 5)
    assert mine.account("tenant", Kind.HASHES).used(7) == 3005
    for worker in workers:
        worker.kill()
        worker.communicate()
    after = another_worker(path)  # it takes over the column of a dead one
    assert after.stdout is not None
    assert int(after.stdout.readline()) == 4005
    after.kill()
    after.communicate()
    assert mine.account("tenant", Kind.HASHES).used(7) == 4005
    assert mine.account("tenant", Kind.HASHES).used(8) == 0
    assert mine.account("tenant", Kind.MEDIA).used(7) == 0
    assert mine.account("other", Kind.HASHES).used(7) == 0


def test_a_minute_that_is_used_up_is_429_for_that_tenant_alone_until_it_is_over(tmp_path: Path) -> None:
    now = [1000.0 * 60 + 10]
    quota = limited(tmp_path / "usage", now, hashes=10)
    quota.spend("a", Kind.HASHES, 9)
    with pytest.raises(Problem) as over:
        quota.spend("a", Kind.HASHES, 2)
    assert (over.value.status, over.value.code) == (429, "over_quota")
    assert over.value.headers["Retry-After"] == "51"
    quota.spend("a", Kind.HASHES, 1)  # what was refused was not counted
    quota.spend("b", Kind.HASHES, 10)
    again = limited(tmp_path / "usage", now, hashes=10)  # a restart
    with pytest.raises(Problem):
        again.look("a", Kind.HASHES)
    now[0] += 50
    quota.look("a", Kind.HASHES, 10)


@pytest.mark.parametrize("limit", [1, 10, 1000, 50_000])
def test_two_workers_never_spend_more_than_the_quota_and_nearly_all_of_it(tmp_path: Path, limit: int) -> None:
    quotas = [limited(tmp_path / "usage", [60.0], hashes=limit) for _ in range(2)]
    spent, refused = 0, 0
    while refused < 4:
        for quota in quotas:
            try:
                quota.spend("a", Kind.HASHES, 1)
            except Problem:
                refused += 1
            else:
                spent += 1
    assert 0.98 * limit <= spent <= limit


def test_what_no_minute_has_room_for_is_422(tmp_path: Path) -> None:
    quota = limited(tmp_path / "usage", [60.0], hashes=10)
    with pytest.raises(Problem) as over:
        quota.look("a", Kind.HASHES, 11)
    assert (over.value.status, over.value.code) == (422, "larger_than_quota")


def test_matches_are_counted_beyond_their_quota_and_refuse_what_comes_next(tmp_path: Path) -> None:
    quota = limited(tmp_path / "usage", [60.0], matches=3)
    quota.spend("a", Kind.HASHES, 1)
    quota.count("a", Kind.MATCHES, 5)
    with pytest.raises(Problem, match="matches"):
        quota.spend("a", Kind.HASHES, 1)
    quota.spend("b", Kind.HASHES, 1)
    with pytest.raises(Problem, match="matches"):
        quota.look("a", Kind.MEDIA)


def test_a_file_that_is_something_else_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "usage"
    path.write_bytes(b"rubbish")
    table = UsageTable(path, KINDS)
    table.account("a", Kind.HASHES).add(1, 2)
    assert table.account("a", Kind.HASHES).used(1) == 2


def test_more_tenants_than_there_are_rows_are_counted_by_each_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashcheck_service.admission.usage_table._ROWS", 4)
    table = UsageTable(tmp_path / "usage", KINDS)
    accounts = [table.account(name, Kind.HASHES) for name in "abcdefgh"]
    for account in accounts:
        account.add(1, 2)
        account.add(1, 3)
    assert [account.used(1) for account in accounts] == [5] * 8
    assert [account.used(2) for account in accounts] == [0] * 8
