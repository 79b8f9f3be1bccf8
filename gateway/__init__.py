"""The REST gateway: JSON over HTTP in front of the mesh's gRPC services, built from their contracts."""
