"""Which options reach which store: an installation's list by prefix, Kubeflow's `providers`, and a pipeline root's query.

Knows no Django and opens nothing. Secrets stay where they are: a setting names the environment variables that hold them.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import yaml

VARIABLE = "KFDASH_STORES"
_SCHEMES = ("s3", "gs", "az", "minio")
_OWN = "minio://kfdash/"
_MOST = 1024 * 1024  # bytes of a settings file
_PROVIDER_OPTIONS = ("endpoint", "region", "disableSSL", "forcePathStyle", "s3ForcePathStyle")
_OF_A_QUERY = ("endpoint", "region", "disablessl", "disable_https", "s3forcepathstyle", "use_path_style", "forcepathstyle")
_IGNORED = ("awssdk", "profile", "maxretries")
_SECRET_KEYS = {"accessKeyKey": "access_key_id", "secretKeyKey": "secret_access_key", "tokenKey": "service_account_key"}

Json = Any


class WrongSetting(ValueError):
    """A setting that says nothing usable. The message is for people."""


@dataclass(frozen=True)
class StoreSetting:
    """Options for all that lies at or below `prefix` (`s3://bucket/path`)."""

    prefix: str
    options: Mapping[str, str] = field(default_factory=dict)  # obstore's names
    secrets: Mapping[str, str] = field(default_factory=dict)  # obstore's name → the environment variable that holds it
    sign: bool | None = None  # whether pods get addresses of the bucket; None: where it can be reached from elsewhere

    def covers(self, uri: str) -> bool:
        """Whether a URI is at or below the prefix."""
        return f"{uri.rstrip('/')}/".startswith(f"{self.prefix}/")

    def config(self) -> dict[str, str]:
        """The options with the secrets that are there."""
        return {**self.options, **{name: os.environ[variable] for name, variable in self.secrets.items() if variable in os.environ}}


def best(settings: Iterable[StoreSetting], uri: str) -> StoreSetting | None:
    """The setting with the longest prefix that covers a URI."""
    return max((setting for setting in settings if setting.covers(uri)), key=lambda setting: len(setting.prefix), default=None)


def from_environment() -> tuple[StoreSetting, ...]:
    """What KFDASH_STORES says: the text, or the path of a file with it. Raises WrongSetting."""
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return ()
    if not text.startswith(("[", "{", "- ")) and "\n" not in text:
        try:
            path = pathlib.Path(text)
            if path.stat().st_size > _MOST:
                raise WrongSetting(f"The file {text} of {VARIABLE} is larger than {_MOST // 1024} KiB.")
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise WrongSetting(f"The file {text} of {VARIABLE} cannot be read: {error}.") from None
    try:
        return tuple(_settings(yaml.safe_load(text)))
    except (yaml.YAMLError, RecursionError) as error:
        raise WrongSetting(f"{VARIABLE} is neither YAML nor JSON: {' '.join(str(error).split())[:200]}") from None


def of_query(pipeline_root: str, inherited: StoreSetting | None) -> StoreSetting | None:
    """The setting for all below a pipeline root that has options in its query; None without. Raises WrongSetting."""
    base, mark, query = pipeline_root.partition("?")
    if not mark:
        return None
    given = {name: value for name, value in parse_qsl(query) if name.lower() not in _IGNORED}
    if unknown := [name for name in given if name.lower() not in _OF_A_QUERY]:
        raise WrongSetting(f"The pipeline root {base} has an option {unknown[0]!r}, which is not known: {', '.join(_OF_A_QUERY)}.")
    options = {**(inherited.options if inherited else {}), **_options(given)}
    return StoreSetting(base.rstrip("/"), options, inherited.secrets if inherited else {}, inherited.sign if inherited else None)


def _settings(data: Json) -> Iterable[StoreSetting]:
    if isinstance(data, dict) and isinstance(data.get("providers"), str):
        data = {"providers": yaml.safe_load(data["providers"])}  # as it stands in Kubeflow's config map
    if isinstance(data, dict) and isinstance(data.get("providers"), dict):
        return [setting for scheme, provider in data["providers"].items() for setting in _provider(str(scheme), provider)]
    if not isinstance(data, list):
        raise WrongSetting(f"{VARIABLE} must be a list of {{prefix, options, secret, sign}}, or have Kubeflow's 'providers'.")
    return [_setting(entry) for entry in data]


def _setting(entry: Json) -> StoreSetting:
    if not isinstance(entry, dict) or not isinstance(entry.get("prefix"), str):
        raise WrongSetting(f"Each entry of {VARIABLE} needs a 'prefix' such as s3://bucket/path.")
    if unknown := sorted(set(entry) - {"prefix", "options", "secret", "sign"}):
        raise WrongSetting(
            f"An entry of {VARIABLE} has the unknown member {unknown[0]!r}; known are prefix, options, secret, sign."
        )
    options, secret = entry.get("options") or {}, entry.get("secret") or ""
    if not isinstance(options, dict) or not isinstance(secret, str):
        raise WrongSetting(f"In {VARIABLE}, the 'options' of {entry['prefix']} must be an object and its 'secret' a name.")
    names = [name for name in os.environ if secret and name.startswith(f"{secret}_")]
    secrets = {name.removeprefix(f"{secret}_").lower(): name for name in names}
    return StoreSetting(_prefix(entry["prefix"]), _options(options), secrets, entry.get("sign"))


def _prefix(text: str) -> str:
    scheme, _, rest = text.partition("://")
    if scheme not in _SCHEMES or not rest.strip("/") or f"{text.rstrip('/')}/".startswith(_OWN):
        raise WrongSetting(f"{text!r} in {VARIABLE} is no prefix of a store: s3://bucket/path, gs://…, az://… or minio://….")
    return text.rstrip("/")


def _provider(scheme: str, provider: Json) -> Iterable[StoreSetting]:
    """Kubeflow's `default` of a scheme, which has an empty bucket, and its `overrides` by bucket and key prefix."""
    if scheme not in _SCHEMES or not isinstance(provider, dict):
        raise WrongSetting(f"The provider {scheme!r} in {VARIABLE} is not known; there are {', '.join(_SCHEMES)}.")
    listed = provider.get("overrides") or []
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in (*listed, provider.get("default") or {})):
        raise WrongSetting(
            f"The provider {scheme!r} in {VARIABLE} has a 'default' that is no object, or 'overrides' that are no list."
        )
    for entry in listed:
        place = f"{entry.get('bucketName', '')}/{entry.get('keyPrefix', '')}".strip("/")
        yield StoreSetting(_prefix(f"{scheme}://{place}"), _provided(entry), _secrets(entry))
    if entry := provider.get("default"):
        yield StoreSetting(f"{scheme}:/", _provided(entry), _secrets(entry))


