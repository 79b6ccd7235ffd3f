"""What the commands are made of: types, options, help and examples. Imports nothing heavy, for help and completion."""
