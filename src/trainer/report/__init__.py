"""`report.html` and `panel.png`: what a network did to pictures, to look at."""

from src.trainer.report.report import Look, Report

__all__ = ["Look", "Report"]
