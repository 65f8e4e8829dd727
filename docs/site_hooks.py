"""What the build of the site mends in pages that its plugins write."""

from __future__ import annotations

import re
from typing import Any


def on_page_markdown(markdown: str, **_: Any) -> str:  # noqa: ANN401  # what MkDocs hands over
    """Leave out the second address of a gallery's picture, which is wrong without a server."""
    return re.sub(r' srcset="[^"]*"', "", markdown)
