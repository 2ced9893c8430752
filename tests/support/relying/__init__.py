"""Small apps that protect the same pages in each way the client offers; the tests run them as processes."""
