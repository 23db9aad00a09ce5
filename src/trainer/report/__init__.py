"""`report.html` and `panel.png`: what a network did to pictures, to look at."""

from src.trainer.report.report import PAGE, PANEL, Look, Report, has_report

__all__ = ["PAGE", "PANEL", "Look", "Report", "has_report"]
