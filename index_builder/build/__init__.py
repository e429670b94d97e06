"""A build from beginning to end: which step comes after which, and what stops it."""
