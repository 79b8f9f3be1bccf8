"""The OpenAPI 3.1 document of the REST interface, built from the contracts: their paths, rules and comments.

python -m gateway.openapi > docs/openapi.json
"""

from gateway.openapi.document import build_document, render_document

__all__ = ["build_document", "render_document"]
