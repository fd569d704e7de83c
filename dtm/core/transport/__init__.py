"""Calling participants."""
