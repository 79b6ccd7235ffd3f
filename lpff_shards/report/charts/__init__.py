"""Charts: pure functions from facts and a theme to a figure."""
