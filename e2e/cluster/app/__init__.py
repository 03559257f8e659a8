"""The test application, baked into an image of its own: an echo server and a client. Standard library only."""
