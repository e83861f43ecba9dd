//! What the build packed (raw DEFLATE, RFC 1951), unpacked: text for people and programs is a fifth of its size in the binary. A leaf.

/// Longest thing that the build packs, in bytes.
const UNPACKED_MAX: usize = 256 * 1024;

/// The whole of it; nothing if it is not what the build made, which a test of each excludes.
pub fn unpack(packed: &[u8]) -> Vec<u8> {
    miniz_oxide::inflate::decompress_to_vec_with_limit(packed, UNPACKED_MAX).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_back_and_anything_else_is_nothing() {
        let text = b"\"type\":\"string\",".repeat(1000);
        let packed = miniz_oxide::deflate::compress_to_vec(&text, 9);
        assert!(packed.len() < text.len() / 20);
        assert_eq!(unpack(&packed), text);
        assert_eq!(unpack(&packed[..packed.len() - 1]), b"");
        assert_eq!(unpack(b"\xff\xff\xff"), b"");
        assert_eq!(unpack(&miniz_oxide::deflate::compress_to_vec(&vec![0; UNPACKED_MAX + 1], 9)), b"");
    }
}
