"""Pure decisions of the alert pipeline: no I/O, no clock, no framework."""
