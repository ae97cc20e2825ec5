"""The HTTP interface: requests in, answers out; no pixel is touched here."""
