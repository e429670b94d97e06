"""scripts/bench NAME [options]: run one benchmark."""

import importlib
import sys

NAMES = {
    "search": "every search engine side by side, on random, real and skewed hashes",
    "serve": "checks per second and latency of the service over loopback",
    "in_process": "what the service's own code costs a request, and where",
}


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        lines = [f"  {name:10} {what}" for name, what in NAMES.items()]
        sys.exit("\n".join(["usage: scripts/bench NAME [--help]", "", *lines]))
    name = sys.argv.pop(1)
    sys.argv[0] = f"scripts/bench {name}"
    importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
