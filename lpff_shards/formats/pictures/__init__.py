"""Picture files: headers, decoding, PNGs of our own."""
