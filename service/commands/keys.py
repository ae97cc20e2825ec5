"""`photosite keys`: who may use a service that can be reached from outside."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from redis import Redis

    from service.settings import Settings
    from service.tenants import Tenants

_SCOPES = "read, denoise, train, models (default: all)"
_UNITS = {"m": 60, "h": 3600, "d": 24 * 3600}
"""Seconds."""


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    keys = subparsers.add_parser("keys", help="make, list, replace and revoke API keys")
    actions = keys.add_subparsers(title="actions", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key and print it; it cannot be shown again")
    create.add_argument("tenant", help="whose key: each tenant sees only its own jobs, captures and models")
    create.add_argument("--label", default="", help="what the key is for")
    create.add_argument("--scopes", default=None, metavar="A,B", help=f"what it may be used for: some of {_SCOPES}")
    create.set_defaults(run=run_create)
    listing = actions.add_parser("list", help="all keys, without their secrets")
    listing.add_argument("--json", action="store_true", help="print one JSON object a key")
    listing.set_defaults(run=run_list)
    revoke = actions.add_parser("revoke", help="make a key worthless at once")
    revoke.add_argument("id", help="its id, as `photosite keys list` shows it")
    revoke.set_defaults(run=run_revoke)
    rotate = actions.add_parser("rotate", help="make a key's successor and print it; the old one is good for a while")
    rotate.add_argument("id", help="the old one's id, as `photosite keys list` shows it")
    rotate.add_argument(
        "--grace", type=seconds_of, default="24h", metavar="TIME", help="how long it is: 30m, 24h, 7d, 0 (default: 24h)"
    )
    rotate.set_defaults(run=run_rotate)
    for parser in (create, listing, revoke, rotate):
        add_data_dir(parser)


def seconds_of(text: str) -> int:
    """A span of time, as "90", "30m", "24h" or "7d".

    Raises:
        ValueError: It is none.

    >>> seconds_of("24h")
    86400
    """
    unit = _UNITS.get(text[-1:])
    number = int(text if unit is None else text[:-1])
    if number < 0:
        raise ValueError(text)
    return number * (unit or 1)


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Add the option that says which service is meant."""
    parser.add_argument("--data-dir", type=Path, help="data folder of `photosite serve` (PHOTOSITE_DATA_DIR)")


@contextmanager
def open_redis(arguments: argparse.Namespace) -> Iterator[tuple[Settings, Redis]]:
    """The Redis of the running service, or of the data folder of one that does not run now."""
    from service.embedded import reachable_redis  # noqa: PLC0415
    from service.redis_access import connect_redis  # noqa: PLC0415
    from service.settings import load_settings  # noqa: PLC0415

    settings = load_settings(data_dir=arguments.data_dir)
    with reachable_redis(settings) as redis_url:
        client = connect_redis(settings.model_copy(update={"redis_url": redis_url}))
        try:
            yield settings, client
        finally:
            client.close()


@contextmanager
def open_tenants(arguments: argparse.Namespace) -> Iterator[Tenants]:
    """All tenants and keys."""
    from service.tenants import Tenants  # noqa: PLC0415

    with open_redis(arguments) as (_, redis):
        yield Tenants(redis)


def run_create(arguments: argparse.Namespace) -> int:
    """Print a new key."""
    with open_tenants(arguments) as tenants:
        scopes = {} if arguments.scopes is None else {"scopes": arguments.scopes.split(",")}
        _, secret = tenants.create_key(arguments.tenant, arguments.label, **scopes)
    print(secret)
    return 0


def run_rotate(arguments: argparse.Namespace) -> int:
    """Print a key's successor."""
    with open_tenants(arguments) as tenants:
        _, secret = tenants.rotate(arguments.id, arguments.grace)
    print(secret)
    return 0


def run_list(arguments: argparse.Namespace) -> int:
    """Print a line a key."""
    with open_tenants(arguments) as tenants:
        keys = tenants.keys()
    for key in keys:
        if arguments.json:
            print(json.dumps(key.to_json()))
        else:
            end = f" until {key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else ""
            what = f"{key.created_at:%Y-%m-%d %H:%M}{end}  {','.join(key.scopes)}"
            print(f"{key.id}  {key.tenant:<20} {what}  {key.label}".rstrip())
    return 0


def run_revoke(arguments: argparse.Namespace) -> int:
    """Revoke a key."""
    with open_tenants(arguments) as tenants:
        tenants.revoke(arguments.id)
    return 0
