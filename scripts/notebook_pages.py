"""A hook of mkdocs: notebooks are pages, with the outputs that are stored in them."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# mkdocs finds what lies beside a hook
from notebooks import markdown, read

ENDING = ".ipynb"


class Notebook(File):
    """A notebook, which mkdocs would only copy."""

    def is_documentation_page(self) -> bool:
        """So that it can be in the navigation, and links to it lead to the page."""
        return True


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Let notebooks be pages."""
    for file in [file for file in files if file.src_uri.endswith(ENDING)]:
        files.remove(file)
        files.append(Notebook(file.src_uri, file.src_dir, file.dest_dir, file.use_directory_urls))
    return files


def on_page_read_source(page: Page, config: MkDocsConfig) -> str | None:
    """The Markdown of a notebook; None for other pages, which mkdocs reads itself."""
    file = page.file.abs_src_path
    return markdown(read(Path(file))) if file and file.endswith(ENDING) else None
