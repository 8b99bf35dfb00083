"""The web page and the public API. The only package that imports gradio; knows no model."""
