"""A fair queue: many requests of one tenant delay another's single one by a turn, not by all of them."""

import asyncio
from collections import Counter

import pytest

from hashcheck_service.admission.fair_queue import FairQueue


async def work(queue: FairQueue, tenant: str, seconds: float, done: list[str]) -> None:
    """One turn that took so long, by the queue's own account; the event loop is not held up."""
    await queue.begin(tenant, 0.0)
    await asyncio.sleep(0)
    done.append(tenant)
    queue.end(tenant, 0.0, seconds)


def order(queue: FairQueue, *wanted: tuple[str, float]) -> list[str]:
    done: list[str] = []

    async def all_of_them() -> None:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for tenant, seconds in wanted:
                group.create_task(work(queue, tenant, seconds, done))

    asyncio.run(all_of_them())
    return done


def test_a_single_request_passes_the_many_of_another_tenant() -> None:
    done = order(FairQueue(1), *[("flood", 1.0)] * 100, ("other", 1.0))
    assert done.index("other") <= 1
    assert len(done) == 101


def test_time_is_shared_equally_whatever_the_size_of_a_turn() -> None:
    done = order(FairQueue(1), *[("small", 1.0)] * 40, *[("large", 10.0)] * 40)
    first = Counter(done[:33])  # the first 60 seconds or so
    assert first["small"] == pytest.approx(30, abs=2)
    assert first["large"] == pytest.approx(3, abs=1)


def test_a_weight_of_three_is_three_times_the_share() -> None:
    done = order(FairQueue(1, {"a": 3.0}), *[("a", 1.0)] * 60, *[("b", 1.0)] * 60)
    assert Counter(done[:40])["a"] == pytest.approx(30, abs=2)


def test_who_was_idle_has_saved_nothing_up() -> None:
    async def idle_then_busy() -> list[str]:
        queue, done = FairQueue(1), list[str]()
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(work(queue, "a", 1.0, done))
            while len(done) < 10:
                await asyncio.sleep(0)
            done.clear()
            for _ in range(20):
                group.create_task(work(queue, "b", 1.0, done))
        return done

    done = asyncio.run(idle_then_busy())
    assert Counter(done[:12])["a"] >= 5


def test_no_more_than_so_many_have_a_turn_at_once_and_all_come_to_theirs() -> None:
    async def some() -> None:
        queue, now, most, ended = FairQueue(3), 0, 0, 0

        async def one(tenant: str) -> None:
            nonlocal now, most, ended
            async with queue.turn(tenant, 0.1):
                now += 1
                most = max(most, now)
                await asyncio.sleep(0)
                now -= 1
            ended += 1

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for place in range(60):
                group.create_task(one("abc"[place % 3]))
        assert (most, ended, queue.waiting) == (3, 60, 0)

    asyncio.run(some())


def test_who_gives_up_while_waiting_or_in_its_turn_holds_nothing() -> None:
    async def some() -> None:
        queue = FairQueue(1)
        never = asyncio.get_running_loop().create_future()

        async def hold(tenant: str) -> None:
            async with queue.turn(tenant):
                await never

        tasks = [asyncio.create_task(hold(name)) for name in "abcab"]
        await asyncio.sleep(0)
        for task in (tasks[1], tasks[0], tasks[3], tasks[2], tasks[4]):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert queue.waiting == 0
        async with asyncio.timeout(5), queue.turn("d"):
            pass

    asyncio.run(some())


def test_who_gives_up_in_the_moment_of_its_turn_passes_it_on() -> None:
    async def some() -> None:
        queue, passed = FairQueue(1), asyncio.Event()
        await queue.begin("a", 0.0)

        async def wants(tenant: str) -> None:
            async with queue.turn(tenant):
                passed.set()

        first, second = asyncio.create_task(wants("b")), asyncio.create_task(wants("c"))
        await asyncio.sleep(0)
        queue.end("a", 0.0, 1.0)  # b has its turn now, and is cancelled before it hears of it
        first.cancel()
        async with asyncio.timeout(5):
            await passed.wait()
        await asyncio.gather(first, second, return_exceptions=True)

    asyncio.run(some())
