"""Lists of hashes that others share: read, judged, searched, told of, and written again for others."""
