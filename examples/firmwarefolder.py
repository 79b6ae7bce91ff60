"""An example plugin: a firmware repository, a directory of files ``MODEL-VERSION.bin``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from lwm2md import hookimpl
from lwm2md.plugins import FirmwareImage, FirmwareRepository, PluginContext, Setting, values

API_VERSION = 1
RESTARTABLE = True


class Folder:
    """Firmware images in a directory. The methods run on the plugin's own thread: files may be slow."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def images(self) -> Sequence[FirmwareImage]:
        """All files whose names say model and version."""
        return [self._image(file) for file in sorted(self.directory.glob("*-*.bin"))]

    def read(self, name: str, offset: int, size: int) -> bytes:
        """A part of a file."""
        if name not in {image.name for image in self.images()}:
            raise LookupError(name)
        with (self.directory / name).open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def _image(self, file: Path) -> FirmwareImage:
        model, _, version = file.stem.rpartition("-")
        content = file.read_bytes()
        return FirmwareImage(file.name, version, len(content), hashlib.sha256(content).hexdigest(), model=model)


_folder = Folder(Path())


@hookimpl
def lwm2md_settings() -> Sequence[Setting]:
    """The keys of ``[plugin:firmwarefolder]``."""
    return [Setting("directory", values.text(4096), None, "Where the images are")]


@hookimpl(reactor=True)
def lwm2md_start(context: PluginContext) -> None:
    """Know the directory."""
    _folder.directory = Path(context.settings["directory"])


@hookimpl
def lwm2md_firmware_repositories() -> Sequence[FirmwareRepository]:
    """The one directory."""
    return [_folder]
