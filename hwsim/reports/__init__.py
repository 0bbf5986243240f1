"""The one report builder: tables, plots and pictures of anything that hwsim computes, as HTML, Markdown and CSV."""

from .document import Report, Section, report
from .sections import Accuracy, Comparison

__all__ = ["Accuracy", "Comparison", "Report", "Section", "report"]
