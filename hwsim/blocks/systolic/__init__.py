"""The systolic accelerator on paper: its configuration, its instructions, how long they take."""
