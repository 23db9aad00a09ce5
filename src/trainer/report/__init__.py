"""`report.html` and `panel.png`: what a network did to images, to look at.

`report` collects what they show, `page` writes the HTML and `panel` draws the panel, `chart` curves for one.
`views` makes images small enough, `residual` shows what was taken out of them, `kept` takes over what an
earlier page showed.
"""

from src.trainer.report.kept import Kept, kept_images, key_of
from src.trainer.report.report import Look, Report

__all__ = ["Kept", "Look", "Report", "kept_images", "key_of"]
