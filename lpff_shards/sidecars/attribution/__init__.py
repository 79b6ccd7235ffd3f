"""Whose photos an export shows: a line a picture, and a summary for people."""
