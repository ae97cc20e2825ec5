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


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    keys = subparsers.add_parser("keys", help="make, list and revoke API keys")
    actions = keys.add_subparsers(title="actions", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key and print it; it cannot be shown again")
    create.add_argument("tenant", help="whose key: each tenant sees only its own jobs, captures and models")
    create.add_argument("--label", default="", help="what the key is for")
    create.set_defaults(run=run_create)
    listing = actions.add_parser("list", help="all keys, without their secrets")
    listing.add_argument("--json", action="store_true", help="print one JSON object a key")
    listing.set_defaults(run=run_list)
    revoke = actions.add_parser("revoke", help="make a key worthless at once")
    revoke.add_argument("id", help="its id, as `photosite keys list` shows it")
    revoke.set_defaults(run=run_revoke)
    for parser in (create, listing, revoke):
        add_data_dir(parser)


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
        _, secret = tenants.create_key(arguments.tenant, arguments.label)
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
            print(f"{key.id}  {key.tenant:<20} {key.created_at:%Y-%m-%d %H:%M}  {key.label}".rstrip())
    return 0


def run_revoke(arguments: argparse.Namespace) -> int:
    """Revoke a key."""
    with open_tenants(arguments) as tenants:
        tenants.revoke(arguments.id)
    return 0
