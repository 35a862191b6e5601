//! The handshake of WebSocket where the two sides of the proxy make it in different ways: HTTP/1.1
//! proves by a key and its answer that the server has understood (RFC 6455 4.2.2), HTTP/2 has a
//! setting for that and no key (RFC 8441 5.1).

/// The protocol's name in `Upgrade` and `:protocol`.
pub const NAME: &[u8] = b"websocket";
/// Carries [`key`].
pub const KEY: &str = "sec-websocket-key";
/// Carries [`accept`].
pub const ACCEPT: &str = "sec-websocket-accept";

/// RFC 6455 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The value of [`KEY`] for a nonce.
#[must_use]
pub fn key(nonce: [u8; 16]) -> [u8; 24] {
    base64(&nonce)
}

/// The value of [`ACCEPT`] for the value of [`KEY`].
#[must_use]
pub fn accept(key: &[u8]) -> [u8; 28] {
    base64(&sha1(&[key, GUID].concat()))
}

/// `N` characters for the bytes, of which there are some.
fn base64<const N: usize>(bytes: &[u8]) -> [u8; N] {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = [b'='; N];
    for (group, into) in bytes.chunks(3).zip(out.chunks_mut(4)) {
        let mut three = [0; 4];
        three[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(three);
        for (at, digit) in into.iter_mut().take(group.len() + 1).enumerate() {
            *digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 63];
        }
    }
    out
}

/// FIPS 180-4 6.1. Nothing is kept safe by it here: it shows that both ends mean this protocol.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&(message.len() as u64 * 8).to_be_bytes());
    let mut hash = [0x6745_2301_u32, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];
    for block in padded.chunks_exact(64) {
        mix(&mut hash, block);
    }
    let mut out = [0; 20];
    for (word, into) in hash.iter().zip(out.chunks_mut(4)) {
        into.copy_from_slice(&word.to_be_bytes());
    }
    out
}

fn mix(hash: &mut [u32; 5], block: &[u8]) {
    let mut w = [0_u32; 80];
    for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.iter().fold(0, |word, &b| word << 8 | u32::from(b));
    }
    for t in 16..80 {
        w[t] = (w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16]).rotate_left(1);
    }
    let [mut a, mut b, mut c, mut d, mut e] = *hash;
    for (t, word) in w.into_iter().enumerate() {
        let (f, k) = match t {
            0..20 => ((b & c) | (!b & d), 0x5A82_7999),
            20..40 => (b ^ c ^ d, 0x6ED9_EBA1),
            40..60 => ((b & c) | (b & d) | (c & d), 0x8F1B_BCDC),
            _ => (b ^ c ^ d, 0xCA62_C1D6_u32),
        };
        let sum = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, sum.wrapping_add(word));
    }
    for (into, word) in hash.iter_mut().zip([a, b, c, d, e]) {
        *into = into.wrapping_add(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(&key(*b"the sample nonce"), b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(&accept(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn the_examples_of_the_standard() {
        let rows = [
            ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
            ),
        ];
        for (message, digest) in rows {
            assert_eq!(hex(&sha1(message.as_bytes())), digest);
        }
    }
}
