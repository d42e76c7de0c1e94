"""Stage 2, pure: merge profiles, close windows, run detectors, alert lifecycle, rollback evidence."""
