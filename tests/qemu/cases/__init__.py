"""The cases by name, long ones first: with two processors they then end together."""
from . import arrays, boot, clock, flash, hardware, job, link, mirror, powercut

CASES = {
    "asleep": flash.asleep,
    "flash-ext4": flash.cost("ext4", 400),
    "cut-ubifs": powercut.cuts("ubifs", 12, 168),
    "cut-jffs2": powercut.cuts("jffs2", 9, 168),
    "cut-ext4": powercut.cuts("ext4", 9, 168),
    "cut-mtd": powercut.cuts("mtd", 8, 168),
    "cut-ubi": powercut.cuts("ubi", 8, 168),
    "cut-control": powercut.control,
    "flash-ubifs": flash.cost("ubifs", 100),
    "flash-jffs2": flash.cost("jffs2", 100),
    "flash-mtd": flash.cost("mtd", 100),
    "flash-ubi": flash.cost("ubi", 100),
    "flash-spi": flash.cost("jffs2-spi", 20),
    "mirror": mirror.mirror,
    "mirror-boot": mirror.degraded_at_boot,
    "arrays": arrays.arrays,
    "clock-2038": clock.clock_2038,
    "clock-1970": clock.clock_1970,
    "hardware": hardware.hardware,
    "link": link.link,
    "job": job.job,
    "image": job.image,
    "boot": boot.cold,
    "late-link": boot.late_link,
    "late-dhcp": boot.late_dhcp,
    "late-dns": boot.late_dns,
    "late-broker": boot.late_broker,
}
# These wait more than they work.
IDLE = {"asleep"}
# These measure milliseconds.
ALONE = {"mirror", "link", "hardware"}
# QEMU has a board with SPI flash that Debian's kernel knows for this architecture only.
ONLY = {"flash-spi": "armv7",
        # The same code below both; one each is enough.
        "cut-mtd": "armv7", "flash-mtd": "armv7", "cut-ubi": "aarch64", "flash-ubi": "aarch64"}
