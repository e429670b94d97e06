"""Bytes of a picture in, hashes out, by processes of their own."""
