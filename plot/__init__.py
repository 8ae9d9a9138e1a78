"""Figures of an attnbench run: CSV in, PNG and SVG out.

`python3 -m plot DIR` draws them; `plot.data.load_run` and `plot.charts.draw_run` are the same from
Python.
"""
