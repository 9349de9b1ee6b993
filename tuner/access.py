"""When a service lets in only who has a token."""

from __future__ import annotations

import ipaddress

from tuner.errors import SettingsError
from tuner.settings import Settings
from tuner.store import Database
from tuner.store.tokens import tokens_exist


def needs_token(settings: Settings, database: Database) -> bool:
    """Whether a token has to be shown: ``TUNER_AUTH``, else where others may reach the service or a token was made."""
    if settings.auth != "auto":
        return settings.auth == "always"
    return not is_loopback(settings.host) or tokens_exist(database)


def check_start(settings: Settings, database: Database) -> None:
    """Refuse to open the service to others as long as nobody could show a token.

    Raises:
        SettingsError: names the two ways out.
    """
    if settings.auth == "never" or is_loopback(settings.host) or tokens_exist(database, in_force=True):
        return
    raise SettingsError(
        f"{settings.host} can be reached by others, and there is no token that they would have to show. "
        "Create one: tuner token create NAME. Or let in everybody who reaches it: --no-auth."
    )


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach a service at ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
