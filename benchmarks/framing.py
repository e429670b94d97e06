"""Attacks on framing through real proxies: answers beyond requests, and other callers answered wrongly, by proxy."""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from examples.feed import feed_rows
from examples.photographs import LISTED
from tests.proxies.clients import all_right, asked_by_curl, asked_by_java
from tests.proxies.framing import try_all
from tests.proxies.proxies import PROXIES, missing, proxied
from tests.support import hashes_of, make_site, serving


def run(names: list[str]) -> dict[str, Any]:
    listed = hashes_of(feed_rows((LISTED[0],), ""), LISTED[0])["md5"]
    rows = []
    with tempfile.TemporaryDirectory(prefix="hashcheck-framing-") as root:
        site = make_site(Path(root) / "site")
        site.publish(site.build())
        with serving(site) as server:
            service = int(server.url.rpartition(":")[2])
            for number, name in enumerate(names):
                folder = Path(root) / str(number)
                with proxied(name, service, folder) as port:
                    outcome = try_all(port, server.key, listed)
                    folder.mkdir(exist_ok=True)
                    asked = [ask(port, server.key, listed, folder) for ask in (asked_by_java, asked_by_curl)]
                    rows.append(
                        {
                            "proxy": name,
                            "cases": outcome.cases,
                            "answers_beyond_requests": outcome.extra,
                            "victims": outcome.victims,
                            "victims_wrong": outcome.wrong,
                            "java_right": all_right(asked[0]),
                            "curl_http2_right": all_right(asked[1]),
                            "notes": outcome.notes
                            + [line for lines in asked if not all_right(lines) for line in lines],
                        }
                    )
    return {"benchmark": "framing", "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description="Attacks on framing through real proxies.")
    parser.add_argument("--proxies", nargs="+", default=["direct", *PROXIES], help="only these")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    if names := missing():
        parser.error(f"{', '.join(names)} not found. Run scripts/setup-system first.")
    result = run(options.proxies)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    columns = [name for name in result["rows"][0] if name != "notes"]
    table = Table(*(name.replace("_", " ") for name in columns))
    for row in result["rows"]:
        table.add_row(*(str(row[name]) for name in columns))
    Console().print(table)
    for row in result["rows"]:
        for note in row["notes"]:
            print(f"{row['proxy']}: {note}")


if __name__ == "__main__":
    main()
