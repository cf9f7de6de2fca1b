//! The body of a request: in time, within its limit, decoded.
//!
//! Must not know what is in it.

use std::io::Read;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::id::TokenId;
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Incoming};
use runtime::places::{Place, Places};

use super::problem::Problem;

/// The most members of a gzip file: senders make one, and joined files have a few.
const MOST_MEMBERS: usize = 64;

/// Up to so many bytes are decoded at once.
const DECODED_AT_ONCE: usize = 4 * 1024;
/// So many are decoded at a time, of one token one: the other cores are for those who need none of it.
const DECODERS: usize = 2;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// gzip.
    Gzip,
    /// zlib, or the bare deflate that some senders mean by it.
    Deflate,
}

/// How the body says that it is encoded.
///
/// # Errors
/// In another way, or more than once.
pub fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    // What is under `chunked`, nobody takes off.
    let mut transfer = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if transfer.next().is_some_and(|coding| !is_chunked(coding)) || transfer.next().is_some() {
        return Err(Problem::UnsupportedEncoding);
    }
    let Some(value) = values.next() else {
        return Ok(Encoding::Identity);
    };
    // What is no text names no encoding either: taken for none, the body would be stored as it is.
    let text = value.to_str().map_err(|_| Problem::UnsupportedEncoding)?;
    match text.trim().to_ascii_lowercase().as_str() {
        _ if values.next().is_some() => Err(Problem::UnsupportedEncoding),
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "deflate" => Ok(Encoding::Deflate),
        _ => Err(Problem::UnsupportedEncoding),
    }
}

/// Reads the whole body.
///
/// # Errors
/// It is too long, too slow or broken.
pub async fn read<B: Body<Data = Bytes> + Unpin>(
    body: &mut Option<B>,
    limit: u64,
    timeout: Duration,
) -> Result<Bytes, Problem> {
    if body.as_ref().is_some_and(|body| body.size_hint().lower() > limit) {
        return Err(Problem::BodyTooLarge(limit));
    }
    let Some(body) = body.take() else {
        return Ok(Bytes::new());
    };
    let whole = tokio::time::timeout(timeout, together(body, limit)).await;
    whole.unwrap_or(Err(Problem::BodyTimeout))
}

/// Copies the pieces of a body into one. Kept as they come, a piece costs some fifty bytes however
/// short it is, and a body of one-byte chunks would take many times the memory that it counts as.
async fn together<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
    limit: u64,
) -> Result<Bytes, Problem> {
    let announced = body.size_hint().exact().unwrap_or_default().min(limit);
    let mut whole = BytesMut::with_capacity(usize::try_from(announced).unwrap_or_default());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Problem::BodyBroken)?.into_data() else { continue };
        if (whole.len() + data.len()) as u64 > limit {
            return Err(Problem::BodyTooLarge(limit));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Reads and forgets a body that nobody wants, as far as is sensible: an answer that is sent while
/// the client still sends may be lost. False if it has not ended.
pub async fn discard(body: Incoming, limit: u64, timeout: Duration) -> bool {
    if body.is_end_stream() {
        return true;
    }
    if body.size_hint().lower() > limit {
        return false;
    }
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut rest = Limited::new(body, most);
    let read = async { while let Some(Ok(_)) = rest.frame().await {} };
    tokio::time::timeout(timeout, read).await.is_ok() && rest.is_end_stream()
}

/// Turns to be decoded on another thread.
pub fn decoders() -> Places<TokenId> {
    Places::new(DECODERS, 1)
}

/// Takes the encoding off, on another thread where that may take long: one that is made for it keeps
/// this thread, which all requests share, busy for a while. The turn and what is `held` are given back
/// once it is done, also where nobody waits for it any more.
///
/// # Errors
/// It is too long or not what it says.
pub async fn decoded<H: Send + 'static>(
    body: Bytes,
    encoding: Encoding,
    limit: u64,
    turn: impl Future<Output = Place<TokenId>>,
    held: H,
) -> Result<(Bytes, H), Problem> {
    if encoding == Encoding::Identity || body.len() <= DECODED_AT_ONCE {
        return Ok((decode(body, encoding, limit)?, held));
    }
    let turn = turn.await;
    let work = move || {
        let _turn = turn;
        Ok((decode(body, encoding, limit)?, held))
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Problem::EncodingBroken)?
}

