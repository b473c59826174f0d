"""The files by which Linux describes its sound cards."""

from pathlib import Path

LISTED = """ 0 [vc4hdmi0       ]: vc4-hdmi - vc4-hdmi-0
                      vc4-hdmi-0
 1 [Device         ]: USB-Audio - USB PnP Sound Device
                      C-Media Electronics Inc. USB PnP Sound Device at usb-0000:01:00.0-1.3, full speed
"""


def machine(root: Path) -> Path:
    asound = root / "proc/asound"
    for folder in ("card0/pcm0p", "card1/pcm0c", "card1/pcm0p", "card1/pcm1c"):
        (asound / folder).mkdir(parents=True)
    (asound / "cards").write_text(LISTED)
    interface = root / "sys/devices/usb1/1-1/1-1.3/1-1.3:1.0"
    interface.mkdir(parents=True)
    (root / "sys/class/sound/card1").mkdir(parents=True)
    (root / "sys/class/sound/card1/device").symlink_to(interface)
    return root
