"""The use cases behind the API."""
