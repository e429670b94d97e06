"""HTTP/1.1 on one connection: reads requests strictly, writes answers, and closes. It knows no endpoint."""
