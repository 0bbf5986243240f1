"""The report builder: tables, plots and pictures of all results, as HTML, Markdown and CSV."""

from .differences import Differences, compare, read_result
from .document import Report, Section, report
from .sections import Accuracy, Comparison

__all__ = [
    "Accuracy",
    "Comparison",
    "Differences",
    "Report",
    "Section",
    "compare",
    "read_result",
    "report",
]
