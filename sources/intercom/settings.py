"""The settings of `[sources.intercom]`, found by dlt's own rules and checked."""

from __future__ import annotations

import ipaddress
import os
from typing import Any
from urllib.parse import urlsplit

import dlt
from dlt.common.configuration import configspec, resolve_configuration
from dlt.common.configuration.exceptions import (
    ConfigurationException,
    ConfigValueCannotBeCoercedException,
    ValueNotSecretException,
)
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.typing import TSecretStrValue

from .errors import ConfigurationError
from .private_parts import source_section

# Intercom's "REST API", regional endpoints
REGIONS = {
    "us": "https://api.intercom.io",
    "eu": "https://api.eu.intercom.io",
    "au": "https://api.au.intercom.io",
}
# Settings of later versions, and what this one does instead. If they were ignored, users would rely on them.
_NOT_BUILT = {
    "privacy": "no column is dropped, hashed or masked",
    "history": "only the newest version of a call is kept",
    "media_days": "recordings and transcripts are not loaded",
}


@configspec
class Settings(BaseConfiguration):
    """`[sources.intercom]` of `.dlt/config.toml`, `secrets.toml` and the environment."""

    access_token: TSecretStrValue | None = None
    region: str = "us"
    base_url: str | None = None
    """overrides the region; https, or http on this machine"""
    api_version: str = "2.14"
    settle_hours: float = 24.0
    """how long after its end a call may still change (recordings and transcripts come later)"""
    retry_seconds: float = 300.0
    """how long to retry while there is no usable answer"""
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 30.0
    """limit of one request, from connecting to the last byte of the answer"""
    lock_wait_seconds: float = 300.0
    """how long to wait for a DuckDB file that another program holds"""

    @property
    def url(self) -> str:
        """The API's root, without a slash at the end."""
        return (self.base_url or REGIONS[self.region]).rstrip("/")

    @property
    def token(self) -> str:
        """The access token; only the `Authorization` header may hold it."""
        if self.access_token is None:
            raise ConfigurationError(
                "no access token: set SOURCES__INTERCOM__ACCESS_TOKEN or INTERCOM_ACCESS_TOKEN, or access_token "
                "under [sources.intercom] in .dlt/secrets.toml",
                "access_token",
            )
        return self.access_token


@configspec
class SourceArguments(BaseConfiguration):
    """The arguments of the source: dlt takes those that are not given from the source's own section."""

    access_token: TSecretStrValue = None  # type: ignore[assignment]  # None makes it required in dlt
    region: str | None = None
    base_url: str | None = None
    api_version: str | None = None
    refresh: str = "all"
    strategy: str = "auto"
    workers: int | None = None
    share: float = 1.0
    id_column: str | None = None
    bad_ids: str = "refuse"
    item_format: str = "arrow"

    def on_partial(self) -> None:
        """Called by dlt if it finds no token."""
        token = os.environ.get("INTERCOM_ACCESS_TOKEN")
        if token and not self.access_token:
            self.access_token = token
            self.resolve()


def resolve_settings(**given: str | None) -> Settings:
    """Find and check the settings of `[sources.intercom]`; a given value comes first.

    Raises:
        ConfigurationError: a value is missing, wrong, or has no effect in this version.
    """
    _refuse_not_built("sources.intercom")
    return _resolve(("sources", "intercom"), given)


def resolve_source_settings(**given: str | None) -> Settings:
    """Find and check the settings of the source that is being made, as `resolve_settings` does."""
    section, name = source_section()
    places = (f"sources.{section}.{name}", f"sources.{name}", f"sources.{section}")
    for place in dict.fromkeys(places):
        _refuse_not_built(place)
    settings = _resolve((), given)
    if section != name:
        _refuse_mixed_sections(settings, name, places)
    return settings


def _refuse_not_built(place: str) -> None:
    """Refuse a setting that this version ignores: nobody may believe that it hides a number."""
    for name, instead in _NOT_BUILT.items():
        setting = f"{place}.{name}"
        variable = setting.replace(".", "__").upper()
        # in the environment a section has one variable for each of its keys
        variables = [each for each in os.environ if each.upper().startswith(f"{variable}__")]
        values: tuple[Any, ...] = (dlt.config.get(setting), dlt.secrets.get(setting))
        off = all(not value or str(value).strip(" '\"").lower() in ("", "false", "no", "off", "0") for value in values)
        if variables or not off:
            raise ConfigurationError(
                f"{variables[0] if variables else f'{name} in [{place}]'} is set, but this version can't do that: "
                f"{instead}; remove the setting",
                name,
            )


