"""The style and the script of the screens' page, as they stand inline in it."""

from importlib.resources import files


def _read(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


STYLE, SCRIPT = _read("screens.css"), _read("screens.js")
