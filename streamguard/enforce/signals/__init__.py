"""Kill-signals and acknowledgements on the wire, and the streams that carry them."""
