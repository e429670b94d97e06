"""The HTTP endpoints: thin. Bytes in, a call of `checking`, bytes out. openapi.yaml is their contract."""
