"""StreamGuard recognises known violent footage on live streams and has them cut within seconds."""

__version__ = "0.1.0"
