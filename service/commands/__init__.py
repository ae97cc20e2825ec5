"""The sub-commands of `photosite`, one file per group; each has `add_parsers(subparsers)`."""