def _refuse_mixed_sections(settings: Settings, name: str, places: tuple[str, ...]) -> None:
    """Refuse the token of one section with the host of another.

    A source that is only renamed, `clone(name="intercom_eu")`, inherits from `[sources.intercom]`.
    """
    found: dict[str, str] = {}
    for option in ("access_token", "base_url" if settings.base_url else "region"):
        for place in places:
            accessor = dlt.secrets if option == "access_token" else dlt.config
            value: str | None = accessor.get(f"{place}.{option}")
            if value:
                if str(value).strip() == getattr(settings, option):  # else it was given as an argument
                    found[option] = place
                break
    if len(set(found.values())) > 1:
        where = " and ".join(f"{option} is in [{place}]" for option, place in found.items())
        raise ConfigurationError(
            f"{where}: one workspace's token would be sent to another's host; write both into one section, or make the "
            f'source with clone(name="{name}", section="{name}") and [sources.{name}]'
        )


def _resolve(sections: tuple[str, ...], given: dict[str, str | None]) -> Settings:
    explicit = {name: value for name, value in given.items() if value is not None}
    for name, value in explicit.items():
        if not isinstance(value, str):  # which may be the token, so it is not shown
            raise ConfigurationError(f"{name} is {type(value).__name__}, not text", name)
    try:
        settings = resolve_configuration(Settings(), sections=sections, explicit_value=explicit or None)
    except ConfigValueCannotBeCoercedException as error:
        value = "its value" if error.field_name == "access_token" else repr(error.field_value)
        kind = "a number" if error.hint is float else "text"
        raise ConfigurationError(f"{error.field_name}: {value} is not {kind}", error.field_name) from None
    except ValueNotSecretException as error:
        raise ConfigurationError(misplaced(error), error.key) from None
    except ConfigurationException as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"the source's settings can't be read: {reason}") from None
    if not settings.access_token:
        settings.access_token = os.environ.get("INTERCOM_ACCESS_TOKEN")
    check(settings)
    return settings


def misplaced(error: ValueNotSecretException) -> str:
    """Where a secret belongs that was found in config.toml; to dlt all credentials are secrets."""
    return (
        f"{error.key} is a secret to dlt, which config.toml can't hold; move it to .dlt/secrets.toml, or set "
        f"{error.key.replace('.', '__').upper()}"
    )


def check(settings: Settings) -> None:
    """Refuse what can't work or would be unsafe; `Settings.token` refuses a missing token."""
    token = (settings.access_token or "").strip()
    if any(not 32 < ord(character) < 127 for character in token):
        raise ConfigurationError(
            "access_token holds white space or characters that no token has; copy it again from Intercom's "
            "developer hub",
            "access_token",
        )
    settings.access_token = token or None
    settings.region = settings.region.strip().lower()
    if settings.region not in REGIONS:
        raise ConfigurationError(f"region = {settings.region!r} is not one of us, eu, au", "region")
    if not settings.api_version or not all(c.isalnum() or c == "." for c in settings.api_version):
        raise ConfigurationError(f'api_version = {settings.api_version!r} is no version; use "2.14"', "api_version")
    for name in ("settle_hours", "retry_seconds", "lock_wait_seconds"):
        if not 0 <= getattr(settings, name) < 1e7:
            raise ConfigurationError(f"{name} = {getattr(settings, name)} must be 0 or more", name)
    for name in ("connect_timeout_seconds", "read_timeout_seconds"):
        if not 0 < getattr(settings, name) < 1e7:
            raise ConfigurationError(f"{name} = {getattr(settings, name)} must be more than 0", name)
    if settings.base_url and (fault := _fault_of(settings.base_url)):
        raise ConfigurationError(f"base_url {fault}", "base_url")


def _fault_of(base_url: str) -> str | None:
    try:
        url = urlsplit(base_url)
        host, _ = url.hostname or "", url.port
    except ValueError:
        return "is no URL; write it as https://api.intercom.io"
    if url.username is not None or url.password is not None:
        return "holds credentials; take them out, the token has a setting of its own"
    if url.scheme not in ("http", "https") or not host or any(c.isspace() for c in base_url):
        return f"= {base_url!r} is no https:// address; write it as https://api.intercom.io"
    if url.query or url.fragment:
        return f"= {base_url!r} has a query or a fragment; leave it out"
    if url.scheme == "http" and not is_loopback(host):
        return f"= {base_url!r} would send the token unencrypted; use https://"
    return None


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
