"""What the user asks for: each option with its range, checked when it is made."""
