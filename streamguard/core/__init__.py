"""Pure: values in, values out. No clock, no thread, no file, no network, no logger."""
