"""The offline builder: feeds in, one signed snapshot out. It never serves, and it needs no network.

config -> formats -> vetting -> columns -> hashcheck_core.snapshot.writer
"""
