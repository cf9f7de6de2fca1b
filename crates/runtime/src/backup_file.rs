//! A backup as a file: frames with their lengths, and a digest of all at the end.
//!
//! Must not know what the messages of streams say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use bytes::Bytes;
use wire::stored;
use wire::stored::backup::{End, Frame, Head, Message};

use crate::fresh_file::{self, FreshFile};

const MAGIC: &[u8] = b"gander backup 1\n";
/// A message of nats-server has at most 8 MiB, and headers.
const MAX_FRAME: u32 = 16 * 1024 * 1024;

/// Why a backup cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("the backup cannot be read or written")]
    Io(#[from] io::Error),
    /// There is no new file.
    #[error(transparent)]
    File(#[from] fresh_file::Error),
    /// It is no backup, or not whole.
    #[error("the backup is not whole: {0}")]
    Broken(&'static str),
    /// A frame cannot be read.
    #[error("the backup is not whole: a frame cannot be read")]
    Stored(#[from] stored::Error),
}

/// Writes a backup.
#[derive(Debug)]
pub struct Writer {
    file: FreshFile,
    digest: blake3::Hasher,
    counts: BTreeMap<String, u64>,
}

impl Writer {
    /// Begins a backup.
    ///
    /// # Errors
    /// The file is there, or cannot be written.
    pub fn create(path: &Path, head: Head) -> Result<Self, Error> {
        let (file, digest, counts) =
            (FreshFile::create(path)?, blake3::Hasher::new(), BTreeMap::new());
        let mut writer = Self { file, digest, counts };
        writer.put(MAGIC)?;
        writer.frame(&Frame::Head(head))?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.digest.update(bytes);
        Ok(self.file.write_all(bytes)?)
    }

    fn frame(&mut self, frame: &Frame) -> Result<(), Error> {
        let bytes = frame.encode();
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= MAX_FRAME);
        self.put(&length.ok_or(Error::Broken("a message is too long"))?.to_be_bytes())?;
        self.put(&bytes)
    }

    /// Adds a message.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn message(&mut self, message: Message) -> Result<(), Error> {
        *self.counts.entry(message.stream.clone()).or_default() += 1;
        self.frame(&Frame::Message(message))
    }

    /// Ends it, with the last sequence of each stream. It is for the caller to give it its name.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(mut self, last_sequences: &[(&str, u64)]) -> Result<FreshFile, Error> {
        let count = |name: &str| self.counts.get(name).copied().unwrap_or(0);
        let streams =
            last_sequences.iter().map(|(name, last)| ((*name).to_owned(), count(name), *last));
        let mut end = End { streams: streams.collect(), digest: [0; 32] };
        end.digest = ended(self.digest.clone(), &end);
        self.frame(&Frame::End(end))?;
        Ok(self.file)
    }
}

/// Reads a backup from the beginning.
#[derive(Debug)]
pub struct Reader {
    file: BufReader<File>,
    digest: blake3::Hasher,
    counts: BTreeMap<String, u64>,
    /// How it was made.
    pub head: Head,
    /// What is in it; known once all messages are read.
    pub end: Option<End>,
}

impl Reader {
    /// Opens a backup.
    ///
    /// # Errors
    /// It is none, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = BufReader::with_capacity(1024 * 1024, File::open(path)?);
        let head = Head {
            at_micros: 0,
            gander_version: String::new(),
            nats_version: String::new(),
            partitions: 0,
        };
        let (digest, counts) = (blake3::Hasher::new(), BTreeMap::new());
        let mut reader = Self { file, digest, counts, head, end: None };
        let mut magic = [0; MAGIC.len()];
        reader.file.read_exact(&mut magic).map_err(|_| Error::Broken("it is no backup"))?;
        if magic != MAGIC {
            return Err(Error::Broken("it is no backup, or one of a newer version"));
        }
        reader.digest.update(&magic);
        match reader.frame()? {
            (Frame::Head(head), _) => reader.head = head,
            (Frame::Message(_) | Frame::End(_), _) => return Err(Error::Broken("it has no head")),
        }
        Ok(reader)
    }

    /// The next frame, and what was digested before it.
    fn frame(&mut self) -> Result<(Frame, blake3::Hasher), Error> {
        let before = self.digest.clone();
        let mut length = [0; 4];
        self.file.read_exact(&mut length).map_err(cut)?;
        let size = u32::from_be_bytes(length);
        if size > MAX_FRAME {
            return Err(Error::Broken("a frame is too long"));
        }
        let mut bytes = Vec::new();
        (&mut self.file).take(u64::from(size)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != u64::from(size) {
            return Err(Error::Broken("it ends too early"));
        }
        self.digest.update(&length).update(&bytes);
        Ok((Frame::decode(&Bytes::from(bytes))?, before))
    }

    /// The next message; none after the last, when all is known to be as it was written.
    ///
    /// # Errors
    /// A byte is not the one that was written, or some are missing.
    pub fn message(&mut self) -> Result<Option<Message>, Error> {
        match self.frame()? {
            (Frame::Head(_), _) => Err(Error::Broken("it has two heads")),
            (Frame::Message(message), _) => {
                *self.counts.entry(message.stream.clone()).or_default() += 1;
                Ok(Some(message))
            }
            (Frame::End(end), digest) => {
                let counted: u64 = self.counts.values().sum();
                let stated: u64 = end.streams.iter().map(|(_, messages, _)| messages).sum();
                if end.digest != ended(digest, &end) || counted != stated {
                    return Err(Error::Broken("its digest is another one: bytes have changed"));
                }
                if self.file.read(&mut [0])? > 0 {
                    return Err(Error::Broken("something follows its end"));
                }
                self.end = Some(end);
                Ok(None)
            }
        }
    }
}

/// The digest of all before the end, and of what the end says.
fn ended(mut digest: blake3::Hasher, end: &End) -> [u8; 32] {
    let streams = Frame::End(End { digest: [0; 32], ..end.clone() });
    digest.update(&streams.encode()).finalize().into()
}

fn cut(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        Error::Broken("it ends too early")
    } else {
        Error::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn head() -> Head {
        let version = "1".to_owned();
        Head { at_micros: 1, gander_version: version.clone(), nats_version: version, partitions: 2 }
    }

    fn message(sequence: u64) -> Message {
        Message {
            stream: "S".to_owned(),
            sequence,
            subject: "s".to_owned(),
            at_micros: 7,
            headers: vec![("a".to_owned(), "b".to_owned())],
            payload: Bytes::from(vec![7; 30]),
        }
    }

    fn read(path: &Path) -> Result<Vec<Message>, Error> {
        let mut reader = Reader::open(path)?;
        let mut all = Vec::new();
        while let Some(message) = reader.message()? {
            all.push(message);
        }
        Ok(all)
    }

    #[test]
    fn what_is_written_is_read_and_every_changed_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        let mut writer = Writer::create(&path, head()).unwrap();
        let messages = [message(1), message(4)];
        messages.iter().for_each(|message| writer.message(message.clone()).unwrap());
        let mut file = writer.finish(&[("S", 9)]).unwrap();
        assert_eq!(read(file.sync().unwrap()).unwrap(), messages);
        file.name().unwrap();
        assert_eq!(read(&path).unwrap(), messages);
        assert!(matches!(Writer::create(&path, head()), Err(Error::File(_))));
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(read(&path).is_err(), "byte {at}");
            fs::write(&path, &good[..at]).unwrap();
            assert!(read(&path).is_err(), "cut at {at}");
        }
        fs::write(&path, [&good[..], b"x"].concat()).unwrap();
        assert!(read(&path).is_err());
    }
}
