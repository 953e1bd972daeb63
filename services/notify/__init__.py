"""Decides who hears what, when, over which channel, and remembers what was sent.

IN     dondoc.tasks.v1 (facts), dondoc.agencies.v1 (who is where)
OUT    dondoc.alerts.v1, e-mail; GET /v1/alerts
STATE  MongoDB {prefix}_notify: alerts, deliveries, tasks (newest known), contacts
"""
