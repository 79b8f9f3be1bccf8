"""The documentation page: the OpenAPI document as plain HTML, without scripts and without the network."""
