"""Generate everything that follows from the .proto files, or check that what is committed still does.

    python tools/generate_contracts.py            write stubs and protos/contracts.binpb
    python tools/generate_contracts.py --check    exit 1 if any of them is out of date

Stubs stand beside their .proto file. `contracts.binpb` is a FileDescriptorSet with comments, from which the gateway
builds its OpenAPI document and against which buf lints. The rules of protovalidate come from the installed package,
those of google.api from googleapis-common-protos, so nothing is fetched.
"""

from __future__ import annotations

import argparse
import filecmp
import sys
import tempfile
from pathlib import Path

import google.api
from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
WELL_KNOWN = Path(protoc.__file__).parent / "_proto"
GOOGLE_API = Path(next(iter(google.api.__path__))).parent.parent
VALIDATE = "buf/validate/validate.proto"

# Beside the interpreter, because a virtual environment need not be on the PATH.
PLUGINS = [
    f"--plugin={name}={Path(sys.executable).parent / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
]


def dependencies(directory: Path) -> Path:
    """Write the descriptors of what our protos import to a file, and answer where it is."""
    google_set = directory / "google.binpb"
    imports = ["google/api/annotations.proto", "google/rpc/status.proto", "google/protobuf/field_mask.proto"]
    compile_protos([f"-I{GOOGLE_API}", "--include_imports", f"--descriptor_set_out={google_set}", *imports])
    files = descriptor_pb2.FileDescriptorSet.FromString(google_set.read_bytes())
    files.file.append(descriptor_pb2.FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary()))
    google_set.write_bytes(files.SerializeToString())
    return google_set


def compile_protos(arguments: list[str]) -> None:
    """Run protoc, which says on standard error what is wrong."""
    if protoc.main(["protoc", f"-I{WELL_KNOWN}", *PLUGINS, *arguments]) != 0:
        sys.exit(1)


def generate(target: Path) -> None:
    """Write all generated files below `target`, laid out as below protos/."""
    ours = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.glob("brandmesh/**/*.proto"))
    with tempfile.TemporaryDirectory() as directory:
        known = f"--descriptor_set_in={dependencies(Path(directory))}"
        messages = [f"--python_out={target}", f"--mypy_out=quiet:{target}"]
        services = [f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}"]
        image = [
            "--include_imports",
            "--include_source_info",
            f"--descriptor_set_out={target / 'contracts.binpb'}",
        ]
        compile_protos([known, *messages, VALIDATE])
        compile_protos([known, f"-I{PROTOS}", *messages, *services, *image, *ours])


def add_packages(target: Path) -> None:
    """Make every generated folder a package."""
    for module in target.glob("**/*_pb2.py"):
        for folder in module.relative_to(target).parents[:-1]:
            (target / folder / "__init__.py").touch()
    for folder in (target / "buf", target / "brandmesh"):
        (folder / "py.typed").touch()


def drift(fresh: Path) -> list[str]:
    """Name the generated files that are missing, different or left over in protos/."""
    expected = {path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()}
    present = {
        path.relative_to(PROTOS)
        for path in PROTOS.rglob("*")
        if path.is_file() and path.suffix != ".proto" and "__pycache__" not in path.parts
    } - {Path("released.binpb")}
    different = {path for path in expected & present if not filecmp.cmp(fresh / path, PROTOS / path, shallow=False)}
    return sorted(str(path) for path in (expected ^ present) | different)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on any difference")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as directory:
        fresh = Path(directory)
        generate(fresh)
        add_packages(fresh)
        stale = drift(fresh)
        if check:
            sys.exit("out of date, run `make protos`: " + ", ".join(stale) if stale else 0)
        for path in sorted(fresh.rglob("*")):
            if path.is_file():
                destination = PROTOS / path.relative_to(fresh)
                destination.parent.mkdir(parents=True, exist_ok=True)
                destination.write_bytes(path.read_bytes())


if __name__ == "__main__":
    main()
