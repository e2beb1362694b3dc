"""Reports of fits: one document, as a page of HTML, as Markdown, or for a word processor."""

from pyem.plot.reports.report import Origin, document_of, report

__all__ = ["Origin", "document_of", "report"]
