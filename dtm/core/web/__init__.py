"""The HTTP API: thin handlers, one module per noun."""
