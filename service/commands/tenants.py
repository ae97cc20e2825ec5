"""`photosite tenants`: who owns what on this service, and the end of it."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from service.commands.keys import add_data_dir, open_redis
from training.errors import ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from service.erasure import Estate


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    tenants = subparsers.add_parser("tenants", help="list tenants, delete one with everything that it owns")
    actions = tenants.add_subparsers(title="actions", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="all tenants, and how much they have")
    listing.add_argument("--json", action="store_true", help="print one JSON object a tenant")
    listing.set_defaults(run=run_list)
    delete = actions.add_parser("delete", help="delete a tenant: its keys, jobs, captures, models and files")
    delete.add_argument("tenant", metavar="NAME", help="which")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    delete.set_defaults(run=run_delete)
    for parser in (listing, delete):
        add_data_dir(parser)


@contextmanager
def _open_estate(arguments: argparse.Namespace) -> Iterator[Estate]:
    """What all tenants own, of the running service or of the data folder of one that does not run now."""
    from service.erasure import open_estate  # noqa: PLC0415

    with open_redis(arguments) as (settings, redis):
        yield open_estate(settings, redis)


def run_list(arguments: argparse.Namespace) -> int:
    """Print a line a tenant."""
    with _open_estate(arguments) as estate:
        keys, leaving = estate.tenants.keys(), estate.tenants.leaving()
        rows: list[dict[str, Any]] = [
            {
                "tenant": tenant,
                "keys": sum(key.tenant == tenant for key in keys),
                "jobs": estate.jobs.count_of(tenant),
                "bytes": estate.jobs.ledger.stored_bytes(tenant),
                "being_deleted": tenant in leaving,
            }
            for tenant in sorted({*estate.tenants.names(), *leaving})
        ]
    for row in rows:
        if arguments.json:
            print(json.dumps(row))
        else:
            size = f"{row['keys']} keys, {row['jobs']} jobs, {row['bytes'] / 1e6:.1f} MB"
            print(f"{row['tenant']:<32} {size}{', half deleted' if row['being_deleted'] else ''}")
    return 0


def run_delete(arguments: argparse.Namespace) -> int:
    """Delete a tenant, after asking.

    Raises:
        ConfigError: There is nobody to ask.
    """
    from service.erasure import erase_tenant  # noqa: PLC0415

    if not (arguments.yes or _agreed(arguments.tenant)):
        print("nothing was deleted", file=sys.stderr)
        return 1
    with _open_estate(arguments) as estate:
        counts = erase_tenant(estate, arguments.tenant)
    print(f"deleted {arguments.tenant}: {', '.join(f'{count} {what}' for what, count in counts.items())}")
    return 0


def _agreed(tenant: str) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("--yes: nobody can be asked here whether everything is to be deleted; this option says so")
    question = f"Delete {tenant} with all its keys, jobs, captures, models and files, for good? Type its name again: "
    return input(question).strip() == tenant