/// Takes the encoding off; the limit holds for what comes out.
///
/// # Errors
/// It is too long or not what it says.
pub fn decode(body: Bytes, encoding: Encoding, limit: u64) -> Result<Bytes, Problem> {
    match encoding {
        Encoding::Identity => Ok(body),
        Encoding::Gzip => unzip(&body, limit),
        Encoding::Deflate => {
            let mut zlib = ZlibDecoder::new(&*body);
            match inflate(&mut zlib, limit) {
                Ok(decoded) => alone(decoded, zlib.into_inner()),
                Err(Problem::EncodingBroken) => {
                    let mut bare = DeflateDecoder::new(&*body);
                    alone(inflate(&mut bare, limit)?, bare.into_inner())
                }
                other => other,
            }
        }
    }
}

/// A gzip file has members, one after the other; empty ones cost the most and give nothing.
fn unzip(mut rest: &[u8], limit: u64) -> Result<Bytes, Problem> {
    let mut decoded = Vec::new();
    for _ in 0..MOST_MEMBERS {
        let mut member = GzDecoder::new(rest);
        let left = limit + 1 - decoded.len() as u64;
        (&mut member).take(left).read_to_end(&mut decoded).map_err(|_| Problem::EncodingBroken)?;
        if decoded.len() as u64 > limit {
            return Err(Problem::BodyTooLarge(limit));
        }
        rest = member.into_inner();
        if rest.is_empty() {
            return Ok(decoded.into());
        }
    }
    Err(Problem::EncodingBroken)
}

fn inflate(reader: impl Read, limit: u64) -> Result<Bytes, Problem> {
    let mut decoded = Vec::new();
    let read = reader.take(limit + 1).read_to_end(&mut decoded);
    read.map_err(|_| Problem::EncodingBroken)?;
    if u64::try_from(decoded.len()).unwrap_or(u64::MAX) > limit {
        return Err(Problem::BodyTooLarge(limit));
    }
    Ok(decoded.into())
}

