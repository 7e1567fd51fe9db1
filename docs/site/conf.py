"""How Sphinx makes the site of the Markdown files: `scripts/build_docs`."""

project = "Starlight"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "Starlight batch scanner"
# Anchors as GitHub makes them, to which pages link.
myst_heading_anchors = 4
# Decisions are listed by their own page: among all others they would fill the navigation of each.
suppress_warnings = ["toc.not_included"]
html_show_copyright = False
html_show_sphinx = False
html_show_sourcelink = False
html_copy_source = False
html_use_index = False
# What a shell or Python would say of commands in which `…` stands for something.
highlight_language = "none"
