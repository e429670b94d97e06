"""Putting a finished snapshot in force: signatures, pointers, overlays, stores."""
