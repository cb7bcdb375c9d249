"""From a decision to a publisher that is cut and kept out, room by room; the map is in CONTRIBUTING.md."""
