"""What people decide about entries, and how builds come to heed it.

    config.review   who may decide, how many must agree, and where it is written
    record     one decision, signed, as one line
    chain      all decisions, each bound to the one before; damage, forgery and gaps are found
    agreement  what they come to: in force, pending, or neither
    file       the chain on disk, grown whole or not at all

They name entries by their opaque ids; no hash stands in them. What an entry is held for is the gates' to say.
"""
