"""`python -m services.ingest`."""

from services.ingest.app import SERVICE, build
from services.ingest.settings import Settings
from shared.runtime.logs import configure_logs
from shared.runtime.process import serve

settings = Settings()
configure_logs(SERVICE, log_format=settings.log_format, level=settings.log_level)
serve(build(settings), settings)
