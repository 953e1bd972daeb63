"""Keeps the aggregates, publishes them, shows them.

IN     dondoc.tasks.v1 (whole tasks), dondoc.{agencies,indicators,directives}.v1, and the passing of time
OUT    dondoc.reports.{weekly,monthly,quarterly,half-yearly,yearly}.v1
       GET /v1/reports/{period}.{json,csv,xlsx,docx,pdf}, the board at GET /, with its login
STATE  MongoDB {prefix}_reporting: of a generation (ADR 0025) task_facts, agencies, indicators, directives, ledgers and
       portions; for good generations, counters, progress, late_facts, reports and prepared
"""
