"""`report.html` and `panel.png`: what a network did to pictures, to look at."""

from src.trainer.report.kept import Kept, kept_pictures, key_of
from src.trainer.report.report import Look, Report

__all__ = ["Kept", "Look", "Report", "kept_pictures", "key_of"]
