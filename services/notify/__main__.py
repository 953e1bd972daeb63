"""`python -m services.notify`."""

from services.notify.app import SERVICE, build
from services.notify.settings import Settings
from shared.runtime.logs import configure_logs
from shared.runtime.process import serve

settings = Settings()
configure_logs(SERVICE, log_format=settings.log_format, level=settings.log_level)
serve(build(settings), settings)
