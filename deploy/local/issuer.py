"""The issuer of trials and tests. A province has one of its own."""

from pathlib import Path
from typing import Final, Self

from deploy.issuer import FileIssuer, IssuerError

ISSUER: Final = "https://dondoc.local/issuer"


class Issuer(FileIssuer):
    """A file-based issuer that is made where it is first asked for."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The issuer of this folder; made on first use."""
        return cls.existing(folder) or cls.make(folder, issuer=ISSUER)

    @classmethod
    def existing(cls, folder: Path) -> Self | None:
        """The issuer of this folder, if it has one."""
        try:
            return cls.load(folder)
        except IssuerError:
            return None
