"""Four services that meet only in topics."""
