"""What every test may ask for. A program that is not installed: see tests/programs.py."""

import importlib.util
import os
import signal

from hypothesis import HealthCheck, settings

# Clips, and the real servers: nginx-rtmp and node-media-server with ffmpeg publishers, Redis, and Prometheus.
_PLUGINS = (
    "tests.scenes", "tests.local_servers", "tests.node_media_servers", "tests.http_server", "tests.redis_servers",
    "tests.side_by_side", "tests.small_disks",
    "tests.promises", "tests.prometheus_servers",
)  # fmt: skip
# As the command has it, before FAISS is imported: on a busy machine its threads wait 0.1 s for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Started in the background (`make test &`), Ctrl-C is ignored, and programs that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# How long an example takes says what else the machine does.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

pytest_plugins = [name for name in _PLUGINS if importlib.util.find_spec(name)]
