import sys

from gateway.openapi import build_document, render_document

sys.stdout.buffer.write(render_document(build_document()))
