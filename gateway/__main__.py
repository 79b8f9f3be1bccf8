from gateway.settings import GatewaySettings
from gateway.wiring import serve
from mesh.process import run

run(GatewaySettings, serve, "gateway")
