"""Footage that nobody filmed, served as a live stream: for the demo and for the tests."""
