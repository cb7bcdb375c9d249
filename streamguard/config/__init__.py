"""One TOML file and `SG__` environment variables become one frozen tree; an unknown key is an error with its path.

`SG__REDIS__URL=redis://...` sets `redis.url`; the environment wins over the file, an empty variable counts as unset,
and a list is separated by spaces: `SG__STREAMS="rtmp://a/live/1 rtmp://a/live/2"`. Nothing is read at import.
"""

from streamguard.config.load import ENV_PREFIX, load_config
from streamguard.config.server_words import discover_block
from streamguard.config.tree import (
    BreakerConfig,
    Config,
    DiscoverConfig,
    EnforceConfig,
    EvidenceConfig,
    HoldConfig,
    HttpConfig,
    LabelPolicyConfig,
    LibraryConfig,
    LogConfig,
    PolicyConfig,
    RedisConfig,
    SignalsConfig,
    WebhookConfig,
    WorkerConfig,
)

__all__ = [
    "ENV_PREFIX",
    "BreakerConfig",
    "Config",
    "DiscoverConfig",
    "EnforceConfig",
    "EvidenceConfig",
    "HoldConfig",
    "HttpConfig",
    "LabelPolicyConfig",
    "LibraryConfig",
    "LogConfig",
    "PolicyConfig",
    "RedisConfig",
    "SignalsConfig",
    "WebhookConfig",
    "WorkerConfig",
    "discover_block",
    "load_config",
]
