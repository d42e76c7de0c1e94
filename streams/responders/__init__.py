"""Stage 4: subscribers that bring the outside world in line with what was decided."""
