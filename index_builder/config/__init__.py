"""feeds.toml as typed objects. It loads no engine and no picture library."""
