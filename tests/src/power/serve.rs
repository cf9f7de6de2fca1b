//! Serves the disk to the kernel, as long as there is power.
//!
//! Must not know what survives.

use std::ffi::{OsStr, OsString};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use nix::fcntl::OFlag;
use runtime::clock::{Clock, SystemClock};
use tokio::sync::watch;

use super::content::Content;
use super::tree::{Body, Folder, Id, Node, Tree};
use super::{Fate, Loss, Names};
use crate::dice::Dice;

/// What a sync takes: of an ordinary disk, so that some are under way when power is lost.
const SYNC: Duration = Duration::from_micros(500);
/// The kernel asks each time.
const TTL: Duration = Duration::ZERO;
const BLOCK: u32 = 4096;
/// Blocks that it says are free.
const FREE: u64 = 1 << 28;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    On,
    /// Until so many more changes.
    Until(usize),
    /// Nobody is answered.
    Off,
    /// Whoever waited is let go with an error.
    Released,
}

#[derive(Debug)]
struct State {
    tree: Tree,
    power: Power,
    changes: u64,
}

/// The disk, and whether it has power.
#[derive(Debug)]
pub struct Shared {
    state: Mutex<State>,
    switched: Condvar,
    lost: watch::Sender<bool>,
}

impl Shared {
    pub fn new(names: Names) -> Self {
        let state = State { tree: Tree::new(names, now()), power: Power::On, changes: 0 };
        Self { state: Mutex::new(state), switched: Condvar::new(), lost: watch::Sender::new(false) }
    }

    pub fn lose_after(&self, changes: usize) {
        self.lock().power = Power::Until(changes);
    }

    pub async fn lost(&self) {
        let mut lost = self.lost.subscribe();
        // It ends only with this.
        let _ = lost.wait_for(|lost| *lost).await;
    }

    pub fn lose(&self) {
        let mut state = self.lock();
        match state.power {
            Power::On | Power::Until(_) => state.power = Power::Off,
            Power::Off | Power::Released => {}
        }
        self.lost.send_replace(true);
    }

    pub fn release(&self) {
        self.lock().power = Power::Released;
        self.switched.notify_all();
    }

    pub fn restore(&self, fate: Fate, dice: &mut Dice) -> Loss {
        let mut state = self.lock();
        let loss = state.tree.lose(fate, dice);
        state.power = Power::On;
        self.lost.send_replace(false);
        loss
    }

    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on as long as there is power.
    fn powered<'a>(&self, state: MutexGuard<'a, State>) -> Result<MutexGuard<'a, State>, Errno> {
        let off = |state: &mut State| state.power == Power::Off;
        let state = self.switched.wait_while(state, off).unwrap_or_else(PoisonError::into_inner);
        if state.power == Power::Released { Err(Errno::EIO) } else { Ok(state) }
    }

    fn read<T>(&self, read: impl FnOnce(&mut Tree) -> Result<T, Errno>) -> Result<T, Errno> {
        read(&mut self.powered(self.lock())?.tree)
    }

    /// A change is there at once, but nobody is told of the one with which power is lost.
    fn change<T>(&self, change: impl FnOnce(&mut Tree) -> Result<T, Errno>) -> Result<T, Errno> {
        let mut state = self.powered(self.lock())?;
        let changed = change(&mut state.tree)?;
        self.count(&mut state);
        self.powered(state).map(|_| changed)
    }

    /// A sync takes its time, and makes durable what was there when it began.
    fn sync(&self, id: Id) -> Result<(), Errno> {
        let mut state = self.powered(self.lock())?;
        let mark = state.tree.mark(id)?;
        self.count(&mut state);
        drop(self.powered(state)?);
        thread::sleep(SYNC);
        self.powered(self.lock())?.tree.sync(mark);
        Ok(())
    }

    fn count(&self, state: &mut State) {
        state.changes += 1;
        if let Power::Until(left) = state.power {
            let left = left.checked_sub(1);
            state.power = left.map_or(Power::Off, Power::Until);
            if left.is_none() {
                self.lost.send_replace(true);
            }
        }
    }
}

