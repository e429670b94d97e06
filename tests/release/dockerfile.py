"""The project's Dockerfile, read into its instructions."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of every line, continuations joined."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(head, rest.strip()) for head, _, rest in (line.partition(" ") for line in lines)]


def final_stage() -> list[tuple[str, str]]:
    """The instructions of the image itself, its FROM first."""
    steps = instructions()
    return steps[max(i for i, (head, _) in enumerate(steps) if head == "FROM") :]


def started_command() -> list[str]:
    """What runs when the image is started without arguments."""
    final = dict(final_stage())
    return [*json.loads(final["ENTRYPOINT"]), *json.loads(final["CMD"])]


def health_command() -> list[str]:
    """What the engine runs to ask whether a container is healthy; it exits 0 then."""
    [listed] = re.findall(r"CMD (\[.*\])", dict(final_stage())["HEALTHCHECK"])
    return [str(word) for word in json.loads(listed)]
