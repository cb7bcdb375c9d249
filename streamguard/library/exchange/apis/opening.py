"""The exchange of a kind and its settings."""

from collections.abc import Mapping

from streamguard.library.exchange.apis.local_file import LocalFile
from streamguard.library.exchange.apis.meta import Meta
from streamguard.library.exchange.apis.ncmec import Ncmec
from streamguard.library.exchange.apis.stopncii import StopNcii
from streamguard.library.exchange.apis.tat import Tat
from streamguard.library.exchange.exchanges import Exchange, ExchangeKind


def opened(kind: ExchangeKind, settings: Mapping[str, str]) -> Exchange:
    """Asks nobody yet. Raises UsageError, ExchangeRefused."""
    match kind:
        case ExchangeKind.NCMEC:
            return Ncmec.opened(settings)
        case ExchangeKind.STOPNCII:
            return StopNcii.opened()
        case ExchangeKind.TAT:
            return Tat.opened(settings)
        case ExchangeKind.THREATEXCHANGE:
            return Meta.opened(settings)
        case ExchangeKind.FILE:
            return LocalFile.opened(settings)