fn now() -> SystemTime {
    let micros = u64::try_from(SystemClock.now().as_micros()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

/// What the kernel talks to.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
}

impl Server {
    pub const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn make(&self, folder: INodeNo, name: &OsStr, node: Node) -> Result<FileAttr, Errno> {
        self.shared.change(|tree| {
            let id = tree.make(folder.0, name, node)?;
            Ok(attributes(id, tree.node(id)?))
        })
    }

    fn names(&self, folder: INodeNo) -> Result<Vec<(u64, FileType, OsString)>, Errno> {
        self.shared.read(|tree| {
            let mut names = vec![(folder.0, FileType::Directory, OsString::from("."))];
            names.push((folder.0, FileType::Directory, OsString::from("..")));
            for (name, id) in &tree.folder(folder.0)?.live {
                names.push((*id, kind(&tree.node(*id)?.body), name.clone()));
            }
            Ok(names)
        })
    }
}

const fn kind(body: &Body) -> FileType {
    match body {
        Body::Folder(_) => FileType::Directory,
        Body::File(_) => FileType::RegularFile,
    }
}

fn attributes(id: Id, node: &Node) -> FileAttr {
    let size = match &node.body {
        Body::Folder(_) => 0,
        Body::File(content) => content.len() as u64,
    };
    let time = node.changed;
    FileAttr {
        ino: INodeNo(id),
        size,
        blocks: size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: kind(&node.body),
        perm: u16::try_from(node.mode & 0o7777).unwrap_or(0o600),
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

fn file(mode: u32) -> Node {
    Node { mode, changed: now(), body: Body::File(Content::default()) }
}

fn place(number: u64) -> Result<usize, Errno> {
    usize::try_from(number).map_err(|_| Errno::EFBIG)
}

/// Whether a write of a file that is open so is durable once it is answered.
fn synced(flags: OpenFlags) -> bool {
    OFlag::from_bits_truncate(flags.0).intersects(OFlag::O_DSYNC | OFlag::O_SYNC)
}

fn empty(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

fn entry(reply: ReplyEntry, result: Result<FileAttr, Errno>) {
    match result {
        Ok(found) => reply.entry(&TTL, &found, Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

fn attr(reply: ReplyAttr, result: Result<FileAttr, Errno>) {
    match result {
        Ok(found) => reply.attr(&TTL, &found),
        Err(errno) => reply.error(errno),
    }
}

impl Filesystem for Server {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.shared.read(|tree| {
            let id = tree.named(parent.0, name)?;
            Ok(attributes(id, tree.node(id)?))
        });
        entry(reply, found);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attr(reply, self.shared.read(|tree| Ok(attributes(ino.0, tree.node(ino.0)?))));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        changed: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = |tree: &mut Tree| {
            if let Some(size) = size {
                tree.file(ino.0)?.resize(place(size)?);
            }
            let node = tree.node_mut(ino.0)?;
            node.mode = mode.unwrap_or(node.mode);
            node.changed = match changed {
                Some(TimeOrNow::SpecificTime(time)) => time,
                Some(TimeOrNow::Now) => now(),
                None => node.changed,
            };
            Ok(attributes(ino.0, node))
        };
        // Modes and times are durable at once.
        let set = if size.is_some() { self.shared.change(set) } else { self.shared.read(set) };
        attr(reply, set);
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let body = Body::Folder(Folder::default());
        let node = Node { mode: mode & !umask, changed: now(), body };
        entry(reply, self.make(parent, name, node));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.shared.change(|tree| tree.remove(parent.0, name)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.shared.change(|tree| tree.remove(parent.0, name)));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = self.shared.change(|tree| {
            if !flags.is_empty() {
                return Err(Errno::EINVAL);
            }
            tree.rename((parent.0, name), (newparent.0, newname))
        });
        empty(reply, renamed);
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let made = self.shared.change(|tree| {
            let id = tree.make(parent.0, name, file(mode & !umask))?;
            Ok((attributes(id, tree.node(id)?), tree.open(id)))
        });
        match made {
            Ok((found, handle)) => {
                let flags = FopenFlags::FOPEN_DIRECT_IO;
                reply.created(&TTL, &found, Generation(0), FileHandle(handle), flags);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let opened = self.shared.read(|tree| {
            tree.file(ino.0)?;
            Ok(tree.open(ino.0))
        });
        match opened {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::FOPEN_DIRECT_IO),
            Err(errno) => reply.error(errno),
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        // Also without power: the kernel does it for a process that has ended.
        self.shared.lock().tree.close(fh.0);
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.shared.read(|tree| {
            let most = usize::try_from(size).unwrap_or(0);
            Ok(tree.file(ino.0)?.read(place(offset)?, most).to_vec())
        });
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.shared.change(|tree| {
            tree.file(ino.0)?.write(place(offset)?, data);
            tree.node_mut(ino.0)?.changed = now();
            Ok(u32::try_from(data.len()).unwrap_or(0))
        });
        let written = match written {
            Ok(count) if synced(flags) => self.shared.sync(ino.0).map(|()| count),
            other => other,
        };
        match written {
            Ok(count) => reply.written(count),
            Err(errno) => reply.error(errno),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        empty(reply, self.shared.read(|_| Ok(())));
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(reply, self.shared.sync(ino.0));
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(reply, self.shared.sync(ino.0));
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        match self.names(ino) {
            Ok(names) => {
                for (next, (id, kind, name)) in (1..).zip(names) {
                    if next > offset && reply.add(INodeNo(id), next, kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(FREE, FREE, FREE, FREE, FREE, BLOCK, 255, BLOCK);
    }
}
