"""Settings for a notebook as one HTML page that a screen reader reads as well.

    python -m jupyter nbconvert --to html --config docs/notebook_as_html.py notebooks/*.ipynb

nbconvert's default template gives every picture the alt text "No description has been provided";
its classic one takes what `plots.show` stored. The colours of the code have enough contrast.
"""

c = get_config()  # noqa: F821 (nbconvert provides it)
c.HTMLExporter.template_name = "classic"
c.CSSHTMLHeaderPreprocessor.style = "xcode"
