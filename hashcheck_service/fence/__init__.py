"""Processes for code that reads strangers' bytes: forked from a warm parent, one for each file, behind a fence."""
