"""Explain YAML syntax errors. The line at fault is not always the one where the parser stopped."""

import re

import yaml

WINDOWS_HINT = "a backslash in double quotes begins an escape: write a path in single quotes, or with /"

# Matches `max_epochs:5`, but not `C:\photos` or `http://...`.
_NO_SPACE = re.compile(r"\s*(- +)?[\w.-]+:[^\s/\\]")


def explained(error: yaml.MarkedYAMLError, text: str) -> tuple[int, str]:
    """Return the line at fault, counted from 1, and the reason.

    Parameters
    ----------
    error : MarkedYAMLError
        PyYAML's error. It marks where the parser stopped and where the element it was reading begins.
    text : str
        The text that was parsed.
    """
    lines = text.splitlines() or [""]
    problem, context = error.problem or "", error.context or ""
    at = _line(error.problem_mark, lines)
    begun = _line(error.context_mark, lines) if error.context_mark else at
    if "double-quoted" in context:
        return begun, f"{problem}; {WINDOWS_HINT}"
    if "could not find expected ':'" in problem:
        return begun, "expected a key, a colon and a space, as in `batch_size: 4`"
    if "mapping values are not allowed" in problem and at > 1 and _NO_SPACE.match(lines[at - 2]):
        return at - 1, "expected a space after the colon, as in `batch_size: 4`"
    if "unexpected end of stream" in problem:
        return begun, "the quote that begins here is not closed"
    outside = at > begun and _indent(lines[at - 1]) <= _indent(lines[begun - 1])
    if "while parsing a flow" in context and outside:
        return begun, f"the bracket that begins here is not closed before line {at}"
    return at, problem


def _line(mark: yaml.Mark | None, lines: list[str]) -> int:
    """Return a mark's line, counted from 1; the end of the text belongs to the last line."""
    return min(mark.line + 1, len(lines)) if mark else 1


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
