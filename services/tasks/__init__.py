"""Sole owner of task truth: every task's one deadline state.

IN     dondoc.submissions.v1 (what agencies and the authority said), and the passing of time
OUT    dondoc.tasks.v1, dondoc.agencies.v1, dondoc.indicators.v1, dondoc.directives.v1;
       GET /v1/tasks, /v1/submissions (token)
STATE  MongoDB {prefix}_tasks: tasks, directives, obligations, agencies, indicators, ledger, parked
"""
