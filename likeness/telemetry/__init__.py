"""What a running process tells of itself: logs, times and counts, traces."""
