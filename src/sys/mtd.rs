//! Requests to MTD and UBI character devices that nix has no names for: linux/mtd-abi.h and linux/ubi-user.h.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc::{Ioctl, c_ulong, ioctl};

/// `struct erase_info_user` of mtd-abi.h: a range of the device in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// First byte.
    pub start: u32,
    /// Bytes.
    pub length: u32,
}

/// `struct ubi_set_vol_prop_req` of ubi-user.h, which is packed.
#[repr(C, packed)]
struct Property {
    property: u8,
    padding: [u8; 7],
    value: u64,
}

/// A request that writes to the kernel: `_IOW(group, number, size)` of asm-generic/ioctl.h, as ARM and x86 have it.
const fn request(group: u8, number: u8, size: usize) -> c_ulong {
    (1 << 30) | ((size as c_ulong) << 16) | ((group as c_ulong) << 8) | number as c_ulong
}

const MEMERASE: c_ulong = request(b'M', 2, size_of::<Range>());
const MEMUNLOCK: c_ulong = request(b'M', 6, size_of::<Range>());
const UBI_IOCEBER: c_ulong = request(b'O', 1, size_of::<i32>());
const UBI_IOCSETVOLPROP: c_ulong = request(b'O', 6, size_of::<Property>());
/// `UBI_VOL_PROP_DIRECT_WRITE`: write(2) goes to the flash, page by page.
const DIRECT_WRITE: u8 = 1;

#[expect(unsafe_code, reason = "ioctl(2) with a pointer")]
fn ask<T>(file: &File, request: c_ulong, argument: &T) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and each request above only reads as many bytes as its
    // number says from the argument, which is a plain structure of exactly that size and outlives the call.
    let done = unsafe { ioctl(file.as_raw_fd(), request as Ioctl, std::ptr::from_ref(argument)) };
    if done < 0 { Err(Errno::last().into()) } else { Ok(()) }
}

/// Erases blocks; returns when that is done.
///
/// # Errors
/// Those of ioctl(2).
pub fn erase(device: &File, range: Range) -> io::Result<()> {
    ask(device, MEMERASE, &range)
}

/// Lifts the write protection that some NOR chips have after power-on.
///
/// # Errors
/// Those of ioctl(2); `EOPNOTSUPP` where there is none to lift.
pub fn unlock(device: &File, range: Range) -> io::Result<()> {
    ask(device, MEMUNLOCK, &range)
}

/// Lets write(2) reach the volume without an update that replaces all of it.
///
/// # Errors
/// Those of ioctl(2).
pub fn ubi_write_directly(volume: &File) -> io::Result<()> {
    let property = Property { property: DIRECT_WRITE, padding: [0; 7], value: 1 };
    ask(volume, UBI_IOCSETVOLPROP, &property)
}

/// Erases a logical block; returns when the physical one is erased, so that it cannot come back.
///
/// # Errors
/// Those of ioctl(2).
pub fn ubi_erase(volume: &File, block: i32) -> io::Result<()> {
    ask(volume, UBI_IOCEBER, &block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_headers() {
        // As a C compiler prints them for mtd-abi.h and ubi-user.h.
        assert_eq!((MEMERASE, MEMUNLOCK), (0x4008_4d02, 0x4008_4d06));
        assert_eq!((UBI_IOCEBER, UBI_IOCSETVOLPROP), (0x4004_4f01, 0x4010_4f06));
    }

    #[test]
    fn an_ordinary_file_refuses() {
        let file = tempfile::tempfile().unwrap();
        assert!(erase(&file, Range { start: 0, length: 65_536 }).is_err());
        assert!(ubi_write_directly(&file).is_err());
    }
}
