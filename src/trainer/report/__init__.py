"""`report.html` and `panel.png`, which show what a network did to images.

`report` collects the images, `page` writes the HTML, `panel` draws the contact sheet and `chart` curves for
one. `views` makes images small enough for a page, `residual` displays and measures what a network removed,
and `kept` reuses the views of an earlier page.
"""

from src.trainer.report.kept import Kept, kept_images, key_of
from src.trainer.report.report import Look, Report

__all__ = ["Kept", "Look", "Report", "kept_images", "key_of"]
