"""The bytes of the formats, as pure functions: USTAR, NPY, TFRecord frames, tf.train.Example, picture headers."""
