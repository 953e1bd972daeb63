"""Every metric of notify."""

from prometheus_client import Counter, Gauge, Histogram

ALERTS = Counter("dondoc_notify_alerts_total", "Alerts decided, by kind and reason.", ["kind", "reason"])
DELIVERIES = Counter("dondoc_notify_deliveries_total", "Deliveries by what became of them.", ["channel", "outcome"])
MESSAGES = Counter("dondoc_notify_messages_total", "Messages handed to a channel, by outcome.", ["channel", "outcome"])
SEND_SECONDS = Histogram("dondoc_notify_send_seconds", "Time a channel took over one message.", ["channel"])
PENDING = Gauge("dondoc_notify_pending_messages", "Messages of this replica that wait for their channel.")
FOLDED = Counter(
    "dondoc_notify_folded_total", "Alerts put into a digest, since there were too many an hour.", ["channel"]
)
FORMED_UNTIL = Gauge("dondoc_notify_formed_until_seconds", "Business time up to which messages have been formed.")
WAITING = Gauge("dondoc_notify_waiting_groups", "What is due and not closed yet, since more of it may come.")
BROKEN = Counter("dondoc_notify_broken_groups_total", "Groups that could not be formed for a fault of our own.")
PURGED = Counter("dondoc_notify_purged_total", "What was forgotten, by what it was.", ["what"])
