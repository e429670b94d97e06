"""The demo: from photographs to a list, a signed snapshot, a running service, and three checks over HTTP.

Everything it makes is in the folder `demo`, made anew at each start. Run it with scripts/demo.
"""

import argparse
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from examples.feed import write_benign, write_feed
from examples.photographs import blank, photograph, reencoded

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "demo"
CONFIG = """\
[snapshot]
expires_after = "7d"
signing_key = "keys/builder.pem"

[[feed]]
name = "example-hotline"
format = "csv"
path = "hotline.csv"
categories = {A = "baseline", B = "national"}

[gates.benign]
pictures = "ordinary"
"""
SETTINGS = """\
snapshots = "snapshots"
trusted_keys = "keys/builder.json"
state = "state"
api_keys = "keys.json"
hit_log = "hits"
"""
PICTURES = (
    ("listed, re-encoded and resized", reencoded(photograph("coffee.png")), "image/jpeg", "match"),
    ("not listed", photograph("rocket.jpg"), "image/jpeg", "no_match"),
    ("blank", blank(), "image/png", "unknown"),
)
console = Console(width=None if sys.stdout.isatty() else 110)


def program(name: str, *arguments: str) -> str:
    """Run one of our programs in the demo folder; what it wrote to standard output."""
    command = [sys.executable, "-m", f"{name}.cli", *arguments]
    console.print(f"[bold]$ {name.replace('_', '-')} {' '.join(arguments)}[/]", highlight=False)
    result = subprocess.run(command, cwd=FOLDER, stdout=subprocess.PIPE, text=True, check=True)
    return result.stdout.strip()


def prepare() -> str:
    """Keys, the feed, a published snapshot and the settings; answers the API key."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    (FOLDER / "feeds.toml").write_text(CONFIG)
    (FOLDER / "service.toml").write_text(SETTINGS)
    write_feed(FOLDER / "hotline.csv")
    write_benign(FOLDER / "ordinary")
    program("index_builder", "keygen", "keys/builder")
    console.print(program("index_builder", "build", "--config", "feeds.toml", "--out", "snapshots"))
    [snapshot] = (FOLDER / "snapshots").glob("0*")
    signing = ("--trusted-keys", "keys/builder.json", "--key", "keys/builder.pem")
    program("index_builder", "publish", f"snapshots/{snapshot.name}", *signing)
    return program("hashcheck_service", "keys", "add", "demo")


def free_port(wanted: int) -> int:
    """`wanted` if nobody listens there, else any free port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(client: httpx.Client, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"demo: the service did not become ready; see {FOLDER / 'service.log'}")
        time.sleep(0.05)


def show_checks(client: httpx.Client) -> bool:
    """Send the three pictures; whether each verdict is as it should be."""
    table = Table("picture", "verdict", "action", "reasons", "matched by", title="POST /v1/check/media")
    right = True
    for name, data, kind, expected in PICTURES:
        answer = client.post("/v1/check/media", content=data, headers={"Content-Type": kind})
        [result] = answer.raise_for_status().json()["results"]
        right &= result["verdict"] == expected
        matched = ", ".join(f"{m['type']} ({m['category']}, {m['sources'][0]})" for m in result["matches"])
        table.add_row(name, result["verdict"], result["action"], ", ".join(result["reasons"]), matched)
    console.print(table)
    return right


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description="Build, serve and check, from photographs to verdicts."
    )
    parser.add_argument("--exit", action="store_true", help="stop after the checks instead of serving on")
    parser.add_argument(
        "--port", type=int, default=8080, help="where to serve (default: 8080, or a free one)"
    )
    options = parser.parse_args()
    key = prepare()
    port = free_port(options.port)
    (FOLDER / "api-key").touch(0o600)
    (FOLDER / "api-key").write_text(key)
    command = [
        sys.executable,
        "-m",
        "hashcheck_service.cli",
        "serve",
        "--config",
        "service.toml",
        "--port",
        str(port),
    ]
    with (FOLDER / "service.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=FOLDER, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
            wait_until_ready(client, process)
            right = show_checks(client)
        if not right:
            raise SystemExit("demo: a verdict is not what it should be")
        if not options.exit:
            console.print(
                f"\nServing on {url} until you stop it with Ctrl-C. In another terminal:\n\n"
                f'  curl -H "Authorization: Bearer $(cat demo/api-key)" -H "Content-Type: image/png" '
                f"\\\n    --data-binary @examples/test-picture.png {url}/v1/check/media\n",
                soft_wrap=True,
                markup=False,
                highlight=False,
            )
            process.wait()
    except KeyboardInterrupt:
        console.print("Stopped.")
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
