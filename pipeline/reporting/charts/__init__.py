"""The charts of the pages, as HTML and SVG whose values can be read with a pointer, with keys, and by a screen reader.

They are our own, although libraries draw charts. Measured with Vega-Lite (altair 6, vl-convert 1.9) and Plotly 6:

* Plotly's script is 4.8 MB a page, Vega-Lite's 0.9 MB, and vl-convert adds a package of 84 MB to every installation; a
  report here is well below 0.5 MB beside its pictures.
* Both draw when the page is opened: without scripts there is no chart, a print has the colours of the screen, and a
  change between light and dark needs a new drawing. Vega-Lite compiles its expressions with ``Function``, which a
  content security policy has to allow; class names come from strangers, so the pages allow one script by its hash.
* The static SVG of vl-convert avoids that, but has 71 kB for six lines of 30 rounds (ours 20 kB), fixed colours, and
  labels that shrink with the chart on a phone.

The four charts here are what the pages need: ``lines``, ``rows`` (bars or differences with intervals), ``strips``
(distributions) and ``cells`` (heat maps). Colours are CSS variables, labels of rows are HTML text that wraps, equal
numbers give equal text, and each value is in an attribute ``data-tip``, which the script of ``page.js`` shows.
"""
