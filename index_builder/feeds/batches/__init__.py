"""Sealed batches: what `index-builder fetch` leaves and `index-builder build` reads. Nothing here knows the network."""
