"""The door: takes events of agencies and of the authority over HTTP, and promises that they are kept.

IN     POST /v1/events: one CloudEvent, or a batch, with a bearer token
OUT    dondoc.submissions.v1; 202 only once the broker has acknowledged
STATE  none
"""
