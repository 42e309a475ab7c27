"""The site: Sphinx reads the Markdown pages of this folder and the docstrings of the package. `scripts/docs` builds it.

The pages stay readable where they lie: what only the site needs - navigation, diagrams inside the page, files from outside this
folder - is added by the extensions in `_site`, not by marks in the pages.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE / "_site"))

import cogwork  # noqa: E402

project = "cogwork"
author = "the cogwork authors"
version = release = cogwork.__version__
copyright = "the cogwork authors, Apache-2.0"
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "navigation", "pages", "docstrings", "rules"]
exclude_patterns = ["_site"]
nitpicky = True  # a name that leads nowhere is a warning, and a warning fails the build
nitpick_ignore_regex = [
    ("py:.*", r"(?!cogwork\b).*"),  # what is not ours: no other project's index is asked
    ("py:class", r"cogwork\._(core\..*|cog\.([PRF]|_Cog|_Decorator))"),  # the inside, and type variables
]

# ---- the menu: captions, and the pages below them. A page that is on no list fails the build ----

navigation = {
    "": ["quickstart", "concepts", "examples"],
    "Guides": ["writing-cogs", "writing-stores", "shell", "crisis", "recovery", "history", "copies", "notebook"],
    "Reference": [
        "signals",
        "rules",
        "reference/labors",
        "reference/cogs",
        "reference/engine",
        "reference/handles",
        "reference/notebook",
        "reference/stores",
        "reference/errors",
        "reference/testing",
    ],
    "Internals": [
        "internals/architecture",
        "internals/threads",
        "internals/document",
        "internals/stored-format",
        "internals/control-protocol",
        "internals/cog-protocol",
        "internals/commands",
        "internals/durability-tests",
        "decisions/README",
        "contributing",
    ],
    "Project": ["changelog"],
}
navigation_below = {"decisions/README": "decisions/0*"}

# ---- Markdown ----

myst_enable_extensions = ["colon_fence", "attrs_inline"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # a page may begin with what it likes

# ---- docstrings ----

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": True}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 96
toc_object_entries_show_parents = "hide"

# ---- looks ----

html_theme = "furo"
html_title = "cogwork"
html_static_path = ["_site/static"]
html_css_files = ["cogwork.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"
