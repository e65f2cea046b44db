"""How good are the answers: labelled sets, measures, and a runner. See docs/evaluation.md."""