def _provided(entry: Mapping[str, Json]) -> dict[str, str]:
    return _options({name: entry[name] for name in _PROVIDER_OPTIONS if entry.get(name) not in (None, "")})


def _secrets(entry: Mapping[str, Json]) -> dict[str, str]:
    """A secret's key is the environment variable <SECRET>_<KEY>, in capitals and with `_` for what else is in its name."""
    reference = (entry.get("credentials") or {}).get("secretRef") or {}
    return {
        option: re.sub(r"\W", "_", f"{reference.get('secretName', '')}_{reference[name]}").upper()
        for name, option in _SECRET_KEYS.items()
        if reference.get(name)
    }


def _options(given: Mapping[str, Json]) -> dict[str, str]:
    """By obstore's names, those of Go's libraries that Kubeflow uses among them."""
    found: dict[str, str] = {}
    plain = False
    for name, value in given.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        key = name.lower()
        if key in ("disablessl", "disable_https"):
            plain = text.lower() in ("true", "1")
        elif key in ("s3forcepathstyle", "forcepathstyle", "use_path_style"):
            found["virtual_hosted_style_request"] = "false" if text.lower() in ("true", "1") else "true"
        elif key not in _IGNORED:
            found[name] = text
    if found.get("endpoint") and "://" not in found["endpoint"]:
        found["endpoint"] = f"{'http' if plain else 'https'}://{found['endpoint']}"
    return found
