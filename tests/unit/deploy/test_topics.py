"""The topic job on the command line: what it says when it is not told enough."""

import pytest

from deploy.topics import main


def test_missing_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)

    with pytest.raises(SystemExit, match="KAFKA_BOOTSTRAP_SERVERS is not set"):
        main()


@pytest.mark.parametrize("value", ["0", "three", "-1", ""])
def test_replication_that_is_no_count_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("DONDOC_TOPIC_REPLICATION", value)

    with pytest.raises(SystemExit, match="must be a whole number, 1 or more"):
        main()
