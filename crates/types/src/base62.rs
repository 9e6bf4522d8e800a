//! Fixed-width base62 over `0-9A-Za-z`, most significant digit first.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const NONE: u8 = 0xff;
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut digit = 0;
    while digit < 62 {
        values[ALPHABET[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};

/// Characters that hold 256 bits.
pub(crate) const BODY_CHARS: usize = 43;
/// Characters that hold 32 bits.
pub(crate) const CHECKSUM_CHARS: usize = 6;

/// 32 bytes, big-endian, as 43 characters.
pub(crate) fn encode_body(bytes: &[u8; 32]) -> [u8; BODY_CHARS] {
    let mut limbs = limbs_of(bytes);
    let mut out = [b'0'; BODY_CHARS];
    for place in out.iter_mut().rev() {
        let mut remainder = 0_u64;
        for limb in &mut limbs {
            let value = (u128::from(remainder) << 64) | u128::from(*limb);
            *limb = (value / 62) as u64;
            remainder = (value % 62) as u64;
        }
        *place = ALPHABET[remainder as usize];
    }
    out
}

/// The 32 bytes of 43 characters; nothing for a foreign character or a number of 2^256 and above.
pub(crate) fn decode_body(chars: &[u8; BODY_CHARS]) -> Option<[u8; 32]> {
    // Ten digits fit a word (62^10 < 2^60), so the long multiplication runs five times and not forty-three.
    let mut limbs = [0_u64; 4];
    for chunk in chars.chunks(10) {
        let (mut value, mut scale) = (0_u64, 1_u64);
        for char in chunk {
            let digit = VALUES[*char as usize];
            if digit == NONE {
                return None;
            }
            value = value * 62 + u64::from(digit);
            scale *= 62;
        }
        let mut carry = value;
        for limb in limbs.iter_mut().rev() {
            let product = u128::from(*limb) * u128::from(scale) + u128::from(carry);
            *limb = product as u64;
            carry = (product >> 64) as u64;
        }
        if carry != 0 {
            return None;
        }
    }
    let mut bytes = [0; 32];
    for (place, limb) in bytes.chunks_mut(8).zip(limbs) {
        place.copy_from_slice(&limb.to_be_bytes());
    }
    Some(bytes)
}

/// A CRC-32 as six characters.
pub(crate) fn encode_checksum(mut value: u32) -> [u8; CHECKSUM_CHARS] {
    let mut out = [b'0'; CHECKSUM_CHARS];
    for place in out.iter_mut().rev() {
        *place = ALPHABET[(value % 62) as usize];
        value /= 62;
    }
    out
}

fn limbs_of(bytes: &[u8; 32]) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks(8)) {
        *limb = chunk.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte));
    }
    limbs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_body_comes_back(bytes: [u8; 32]) {
            prop_assert_eq!(decode_body(&encode_body(&bytes)), Some(bytes));
        }

        #[test]
        fn what_decodes_has_one_spelling(chars in proptest::collection::vec(proptest::sample::select(ALPHABET.to_vec()), BODY_CHARS)) {
            let chars: [u8; BODY_CHARS] = chars.try_into().unwrap();
            if let Some(bytes) = decode_body(&chars) {
                prop_assert_eq!(encode_body(&bytes), chars);
            }
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        assert_eq!(encode_body(&[0; 32]), [b'0'; BODY_CHARS]);
        let last = encode_body(&[0xff; 32]);
        assert_eq!(decode_body(&last), Some([0xff; 32]));
        let mut over = last;
        over[BODY_CHARS - 1] += 1;
        assert_eq!(decode_body(&over), None, "one above 2^256 - 1");
        assert_eq!(decode_body(&[b'z'; BODY_CHARS]), None);
    }
}
