"""The files of the report: how one content is written as JSON, CSV, XLSX, DOCX and PDF. Pure, and heavy on the CPU."""
