"""What every test may ask for. A program that is not installed: see tests/programs.py."""

import importlib.util

# The real servers: nginx-rtmp with ffmpeg publishers, and Redis.
pytest_plugins = [name for name in ("tests.servers", "tests.redis_servers") if importlib.util.find_spec(name)]
