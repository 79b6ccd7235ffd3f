"""Columns of text and of structs: a million rows in a few blocks of memory, with objects created on access.

A million small objects take five times the memory and miss the CPU's caches. A forked process that reads them copies
them, since it counts references.
"""
