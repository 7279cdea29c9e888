"""Jobs shared out over the GPUs of one machine, or over parts of its cores."""
