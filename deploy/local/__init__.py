"""The whole system on one machine without containers: real parts, started here and stopped here."""