/// Deflate has no members: what follows would be dropped, and its sender told that it is stored.
fn alone(decoded: Bytes, rest: &[u8]) -> Result<Bytes, Problem> {
    if rest.is_empty() { Ok(decoded) } else { Err(Problem::EncodingBroken) }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use futures::StreamExt;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use proptest::prelude::*;

    use super::*;

    fn gzip(data: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap().into()
    }

    fn zlib(data: &[u8]) -> Bytes {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap().into()
    }

    fn bare(data: &[u8]) -> Bytes {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap().into()
    }

    /// A piece of a body that counts how many are alive.
    struct Piece<'a>(&'a AtomicUsize, &'static [u8]);

    impl AsRef<[u8]> for Piece<'_> {
        fn as_ref(&self) -> &[u8] {
            self.1
        }
    }

    impl Drop for Piece<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn no_piece_of_a_body_is_kept() {
        static ALIVE: AtomicUsize = AtomicUsize::new(0);
        let pieces = futures::stream::iter(0..1_000).map(|_| {
            assert_eq!(ALIVE.fetch_add(1, Ordering::Relaxed), 0, "the one before is still there");
            Ok::<_, Infallible>(Frame::data(Bytes::from_owner(Piece(&ALIVE, b"ab"))))
        });
        let mut body = Some(StreamBody::new(pieces));
        let whole = read(&mut body, 2_000, Duration::from_secs(1)).await;
        assert_eq!(whole.as_deref(), Ok("ab".repeat(1_000).as_bytes()));
        let pieces =
            [b"ab"; 2].map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece))));
        let mut body = Some(StreamBody::new(futures::stream::iter(pieces)));
        let whole = read(&mut body, 3, Duration::from_secs(1)).await;
        assert_eq!(whole, Err(Problem::BodyTooLarge(3)));
    }

    #[test]
    fn an_encoding_is_known_or_refused() {
        let named = |value: &[u8]| {
            let value = http::HeaderValue::from_bytes(value).unwrap();
            encoding(&HeaderMap::from_iter([(header::CONTENT_ENCODING, value)]))
        };
        for (value, expected) in [
            (&b""[..], Encoding::Identity),
            (b" Identity ", Encoding::Identity),
            (b"x-gzip", Encoding::Gzip),
            (b"DEFLATE", Encoding::Deflate),
        ] {
            assert_eq!(named(value), Ok(expected), "{value:?}");
        }
        for value in [&b"br"[..], b"gzip, gzip", b"\xc3\xa9", b"gzip\xff"] {
            assert_eq!(named(value), Err(Problem::UnsupportedEncoding), "{value:?}");
        }
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let data = b"{\"status\": \"firing\"}";
        for (body, encoding) in [
            (gzip(data), Encoding::Gzip),
            (zlib(data), Encoding::Deflate),
            (bare(data), Encoding::Deflate),
        ] {
            assert_eq!(decode(body, encoding, 100).unwrap(), &data[..]);
        }
    }

    #[test]
    fn nothing_follows_what_is_deflated() {
        for encode in [zlib, bare] {
            let one = encode(b"{}");
            for rest in [&b"x"[..], b"\0", &one] {
                let joined = [&one, rest].concat().into();
                let broken = Err(Problem::EncodingBroken);
                assert_eq!(decode(joined, Encoding::Deflate, 100), broken, "{rest:?}");
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![0; 50_000_000]);
        assert_eq!(decode(bomb, Encoding::Gzip, 1_000), Err(Problem::BodyTooLarge(1_000)));
        assert!(decode(gzip(&[0; 1_000]), Encoding::Gzip, 1_000).is_ok());
    }

    #[tokio::test]
    async fn a_body_whose_sender_has_gone_keeps_its_turn_until_it_is_decoded() {
        let (turns, token) = (decoders(), TokenId::from_bytes([1; 16]));
        let (held, given_back) = tokio::sync::oneshot::channel::<()>();
        let bomb = gzip(&vec![0; 50_000_000]);
        let turn = turns.wait(Some(token));
        let work = decoded(bomb, Encoding::Gzip, 50_000_000, turn, held);
        tokio::select! {
            biased;
            _ = work => panic!("50 MB take a while"),
            () = std::future::ready(()) => {}
        }
        assert!(turns.take(Some(token)).is_err(), "it goes on");
        assert!(turns.take(Some(TokenId::from_bytes([2; 16]))).is_ok(), "another token has a turn");
        assert!(given_back.await.is_err());
        assert!(turns.take(Some(token)).is_ok());
    }

    #[test]
    fn members_that_follow_each_other_are_one_body_as_long_as_they_are_few() {
        let joined = |times: usize, data: &[u8]| Bytes::from(gzip(data).repeat(times));
        assert_eq!(decode(joined(3, b"ab"), Encoding::Gzip, 6).unwrap(), "ababab");
        assert_eq!(decode(joined(3, b"ab"), Encoding::Gzip, 5), Err(Problem::BodyTooLarge(5)));
        assert!(decode(joined(MOST_MEMBERS, b""), Encoding::Gzip, 9).is_ok());
        let many = decode(joined(MOST_MEMBERS + 1, b""), Encoding::Gzip, 9);
        assert_eq!(many, Err(Problem::EncodingBroken));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body: Vec<u8>) {
            for encoding in [Encoding::Gzip, Encoding::Deflate] {
                let _ = decode(body.clone().into(), encoding, 1_000);
            }
        }
    }
}
