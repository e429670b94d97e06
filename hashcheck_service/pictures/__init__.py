"""Bytes of a picture in, hashes out, by processes behind the fence."""
