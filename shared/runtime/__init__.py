"""The plumbing of a process: consuming, publishing, stores' client, clock, logs, probes. No business noun here."""
