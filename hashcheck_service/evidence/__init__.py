"""The hit log: every match is on record before it is answered, and the records cannot be changed unseen."""
