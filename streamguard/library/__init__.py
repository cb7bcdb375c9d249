"""Known footage: a catalogue beside immutable, checksummed segments, and the search in them."""
