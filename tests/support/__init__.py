"""What the tests share: participants on loopback, a coordinator in process or as a process, a small client."""
