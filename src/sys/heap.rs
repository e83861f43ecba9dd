//! How the C library's heap gives memory back: mallopt(3).

/// Free memory at the end of the heap that stays with the process, in bytes. A carrier's frames come and go by the hundred: by itself
/// glibc returns every 128 KiB of them to the kernel at once, to ask for them again a moment later, which took a quarter of the time
/// of bulk (docs/bench-remote.md).
#[cfg(target_env = "gnu")]
const KEPT: i32 = 1024 * 1024;

/// For a program that carries bulk, once at its start. Nothing where the C library is not glibc: musl's heap does otherwise.
#[cfg_attr(target_env = "gnu", expect(unsafe_code, reason = "nix has no mallopt"))]
pub fn keep_some_free() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes two numbers and sets one of the heap's own; it may be called at any time.
    unsafe {
        nix::libc::mallopt(nix::libc::M_TRIM_THRESHOLD, KEPT);
    }
}
