"""Every metric of notify."""

from prometheus_client import Counter, Gauge, Histogram

ALERTS = Counter("dondoc_notify_alerts_total", "Alerts decided, by kind and reason.", ["kind", "reason"])
DELIVERIES = Counter("dondoc_notify_deliveries_total", "Deliveries by what became of them.", ["channel", "outcome"])
MESSAGES = Counter("dondoc_notify_messages_total", "Messages handed to a channel, by outcome.", ["channel", "outcome"])
SEND_SECONDS = Histogram("dondoc_notify_send_seconds", "Time a channel took over one message.", ["channel"])
PENDING = Gauge("dondoc_notify_pending_deliveries", "Deliveries of this replica whose turn has come, at the last look.")
