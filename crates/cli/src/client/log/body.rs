//! The body of a call as the filters saw it.
//!
//! Must not know what is done with it.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use wire::proto::gander::admin::v1 as api;

/// A body that is larger than this once it is decoded is shown as it was sent.
const MOST: u64 = 4 * 1024 * 1024;

/// The body, decoded where the call says that it is encoded; as it was sent where it cannot be.
pub fn decoded(request: &api::ApiLogRequest) -> Option<Bytes> {
    let body = request.body.as_ref()?;
    let encoding = request.headers.iter().find(|header| header.name == "content-encoding");
    let encoding = encoding.map(|header| header.value.trim().to_ascii_lowercase());
    let plain = match encoding.as_deref() {
        // Only what was redacted is kept decoded.
        Some(_) if request.body_redacted => None,
        Some("gzip" | "x-gzip") => inflated(MultiGzDecoder::new(&**body)),
        Some("deflate") => {
            inflated(ZlibDecoder::new(&**body)).or_else(|| inflated(DeflateDecoder::new(&**body)))
        }
        Some(_) | None => None,
    };
    Some(plain.unwrap_or_else(|| body.clone()))
}

/// Whether a text that begins so is still to be decompressed.
pub fn is_compressed(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x1f\x8b")
}

fn inflated(reader: impl Read) -> Option<Bytes> {
    let mut plain = Vec::new();
    reader.take(MOST + 1).read_to_end(&mut plain).ok()?;
    (plain.len() as u64 <= MOST).then(|| plain.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const TEXT: &[u8] = b"{\"status\": \"firing\"}";

    fn call(encoding: &str, body: Vec<u8>) -> Option<Bytes> {
        let header =
            api::ApiLogHeader { name: "content-encoding".to_owned(), value: encoding.to_owned() };
        let (headers, body) = (vec![header], Some(body.into()));
        decoded(&api::ApiLogRequest { headers, body, ..Default::default() })
    }

    #[test]
    fn what_was_encoded_is_shown_as_the_filters_saw_it() {
        let mut gzip = GzEncoder::new(vec![], Compression::fast());
        gzip.write_all(TEXT).unwrap();
        let mut zlib = ZlibEncoder::new(vec![], Compression::fast());
        zlib.write_all(TEXT).unwrap();
        let mut bare = DeflateEncoder::new(vec![], Compression::fast());
        bare.write_all(TEXT).unwrap();
        let gzip = gzip.finish().unwrap();
        assert!(is_compressed(&gzip));
        assert_eq!(call("GZIP ", gzip.clone()).as_deref(), Some(TEXT));
        assert_eq!(call("deflate", zlib.finish().unwrap()).as_deref(), Some(TEXT));
        assert_eq!(call("deflate", bare.finish().unwrap()).as_deref(), Some(TEXT));
        assert_eq!(call("identity", TEXT.to_vec()).as_deref(), Some(TEXT));
        let cut = gzip[..gzip.len() / 2].to_vec();
        assert_eq!(call("gzip", cut.clone()).as_deref(), Some(&*cut), "broken: as it was sent");
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let mut gzip = GzEncoder::new(vec![], Compression::best());
        gzip.write_all(&vec![0; 5 * 1024 * 1024]).unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(call("gzip", gzip.clone()).as_deref(), Some(&*gzip));
    }
}
