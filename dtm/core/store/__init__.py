"""Where transactions live: the contract and its engines."""
