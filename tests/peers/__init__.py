"""Foreign peers: software of others that the tests drive against ours, a module each; README.md says how to add one."""
