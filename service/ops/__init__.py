"""What an operator sees: metrics, logs, traces, and the doctor."""
