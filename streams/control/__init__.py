"""Control topics -> the Plan in force, read by every stage."""
