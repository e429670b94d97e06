"""Exact search over the listed hashes: every row within the radius, whatever engine serves it.

Pure: arrays in, rows and distances out. No file, no URL, no clock.
"""
