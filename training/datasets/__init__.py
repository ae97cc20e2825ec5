"""Where training pairs come from: one source per file."""
