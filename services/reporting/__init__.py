"""Keeps the aggregates, publishes them, shows them.

IN     dondoc.tasks.v1 (whole tasks), dondoc.agencies.v1 (names), and the passing of time
OUT    dondoc.reports.monthly.v1; GET /v1/reports/{period}.json, the board at GET /
STATE  MongoDB {prefix}_reporting: task_facts, agencies, provinces, progress, reports
"""
