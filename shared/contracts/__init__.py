"""The language between services: topics, events, codec. Pydantic only; no I/O, no framework."""
