"""The report builder: tables, plots and pictures of all results, as HTML, Markdown and CSV."""

from .document import Report, Section, report
from .sections import Accuracy, Comparison

__all__ = ["Accuracy", "Comparison", "Report", "Section", "report"]
