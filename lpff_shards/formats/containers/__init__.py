"""Byte formats, as pure functions: USTAR, NPY, TFRecord frames, tf.train.Example, zip records."""
