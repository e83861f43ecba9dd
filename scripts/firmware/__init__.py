"""Firmware images and the parts they are made of. scripts/image and scripts/qemu-test are the commands."""
