"""`python -m deploy.checks`: says everything that is wrong with the deployment files; exit status 1 if anything is."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import prometheus_client
import yaml
from prometheus_client.registry import CollectorRegistry
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from deploy.local.processes import REPOSITORY_ROOT
from services.ingest import metrics as ingest_metrics
from services.ingest.settings import Settings as IngestSettings
from services.notify import metrics as notify_metrics
from services.notify.settings import Settings as NotifySettings
from services.reporting import metrics as reporting_metrics
from services.reporting.settings import Settings as ReportingSettings
from services.tasks import metrics as tasks_metrics
from services.tasks.settings import Settings as TasksSettings
from shared.runtime import metrics as runtime_metrics
from shared.runtime.settings import CredentialSettings

SETTINGS: Final[dict[str, tuple[type[BaseSettings], ...]]] = {
    "ingest": (IngestSettings, CredentialSettings),
    "tasks": (TasksSettings, CredentialSettings),
    "notify": (NotifySettings, CredentialSettings),
    "reporting": (ReportingSettings, CredentialSettings),
}
METRICS: Final = (ingest_metrics, tasks_metrics, notify_metrics, reporting_metrics, runtime_metrics)
OTHERS: Final = {
    "DONDOC_TOPIC_REPLICATION",
    "DONDOC_KEYS_DIR",
    "DONDOC_LOGIN_DIR",
    "DONDOC_IMAGE_TAG",
    "DONDOC_PUBLISH_ADDRESS",
}
"""Names that the topic job and the compose file itself read."""


NEEDED_WHERE_READ: Final = {"DONDOC_JWKS_FILE", "DONDOC_JWT_ISSUER", "DONDOC_SMTP_HOST"}
"""Have a default for trials and tests; a server must say its own."""


def variables(settings: type[BaseSettings]) -> dict[str, FieldInfo]:
    """Environment variables of a settings class."""
    prefix = settings.model_config.get("env_prefix", "")
    return {
        str(field.validation_alias or f"{prefix}{name}".upper()): field
        for name, field in settings.model_fields.items()
        if not any(_is_settings(one) for one in (field.annotation, *get_args(field.annotation)))
    }


def _is_settings(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseSettings)


def _needed(service: str) -> set[str]:
    """What the service must be given on a server."""
    read = {variable: field for one in SETTINGS[service] for variable, field in variables(one).items()}
    has_database = (REPOSITORY_ROOT / "services" / service / "mongo.py").exists()
    return {
        *(variable for variable, field in read.items() if field.is_required()),
        *(NEEDED_WHERE_READ & read.keys()),
        *({"MONGODB_URI"} if has_database else ()),
    }


def compose_problems(root: Path) -> Iterator[str]:
    """Names that no service reads, and names that a service needs and does not get."""
    services = yaml.safe_load((root / "docker-compose.yml").read_text())["services"]
    for name, classes in SETTINGS.items():
        read = {variable for one in classes for variable in variables(one)}
        given = set(services[name]["environment"])
        yield from (f"docker-compose.yml: {name} does not read {one}" for one in sorted(given - read))
        yield from (f"docker-compose.yml: {name} needs {one}" for one in sorted(_needed(name) - given))
        if services[name]["command"] != ["python", "-m", f"services.{name}"]:
            yield f"docker-compose.yml: {name} runs {services[name]['command']}"


def example_problems(root: Path) -> Iterator[str]:
    """The example lists every variable there is, and no other; what is commented out shows the default."""
    text = (root / ".env.example").read_text()
    listed = set(re.findall(r"^#?\s*([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))
    defaults: dict[str, set[str]] = {}
    for one in {one for classes in SETTINGS.values() for one in classes}:
        for name, field in variables(one).items():
            defaults.setdefault(name, set()).add(_written(field))
    known = set(defaults) | OTHERS
    yield from (
        f".env.example: {name} shows {shown!r}, the code says {' or '.join(sorted(defaults[name]))}"
        for name, shown in re.findall(r"^#\s*([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE)
        if name in defaults and shown not in defaults[name]
    )
    yield from (f".env.example: nobody reads {one}" for one in sorted(listed - known))
    yield from (f".env.example: {one} is missing" for one in sorted(known - listed))


def _written(field: FieldInfo) -> str:
    """A default as the environment would give it."""
    match field.default:
        case bool() | dict():
            return json.dumps(field.default, ensure_ascii=False)
        case Path():
            return field.default.relative_to(REPOSITORY_ROOT).as_posix()
        case _:
            return str(field.default)


def prometheus_problems(root: Path) -> Iterator[str]:
    """Every service is scraped; every alert is on a metric we have and has its section in the runbook."""
    scraped = yaml.safe_load((root / "deploy/prometheus/scrape.yml").read_text())
    targets = {
        target for job in scraped["scrape_configs"] for one in job["static_configs"] for target in one["targets"]
    }
    services = yaml.safe_load((root / "docker-compose.yml").read_text())["services"]
    wanted = {f"{name}:{services[name]['environment']['DONDOC_HTTP_PORT']}": name for name in SETTINGS}
    yield from (f"scrape.yml: {wanted[one]} is not scraped at {one}" for one in sorted(wanted.keys() - targets))
    yield from (f"scrape.yml: {one} is no service" for one in sorted(targets - wanted.keys()))
    names = metric_names(prometheus_client.REGISTRY)
    runbook = (root / "docs/runbook.md").read_text()
    rules = _rules(root)
    sections = set(re.findall(r"^## (.+)$", runbook, re.MULTILINE))
    yield from (f"docs/runbook.md: {one} is no alert" for one in sorted(sections - {rule["alert"] for rule in rules}))
    for rule in rules:
        yield from (
            f"alerts.yml: {rule['alert']} asks for {one}, which nobody exports"
            for one in sorted(set(re.findall(r"\bdondoc_[a-z_]+", rule["expr"])) - names)
        )
        if not rule["annotations"]["runbook_url"].endswith(f"#{rule['alert'].lower()}"):
            yield f"alerts.yml: {rule['alert']} names another section of the runbook"
        if rule["alert"] not in sections:
            yield f"docs/runbook.md: no section {rule['alert']}"


def promtool_problems(root: Path) -> Iterator[str]:
    """What Prometheus' own tool says of the rules, where it is there."""
    promtool = shutil.which("promtool")
    if promtool is None:
        print("deployment files: no promtool here, so the rules' expressions are not tried (Debian: prometheus)")
        return
    for words in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts.test.yml")):
        done = subprocess.run(
            [promtool, *words], cwd=root / "deploy/prometheus", capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode != 0:
            yield f"promtool {' '.join(words)}:\n{done.stdout}{done.stderr}"


def _rules(root: Path) -> list[dict[str, Any]]:
    content = yaml.safe_load((root / "deploy/prometheus/alerts.yml").read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


def metric_names(registry: CollectorRegistry) -> set[str]:
    """All names under which our metrics can be asked for."""
    assert METRICS, "importing them registers their metrics"
    found: set[str] = set()
    for metric in registry.collect():
        if metric.name.startswith("dondoc_"):
            found |= {metric.name, f"{metric.name}_total", f"{metric.name}_bucket", f"{metric.name}_count"}
    return found


def problems(root: Path = REPOSITORY_ROOT) -> list[str]:
    """Everything that is wrong."""
    return [*compose_problems(root), *example_problems(root), *prometheus_problems(root)]


def main() -> int:
    """Print the problems."""
    found = [*problems(), *promtool_problems(REPOSITORY_ROOT)]
    for one in found:
        print(one)
    print(f"deployment files: {len(found) or 'no'} problem{'' if len(found) == 1 else 's'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
