"""From the bytes of a picture to its hashes. Bytes in, hashes or a domain error out; no file, no network."""
