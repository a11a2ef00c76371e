"""What PyInstaller cannot see in optcore: modules that are imported by a name made at run time, and the version.

The kernels are chosen by the processor (_dispatch.py), so every build that is installed is taken along; a program is
built on one machine and runs on another. optcore.torch, which would bring torch, is found where a program imports it.
"""
from PyInstaller.utils.hooks import copy_metadata

from optcore import _LATER, _dispatch

hiddenimports = [f"optcore._kernels_{isa}" for isa in _dispatch.built()]
hiddenimports += sorted({f"optcore.{home or name}" for name, home in _LATER.items()})
datas = copy_metadata("optcore")
