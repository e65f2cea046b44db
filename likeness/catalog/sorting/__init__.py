"""What is known of a collection sorted out: verdicts on copies, thresholds, journals, clusters."""
