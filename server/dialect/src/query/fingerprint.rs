//! A stable hash of a statement's normal form.

/// FNV-1a with 128 bits as 32 hex digits: not for secrets, the same on every machine and release.
pub(crate) fn query_hash(normalized_text: &str) -> String {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = normalized_text
        .bytes()
        .fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    format!("{hash:032x}")
}

#[cfg(test)]
mod tests {
    use super::query_hash;

    #[test]
    fn the_hash_is_fnv_1a_of_128_bits() {
        assert_eq!(query_hash(""), "6c62272e07bb014262b821756295c58d");
        assert_eq!(query_hash("a"), "d228cb696f1a8caf78912b704e4a8964");
    }
}
