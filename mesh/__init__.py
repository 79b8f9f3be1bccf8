"""What every process of brandmesh is built from. It knows no service."""
