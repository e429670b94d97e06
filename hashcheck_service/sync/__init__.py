"""The list in force: from the store to this machine's state directory, from there to each worker."""
