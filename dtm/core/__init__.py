"""The Tornado core: storage, state transitions, scheduling, HTTP. It names no protocol."""
