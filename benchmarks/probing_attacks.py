"""Ways to read a listed PDQ hash off yes-or-no answers, from a picture that is near it.

Each attacker asks until it is stopped, and says which bits of the listed hash it knows for certain.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Protocol

BITS = 256


class Game(Protocol):
    """What an attacker can do."""

    def ask(self, values: Sequence[int]) -> bool | None:
        """Whether an item of these hashes matches; None where there is no answer."""
        ...

    def pass_by(self, values: Sequence[int]) -> None:
        """An honest item of the same tenant."""
        ...

    def learn(self, bits: Sequence[int]) -> None:
        """These bits are known now."""
        ...


# With two pictures near the listed one.
Attack = Callable[[Game, random.Random, int, int], None]


def listed_hash(rng: random.Random) -> int:
    """As PDQ makes them: half of the bits are ones."""
    return sum(1 << bit for bit in rng.sample(range(BITS), BITS // 2))


def near_hash(rng: random.Random, listed: int, distance: int) -> int:
    """Another hash of PDQ's kind at an even distance from `listed`."""
    ones = [bit for bit in range(BITS) if listed >> bit & 1]
    zeros = [bit for bit in range(BITS) if not listed >> bit & 1]
    return _flip(listed, rng.sample(ones, distance // 2) + rng.sample(zeros, distance // 2))


def probe_in_batches(game: Game, rng: random.Random, near: int, _: int) -> None:
    """Walks far past the edge in one batch, and flips each bit in the next."""
    while True:
        path = list(_path(rng, near, 1))
        answers = [game.ask([value]) for value in path]
        for place, (here, beyond) in enumerate(pairwise(answers)):
            if here and beyond is False:
                _singles(game, rng, path[place])


def walk(game: Game, rng: random.Random, near: int, _: int) -> None:
    """One bit after the other to the edge, then flips each bit from just inside."""
    while True:
        inside = None
        for value in _path(rng, near, 1):
            if not (answer := game.ask([value])):
                if answer is False and inside is not None:
                    _singles(game, rng, inside)
                break
            inside = value


def flips_inside(game: Game, rng: random.Random, near: int, _: int) -> None:
    """Finds the edge by bisection, then flips each bit from just inside."""
    _singles(game, rng, _edge(game, rng, near, 1)[0])


def flips_outside(game: Game, rng: random.Random, near: int, _: int) -> None:
    """The same from just outside: only a wrong bit gives a match."""
    _singles(game, rng, _edge(game, rng, near, 1)[1])


def pairs(game: Game, rng: random.Random, near: int, _: int) -> None:
    """Two bits at a time, so that the number of ones stays even; from just inside."""
    inside, _outside = _edge(game, rng, near, 2)
    for pair in _groups(rng, 2):
        if game.ask([_flip(inside, pair)]) is False:
            game.learn(pair)  # both are right


def balanced_pairs(game: Game, rng: random.Random, near: int, _: int) -> None:
    """A one and a zero at a time, so that the number of ones stays that of a real hash."""
    inside, _outside = _edge(game, rng, near, 2)
    while True:
        ones = [bit for bit in range(BITS) if inside >> bit & 1]
        zeros = [bit for bit in range(BITS) if not inside >> bit & 1]
        rng.shuffle(ones)
        rng.shuffle(zeros)
        for pair in zip(ones, zeros, strict=False):
            if game.ask([_flip(inside, pair)]) is False:
                game.learn(pair)


def pairs_outside(game: Game, rng: random.Random, near: int, _: int) -> None:
    """Pairs from outside: matches are rare, and each tells two bits."""
    _inside, outside = _edge(game, rng, near, 2)
    for pair in _groups(rng, 2):
        if game.ask([_flip(outside, pair)]):
            game.learn(pair)  # both are wrong


def random_sets(game: Game, rng: random.Random, near: int, _: int) -> None:
    """Some dozen random bits at a time, as many as make half of the answers a match; no two hashes are close."""
    _random_sets(game, rng, lambda: near)


def two_pictures(game: Game, rng: random.Random, near: int, other: int) -> None:
    """The same from mixtures of two pictures."""

    def mixed() -> int:
        differing = [bit for bit in range(BITS) if (near ^ other) >> bit & 1]
        return _flip(near, rng.sample(differing, len(differing) // 2 & ~1))

    _random_sets(game, rng, mixed)


def five_in_an_item(game: Game, rng: random.Random, near: int, _: int) -> None:
    """Five flips in one item, which matches if one of them does: half of the items."""
    _in_items(game, rng, near, 5)


def sixteen_in_an_item(game: Game, rng: random.Random, near: int, _: int) -> None:
    """As many as an item holds."""
    _in_items(game, rng, near, 16)


def in_honest_traffic(game: Game, rng: random.Random, near: int, other: int) -> None:
    """Flips, and between them what honest users send: copies of the picture, and pictures that are not listed."""

    class Hidden:
        learn = game.learn
        pass_by = game.pass_by

        def ask(self, values: Sequence[int]) -> bool | None:
            game.pass_by([_flip(other, rng.sample(range(BITS), 2))])
            game.pass_by([listed_hash(rng)])
            return game.ask(values)

    flips_inside(Hidden(), rng, near, other)


ATTACKS: Sequence[Attack] = (
    probe_in_batches, walk, flips_inside, flips_outside, pairs, balanced_pairs, pairs_outside, random_sets,
    two_pictures, five_in_an_item, sixteen_in_an_item, in_honest_traffic,
)  # fmt: skip


def _flip(value: int, bits: Sequence[int]) -> int:
    for bit in bits:
        value ^= 1 << bit
    return value


def _groups(rng: random.Random, size: int) -> Iterator[Sequence[int]]:
    """All bits in groups, again and again in another order."""
    while True:
        bits = rng.sample(range(BITS), BITS)
        yield from (bits[place : place + size] for place in range(0, BITS - size + 1, size))


def _path(rng: random.Random, start: int, step: int) -> Iterator[int]:
    """From `start` on `step` more bits flipped each time, in a random order."""
    bits = rng.sample(range(BITS), BITS)
    for place in range(0, BITS, step):
        yield _flip(start, bits[:place])


def _edge(game: Game, rng: random.Random, near: int, step: int) -> tuple[int, int]:
    """Two neighbours on a path away from `near`, the last that matches and the first that does not."""
    while True:
        path = list(_path(rng, near, step))
        answers: dict[int, bool | None] = {}
        inside, outside = 0, 64 // step
        while outside - inside > 1:
            middle = (inside + outside) // 2
            answers[middle] = game.ask([path[middle]])
            inside, outside = (middle, outside) if answers[middle] else (inside, middle)
        if answers.get(outside) is False:  # else this is no edge, but where the answers end
            return path[inside], path[outside]


def _singles(game: Game, rng: random.Random, start: int) -> None:
    """Flip each bit of a hash at the very edge."""
    for bits in _groups(rng, 1):
        if game.ask([_flip(start, bits)]) is not None:
            game.learn(bits)


def _random_sets(game: Game, rng: random.Random, start: Callable[[], int]) -> None:
    size = 12
    while True:
        matched = game.ask([_flip(start(), rng.sample(range(BITS), size & ~1))])
        size = min(40, size + 1) if matched else max(2, size - 1)


def _in_items(game: Game, rng: random.Random, near: int, size: int) -> None:
    _inside, outside = _edge(game, rng, near, 1)
    for bits in _groups(rng, size):
        if game.ask([_flip(outside, [bit]) for bit in bits]) is False:
            game.learn(bits)  # all are right
