"""Tests that open what is written in a browser; `nox -s browser` runs them."""
