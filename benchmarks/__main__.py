"""scripts/bench NAME [options]: run one benchmark."""

import importlib
import sys

NAMES = {
    "search": "every search engine side by side, on random, real and skewed hashes",
    "swap": "snapshots swapped under constant load: failures, latency, memory",
    "build": "a build from CSV to a verified snapshot: seconds, peak memory, bytes",
    "serve": "checks per second and latency of the service over loopback",
    "neighbour": "what one tenant's flood does to another's checks, listed and unlisted",
    "timing": "whether the time of an answer tells listed hashes from others",
    "hits": "what a hit costs: new ones and repeats beside no-matches, and bytes of the hit log",
    "overload": "latency and goodput at half, nine tenths and twice the capacity, in an open loop",
    "concurrency": "searches on the event loop, in threads, or gathered",
    "start": "from the command to ready, and the memory of workers",
    "full_serve": "all of serving in one run, for docs/performance.md",
    "wire": "what reading a request costs, in whatever pieces it comes",
    "framing": "attacks on framing through real proxies: wrong answers by proxy",
    "soak": "minutes of swaps, bad and slow callers and killed workers: nothing wrong, nothing lost",
    "images": "pictures a second beside Pillow's decode, and bits off the reference",
    "probing": "what a tenant reads off the answers until it is noticed, false alarms, cost",
    "served_memory": "search on mapped files beside sealed memory, with small and huge pages",
    "fence": "what the fence around decoders costs, and what it refuses",
    "in_process": "what the service's own code costs a request, and where",
}


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        lines = [f"  {name:13} {what}" for name, what in NAMES.items()]
        sys.exit("\n".join(["usage: scripts/bench NAME [--help]", "", *lines]))
    name = sys.argv.pop(1)
    sys.argv[0] = f"scripts/bench {name}"
    importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
