"""From a checked picture and a task to a result. Knows nothing of web pages."""
