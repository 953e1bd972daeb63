"""Ways to reach people. Each is one file with one callable: `(message) -> Delivered | RetryLater | Refused`."""
