"""What runs an export's tasks: processes of this machine, or a Ray cluster. Bytes are the same."""
