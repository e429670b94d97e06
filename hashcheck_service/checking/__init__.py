"""Items, snapshot and policy in, verdicts out. Pure: it knows no socket, no file and no clock."""
