"""PyTorch's formats written by hand, opcode by opcode, so that they can also be written wrong."""

import struct
import zipfile

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Code(bytes):
    """Opcodes that leave one value on the stack."""


def code(value):  # noqa: PLR0911
    """The opcodes for a value of Python."""
    match value:
        case Code():
            return value
        case None | True | False:
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        case int():
            raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(raw)]) + raw
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple():
            return b"(" + b"".join(map(code, value)) + b"t"
        case list():
            return b"](" + b"".join(map(code, value)) + b"e"
        case dict():
            return b"}(" + b"".join(code(x) for item in value.items() for x in item) + b"u"
    raise TypeError(value)


def name(dotted):
    """The opcodes that look a global up."""
    module, _, attribute = dotted.rpartition(".")
    return Code(f"c{module}\n{attribute}\n".encode())


def call(function, *arguments):
    return Code(name(function) + code(arguments) + b"R")


def storage(key="0", numel=6, kind="Float", *view):
    return Code(code(("storage", name(f"torch.{kind}Storage"), key, "cpu", numel, *view)) + b"Q")


def tensor(where=None, offset=0, size=(2, 3), stride=(3, 1)):
    where = storage() if where is None else where
    rest = (False, call("collections.OrderedDict"))
    return call("torch._utils._rebuild_tensor_v2", where, offset, size, stride, *rest)


def pickled(value):
    return b"\x80\x02" + code(value) + b"."


def write_zip(path, value, storages, byteorder=None, root="archive", **options):
    """The newer format; `storages` is key to bytes."""
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr(f"{root}/data.pkl", pickled(value))
        if byteorder:
            file.writestr(f"{root}/byteorder", byteorder)
        for key, raw in storages.items():
            file.writestr(f"{root}/data/{key}", raw)
    return path


def write_legacy(path, value, storages, magic=MAGIC, protocol=PROTOCOL):
    """The older format; `storages` is key to (count of values, bytes)."""
    system = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"int": 4}}
    parts = [pickled(part) for part in (magic, protocol, system, value, list(storages))]
    parts += [struct.pack("<q", count) + raw for count, raw in storages.values()]
    path.write_bytes(b"".join(parts))
    return path
