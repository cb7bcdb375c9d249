"""Much footage into a library, in parts and on many machines: shards, their merging, and Ray."""
