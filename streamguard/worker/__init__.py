"""The worker: supervises one decoder child a stream, matches, decides, reports."""
