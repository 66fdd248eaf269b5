"""A hook of mkdocs: notebooks are pages, with the outputs that are stored in them."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from scripts.notebooks import markdown, read

ENDING = ".ipynb"


class Notebook(File):
    """A notebook, which mkdocs would only copy."""

    def is_documentation_page(self) -> bool:
        """So that it can be in the navigation, and links to it lead to the page."""
        return True

    @property
    def content_string(self) -> str:
        """The Markdown of the page."""
        assert self.abs_src_path is not None
        return markdown(read(Path(self.abs_src_path)))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Let notebooks be pages."""
    for file in [file for file in files if file.src_uri.endswith(ENDING)]:
        files.remove(file)
        files.append(Notebook(file.src_uri, file.src_dir, file.dest_dir, file.use_directory_urls))
    return files
