"""What every test may ask for. A program that is not installed: see tests/programs.py."""

import importlib.util
import signal

# Clips, and the real servers: nginx-rtmp with ffmpeg publishers, and Redis.
_PLUGINS = ("tests.scenes", "tests.servers", "tests.http_server", "tests.redis_servers")
# Started in the background (`make test &`), Ctrl-C is ignored, and programs that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [name for name in _PLUGINS if importlib.util.find_spec(name)]
