"""What tests share: forked commands, processes, simulated API. No tests."""
