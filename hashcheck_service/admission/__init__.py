"""Who asks (keys), and whether one more request can be taken on: load, slots, quotas. It knows no HTTP."""
