"""Speed and false alarms, measured: every figure that the docs claim is printed here."""
