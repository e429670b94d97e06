"""review, accept and reject: people look at what gates hold, and decide."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from hashcheck_core.command_line import clock
from hashcheck_core.errors import ConfigError
from hashcheck_core.snapshot.signing import key_id
from index_builder.commands.options import Json, print_json, private_keys
from index_builder.config.file import load_config
from index_builder.config.review import ReviewConfig
from index_builder.report.files import NamedReport, named_report, newest_report
from index_builder.report.held_entries import HeldRow, Opinion, decisions_of, held_rows, person_of
from index_builder.review.agreement import Standing, standings
from index_builder.review.chain import Chain
from index_builder.review.file import decide, public_keys, read_decisions
from index_builder.review.record import Decision, Verdict

_SHOWN = 200

Config = Annotated[Path, typer.Option(help="feeds.toml, with its section `review`.")]
Out = Annotated[Path, typer.Option(help="The directory that holds all snapshots, and reports/.")]
ReportName = Annotated[
    str | None,
    typer.Option("--report", help="A directory below OUT/reports; default: that of the newest build."),
]
Entries = Annotated[
    list[str],
    typer.Argument(metavar="ENTRY...", help="Ids, as review shows them; '-' reads them from standard input."),
]
Reason = Annotated[
    str, typer.Option("--reason", help="Why, for those who come after you. No hash belongs there.")
]
By = Annotated[str, typer.Option("--by", help="Your name, as the section `review` of feeds.toml has it.")]
Key = Annotated[Path, typer.Option("--key", help="Your private key (.pem).")]


def review(
    config: Config,
    out: Out,
    report: ReportName = None,
    gate: Annotated[str | None, typer.Option(help="Only what this gate holds.")] = None,
    feed: Annotated[str | None, typer.Option(help="Only entries of this feed.")] = None,
    category: Annotated[str | None, typer.Option(help="Only entries of this category.")] = None,
    undecided: Annotated[
        bool, typer.Option("--undecided", help="Only what still needs a decision, pending ones too.")
    ] = False,
    ids: Annotated[
        bool, typer.Option("--ids", help="Print the ids alone, one a line: for accept or reject.")
    ] = False,
    history: Annotated[
        bool, typer.Option("--history", help="List every decision ever made instead.")
    ] = False,
    json: Json = False,
) -> None:
    """List what a build held and why, and what people have decided about it since.

    Of the newest build, whether a gate stopped it or not.
    """
    rules = load_config(config).review
    chain = Chain() if rules is None else read_decisions(rules)
    if history:
        _show_history(chain, json=json)
        return
    seen = _report(out, report)
    wanted = [
        row
        for row in held_rows(seen.report, chain, rules)
        if gate in (None, row.gate) and feed in (None, row.feed) and category in (None, row.category)
        if not (undecided and row.decided)
    ]
    if json:
        print_json({"report": seen.name, "held": wanted})
    elif ids:
        sys.stdout.writelines(f"{entry}\n" for entry in dict.fromkeys(row.entry for row in wanted))
    else:
        _show_held(seen.name, wanted)


def accept(
    entries: Entries,
    config: Config,
    out: Out,
    reason: Reason,
    by: By,
    key: Key,
    report: ReportName = None,
    json: Json = False,
) -> None:
    """Have held entries listed by later builds, in spite of what they were held for.

    What a gate holds for another reason it holds again. It is signed, and stays in the decision file for good; a later
    decision about the same entry undoes it.
    """
    _decide(Verdict.ACCEPT, entries, config, out, reason, by, key, report, json=json)


def reject(
    entries: Entries,
    config: Config,
    out: Out,
    reason: Reason,
    by: By,
    key: Key,
    report: ReportName = None,
    json: Json = False,
) -> None:
    """Keep entries out of later builds, whether a gate holds them or not.

    To take an entry out of the list in force at once, `retract` it too.
    """
    _decide(Verdict.REJECT, entries, config, out, reason, by, key, report, json=json)


def _decide(
    verdict: Verdict,
    entries: Sequence[str],
    config: Path,
    out: Path,
    reason: str,
    by: str,
    key: Path,
    report: str | None,
    *,
    json: bool,
) -> None:
    rules = load_config(config).review
    if rules is None:
        raise ConfigError(f"{config} has no [review].", next_step="Say who may decide: see docs/review.md.")
    seen, person = _report(out, report).report, person_of(rules, by)
    [private] = private_keys([key])
    [own] = (one.key for one in public_keys(rules)[person.name] if one.until is None)
    if key_id(private.public_key()) != key_id(own):
        raise ConfigError(f"{key} is not the key of {by}.", next_step="Use your own, with your own name.")
    if "-" in entries:
        entries = [*(entry for entry in entries if entry != "-"), *sys.stdin.read().split()]
    opinion = Opinion(verdict, entries, person, reason, clock())

    def deciding(chain: Chain) -> list[Decision]:
        chain.must_be_of(seen.id_key)
        return decisions_of(opinion, seen, chain, rules)

    chain = decide(rules, private, deciding)
    _tell(dict.fromkeys(entries), chain, rules, json=json)


def _report(out: Path, name: str | None) -> NamedReport:
    found = newest_report(out) if name is None else named_report(out, name)
    if found is None:
        raise ConfigError(f"{out} has no report of a build.", next_step="Run index-builder build first.")
    if not found.report.id_key:
        raise ConfigError(f"Report {found.name} is of an older version.", next_step="Build again.")
    return found


def _tell(entries: Iterable[str], chain: Chain, rules: ReviewConfig, *, json: bool) -> None:
    found = standings(chain.counting, rules)
    if json:
        print_json({"decided": [{"entry": e, "standing": _standing(found[e], rules)} for e in entries]})
        return
    for entry in entries:
        typer.echo(f"{entry}: {_standing(found[entry], rules)}")


def _standing(standing: Standing, rules: ReviewConfig) -> str:
    told = []
    if standing.in_force is not None:
        told.append(f"{standing.in_force.verdict}ed by {' and '.join(standing.in_force.people)}")
    if standing.pending is not None:
        told.append(
            _pending(standing.pending.verdict, standing.pending.people, standing.pending.lacking(rules))
        )
    return "; ".join(told)


def _pending(verdict: str, people: Sequence[str], lacking: int) -> str:
    return f"{verdict} by {' and '.join(people)} waits for {lacking} more"


def _show_held(name: str, rows: Sequence[HeldRow]) -> None:
    table = Table("entry", "feed", "category", "held by", "why", "decided", title=f"Held in {name}")
    for row in rows[:_SHOWN]:
        decided = (
            f"{row.decided} by {' and '.join(row.people)}" if row.decided and not row.pending else row.decided
        )
        pending = _pending(row.pending, row.people, row.lacking) if row.pending else ""
        table.add_row(
            row.entry, row.feed, row.category, row.gate, row.why, "; ".join(filter(None, (decided, pending)))
        )
    console = Console()
    console.print(table)
    if len(rows) > _SHOWN:
        console.print(f"And {len(rows) - _SHOWN:,} more: narrow it down, or ask for --json.")


def _show_history(chain: Chain, *, json: bool) -> None:
    if json:
        print_json({"decisions": chain.decisions, "void": sorted(chain.void)})
        return
    table = Table("", "at", "by", "", "entry", "in spite of", "reason", title="Decisions")
    for one in chain.decisions:
        at, what = f"{one.at:%Y-%m-%d %H:%M}", f"{one.verdict}{' (void)' if one.number in chain.void else ''}"
        table.add_row(str(one.number), at, one.by, what, one.entry, ", ".join(one.grounds), one.reason)
    Console().print(table)
