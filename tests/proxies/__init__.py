"""Real proxies in front of a service that runs, and real clients: for long tests and `scripts/bench framing`."""
