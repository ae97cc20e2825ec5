"""Files ↔ mosaics: numpy only, never torch."""
