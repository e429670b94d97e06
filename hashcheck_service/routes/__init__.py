"""The HTTP endpoints: thin. Bytes in, a call of `checks`, bytes out. openapi.yaml is their contract."""
