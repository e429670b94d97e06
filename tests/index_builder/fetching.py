"""What the tests of fetching share: feeds of the simulated sources, and what is listed in the end."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from index_builder.config.feed import FeedConfig
from index_builder.config.file import BuildConfig
from index_builder.feeds.batches.feeds import batch_folder, with_batches
from index_builder.feeds.batches.folder import BatchFolder
from index_builder.feeds.fetching.client import Ask
from index_builder.feeds.fetching.fetch import Fetched, Surroundings, Wishes, fetch_feed
from index_builder.feeds.fetching.retry import Patience
from index_builder.feeds.reading import FeedReading
from index_builder.feeds.rejects import RejectLog
from tests.index_builder.sources import (
    FUNCTION_KEY,
    GROUP,
    PASSWORD,
    SUBSCRIPTION_KEY,
    TOKEN,
    USER,
    Sources,
    basic,
)

ENVIRONMENT = {
    "T_USER": USER,
    "T_PASSWORD": PASSWORD,
    "T_FUNCTION": FUNCTION_KEY,
    "T_SUBSCRIPTION": SUBSCRIPTION_KEY,
    "T_TOKEN": TOKEN,
}
MEANING: dict[str, dict[str, Any]] = {
    "ncmec": {"categories": {"A": "baseline", "B": "national"}},
    "stopncii": {"category": "baseline"},
    "tat": {"categories": {"A": "baseline", "B": "national"}},
    "threatexchange": {"categories": {"A": "baseline", "B": "national"}},
    "csv": {"categories": {"A": "baseline"}},
}
POLLED = ("ncmec", "stopncii", "tat", "threatexchange")


def fetch_section(kind: str, url: str) -> dict[str, Any]:
    return {
        "ncmec": {"url": f"{url}/hashsharing", "user": "env:T_USER", "password": "env:T_PASSWORD"},
        "stopncii": {
            "url": f"{url}/v1",
            "function_key": "env:T_FUNCTION",
            "subscription_key": "env:T_SUBSCRIPTION",
        },
        "tat": {"url": url, "user": "env:T_USER", "password": "env:T_PASSWORD"},
        "threatexchange": {"url": f"{url}/v9.0", "token": "env:T_TOKEN", "privacy_group": GROUP},
        "csv": {"url": f"{url}/lists/hotline.csv"},
    }[kind]


def feed_toml(keys: dict[str, Any]) -> str:
    """One feed as feeds.toml has it."""
    fetch = "".join(f"{name} = {json.dumps(value)}\n" for name, value in keys["fetch"].items())
    own = "".join(
        f"{name} = {{{', '.join(f'{k} = {json.dumps(v)}' for k, v in value.items())}}}\n"
        if isinstance(value, dict)
        else f"{name} = {json.dumps(value)}\n"
        for name, value in keys.items()
        if name != "fetch"
    )
    return f"[[feed]]\n{own}[feed.fetch]\n{fetch}"


@dataclass
class Told:
    """A progress that remembers."""

    steps: list[str] = field(default_factory=list)

    def fetched(self, name: str, pages: int, rows: int, size: int) -> None:
        pass

    def step(self, text: str) -> None:
        self.steps.append(text)


@dataclass
class Desk:
    """One feed of a source and the folder of its batches. The clock is the source's; nobody waits in earnest."""

    server: Sources
    kind: str
    root: Path
    more: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    batches: dict[str, Any] = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    waits: list[float] = field(default_factory=list)
    ahead: Callable[[datetime], datetime] = lambda now: now

    @property
    def feed_keys(self) -> dict[str, Any]:
        return {
            "name": "source",
            "format": self.kind,
            "fetch": {**fetch_section(self.kind, self.server.url), **self.limits},
            **MEANING[self.kind],
            **self.more,
        }

    @property
    def config(self) -> BuildConfig:
        feed = self.feed_keys
        snapshot = {"expires_after": "7d", "signing_key": self.root / "key.pem"}
        return BuildConfig.model_validate({"snapshot": snapshot, "feed": [feed], "batches": self.batches})

    def write_config(self, path: Path) -> None:
        """The same as a file, for a process."""
        path.write_text(
            f'[snapshot]\nexpires_after = "7d"\nsigning_key = "keys/builder.pem"\n{feed_toml(self.feed_keys)}'
        )

    def names_in(self, root: Path) -> list[str]:
        return batch_folder(self.config, self.feed, root).names()

    @property
    def feed(self) -> FeedConfig:
        return self.config.feed[0]

    @property
    def data(self) -> str:
        """What stands in the address of a page, and not in that of a sign-in."""
        return "/api/hash-list" if self.kind == "tat" else ""

    @property
    def folder(self) -> BatchFolder:
        return batch_folder(self.config, self.feed, self.root, signing=True)

    def fetch(self, **wishes: Any) -> Fetched:
        world = Surroundings(
            self.told,
            lambda: self.ahead(self.server.clock),
            lambda attempts: Patience(attempts, self.waits.append, lambda: 1.0),
        )
        return fetch_feed(self.feed, self.folder, world, Wishes(**wishes))

    def a_page(self, ask: Ask) -> bytes:
        """What the source sends for `ask` to whoever may ask."""
        root = fetch_section(self.kind, "")["url"]
        target = f"{root}{ask.path}?{urlencode(ask.params)}"
        self.server.tokens.append("token")
        allowed = {
            "ncmec": {"Authorization": basic()},
            "tat": {"Authorization": "Bearer token"},
            "threatexchange": {"Authorization": f"Bearer {TOKEN}"},
            "stopncii": {"x-functions-key": FUNCTION_KEY, "Ocp-Apim-Subscription-Key": SUBSCRIPTION_KEY},
        }
        answer = self.server.answer("GET", target, allowed[self.kind], b"")
        assert answer.status == 200
        return answer.body

    def read(self, *, fresh_state: bool = False) -> FeedReading:
        """A reading of the feed as a build does it, at its end."""
        [feed] = with_batches(self.config, self.root, fresh_state=fresh_state).feed
        work = self.root / "work"
        work.mkdir(exist_ok=True)
        (work / "source.sqlite").unlink(missing_ok=True)
        self.rejects = RejectLog()
        reading = FeedReading(feed, self.rejects, work, self.server.clock, lambda done, total: None)
        self.records = list(reading)
        return reading

    def listed(self, *, fresh_state: bool = False) -> set[str]:
        """The MD5s that a build would list."""
        self.read(fresh_state=fresh_state)
        return {record.value for record in self.records}
