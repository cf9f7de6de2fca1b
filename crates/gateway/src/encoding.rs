//! `Content-Encoding`: gzip and deflate, one layer, never more output than the limit.
//!
//! The limit on the output bounds memory and time, so a cap on the ratio would only refuse honest
//! payloads that repeat themselves. Must not know what was encoded.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// gzip (RFC 1952).
    Gzip,
    /// deflate: zlib (RFC 1950), as the name means, or raw (RFC 1951), as some senders mean.
    Deflate,
}

/// An encoding that is unknown, or several on top of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the content encoding is not supported")]
pub struct Unsupported;

/// Why a body could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More comes out than the limit allows.
    #[error("the decoded body is over the limit")]
    TooLarge,
    /// It is not what it says it is.
    #[error("the body does not follow its encoding")]
    Corrupt,
}

impl Encoding {
    /// Reads the `Content-Encoding` lines.
    ///
    /// # Errors
    /// An unknown encoding, or more than one.
    pub fn parse(headers: &HeaderMap) -> Result<Self, Unsupported> {
        let mut found = Self::Identity;
        for line in headers.get_all(CONTENT_ENCODING) {
            let line = line.to_str().map_err(|_| Unsupported)?;
            for name in line.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                let encoding = Self::named(name)?;
                if found != Self::Identity && encoding != Self::Identity {
                    return Err(Unsupported);
                }
                if encoding != Self::Identity {
                    found = encoding;
                }
            }
        }
        Ok(found)
    }

    fn named(name: &str) -> Result<Self, Unsupported> {
        match name.to_ascii_lowercase().as_str() {
            "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            _ => Err(Unsupported),
        }
    }

    /// Decodes a body to at most `limit` bytes. An empty body is empty in every encoding.
    ///
    /// # Errors
    /// The body is over the limit or not what it says it is.
    pub fn decode(self, body: Bytes, limit: usize) -> Result<Bytes, Error> {
        if body.is_empty() {
            return Ok(body);
        }
        match self {
            Self::Identity if body.len() > limit => Err(Error::TooLarge),
            Self::Identity => Ok(body),
            Self::Gzip => gunzip(&body, limit),
            Self::Deflate if looks_like_zlib(&body) => match inflate(&body, true, limit) {
                Err(Error::Corrupt) => inflate(&body, false, limit),
                decoded => decoded,
            },
            Self::Deflate => inflate(&body, false, limit),
        }
    }
}

fn gunzip(body: &[u8], limit: usize) -> Result<Bytes, Error> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut decoded = Vec::new();
    MultiGzDecoder::new(body).take(most).read_to_end(&mut decoded).map_err(|_| Error::Corrupt)?;
    if decoded.len() > limit { Err(Error::TooLarge) } else { Ok(decoded.into()) }
}

/// The first two bytes of zlib say deflate and are, as a number, a multiple of 31.
fn looks_like_zlib(body: &[u8]) -> bool {
    matches!(*body, [first, second, ..]
        if first & 0x0f == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31))
}

/// Inflates to the end of the stream. `flate2`'s readers take a truncated stream for a whole one,
/// so this asks for the end itself.
fn inflate(body: &[u8], zlib: bool, limit: usize) -> Result<Bytes, Error> {
    let mut stream = Decompress::new(zlib);
    let mut decoded = Vec::with_capacity(body.len().saturating_mul(2).clamp(64, limit.max(64)));
    loop {
        let consumed = usize::try_from(stream.total_in()).map_err(|_| Error::Corrupt)?;
        let rest = body.get(consumed..).unwrap_or_default();
        let status = stream
            .decompress_vec(rest, &mut decoded, FlushDecompress::None)
            .map_err(|_| Error::Corrupt)?;
        if decoded.len() > limit {
            return Err(Error::TooLarge);
        }
        match status {
            Status::StreamEnd => return Ok(decoded.into()),
            Status::Ok | Status::BufError if decoded.len() < decoded.capacity() => {
                // There was room and no end: the input is used up.
                let used = usize::try_from(stream.total_in()).map_err(|_| Error::Corrupt)?;
                if used >= body.len() || used == consumed {
                    return Err(Error::Corrupt);
                }
            }
            Status::Ok | Status::BufError => decoded.reserve(decoded.len().clamp(64, limit.max(64))),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn raw(body: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn check(lines: &[&'static str], expected: Result<Encoding, Unsupported>) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(line));
        }
        assert_eq!(Encoding::parse(&headers), expected, "{lines:?}");
    }

    #[test]
    fn one_known_layer_is_accepted() {
        check(&[], Ok(Encoding::Identity));
        check(&[""], Ok(Encoding::Identity));
        check(&["GZip"], Ok(Encoding::Gzip));
        check(&["identity, x-gzip"], Ok(Encoding::Gzip));
        check(&["deflate"], Ok(Encoding::Deflate));
        check(&["br"], Err(Unsupported));
        check(&["gzip, gzip"], Err(Unsupported));
        check(&["gzip", "deflate"], Err(Unsupported));
    }

    #[test]
    fn the_limit_holds_for_what_comes_out() {
        let bomb = vec![b'a'; 1 << 20];
        for (encoding, body) in [
            (Encoding::Identity, bomb.clone()),
            (Encoding::Gzip, gzip(&bomb)),
            (Encoding::Deflate, zlib(&bomb)),
            (Encoding::Deflate, raw(&bomb)),
        ] {
            let body = Bytes::from(body);
            let decoded = encoding.decode(body.clone(), bomb.len()).unwrap();
            assert_eq!(decoded, bomb, "{encoding:?}");
            assert_eq!(encoding.decode(body, bomb.len() - 1), Err(Error::TooLarge), "{encoding:?}");
        }
    }

    #[test]
    fn what_is_cut_or_spoilt_is_refused() {
        let text = b"the quick brown fox jumps over the lazy dog".repeat(20);
        for (encoding, body) in [
            (Encoding::Gzip, gzip(&text)),
            (Encoding::Deflate, zlib(&text)),
            (Encoding::Deflate, raw(&text)),
        ] {
            for end in 1..body.len() - 1 {
                let cut = Bytes::copy_from_slice(&body[..end]);
                assert!(encoding.decode(cut, 1 << 20).is_err(), "{encoding:?} cut at {end}");
            }
        }
        let plain = Bytes::from_static(b"{\"not\": \"encoded\"}");
        assert_eq!(Encoding::Gzip.decode(plain, 1 << 20), Err(Error::Corrupt));
    }

    #[test]
    fn nothing_is_nothing_in_every_encoding() {
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Deflate] {
            assert_eq!(encoding.decode(Bytes::new(), 10), Ok(Bytes::new()));
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(body in proptest::collection::vec(any::<u8>(), 0..4000)) {
            prop_assert_eq!(Encoding::Gzip.decode(gzip(&body).into(), 4000).unwrap(), &body);
            prop_assert_eq!(Encoding::Deflate.decode(zlib(&body).into(), 4000).unwrap(), &body);
            prop_assert_eq!(Encoding::Deflate.decode(raw(&body).into(), 4000).unwrap(), &body);
        }

        #[test]
        fn no_body_makes_it_panic(body: Vec<u8>) {
            for encoding in [Encoding::Gzip, Encoding::Deflate] {
                let _ = encoding.decode(body.clone().into(), 100);
            }
        }
    }
}
