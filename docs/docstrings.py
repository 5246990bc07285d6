"""Docstrings as mkdocstrings wants them: ``Examples:`` for ``Example:``, plain names for ``:class:`` and its kin."""

import re
from typing import Any

import griffe


class Docstrings(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            text = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
            obj.docstring.value = re.sub(r":\w+:`~?", "`", text)
