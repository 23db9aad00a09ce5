"""`report.html` and `panel.png`: what a network did to pictures, to look at."""

from src.trainer.report.report import Report

__all__ = ["Report"]
