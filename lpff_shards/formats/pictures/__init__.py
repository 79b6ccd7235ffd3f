"""Picture files: headers, decoding, and an encoder for PNG."""
