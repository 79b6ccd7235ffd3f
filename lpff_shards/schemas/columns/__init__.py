"""Columns of text and of structs: a million of them in a few blocks of memory, each made when it is asked for.

A million small objects take five times the room, are found one by one in memory that no cache holds, and are touched,
and so copied, by every forked process that looks at them.
"""
