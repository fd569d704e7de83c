"""Built-in protocols. Each imports only `dtm`."""
