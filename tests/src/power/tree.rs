//! Names and files, which of both are durable, and what is left when power is lost.
//!
//! Changes of names are in one order, as in the journal of ext4: what survives is all up to some
//! point. Pure. Must not know who asks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::time::SystemTime;

use fuser::Errno;

use super::content::Content;
use super::{Fate, Loss, Names};
use crate::dice::Dice;

/// A file or folder, whatever its name.
pub type Id = u64;

/// The folder that everything is in.
pub const ROOT: Id = 1;

/// A file or folder.
#[derive(Debug)]
pub struct Node {
    /// Who may do what.
    pub mode: u32,
    /// When it was changed last.
    pub changed: SystemTime,
    /// What is in it.
    pub body: Body,
}

/// What a node is.
#[derive(Debug)]
pub enum Body {
    /// It has names in it.
    Folder(Folder),
    /// It has bytes in it.
    File(Content),
}

/// The names in a folder.
#[derive(Debug, Default)]
pub struct Folder {
    /// As they are now.
    pub live: BTreeMap<OsString, Id>,
    durable: BTreeMap<OsString, Id>,
}

/// What changes at once or not at all.
#[derive(Debug)]
struct Change {
    names: Vec<(Id, OsString, Option<Id>)>,
    /// A file whose data are to be durable before its name is, up to a mark.
    data: Option<(Id, u64)>,
}

/// What a sync that begins now makes durable.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    id: Id,
    data: u64,
    names: u64,
}

/// All that is on a disk.
#[derive(Debug)]
pub struct Tree {
    names: Names,
    nodes: BTreeMap<Id, Node>,
    changes: VecDeque<Change>,
    committed: u64,
    open: BTreeMap<u64, Id>,
    last: u64,
}

impl Tree {
    /// An empty disk.
    #[must_use]
    pub fn new(names: Names, now: SystemTime) -> Self {
        let root = Node { mode: 0o755, changed: now, body: Body::Folder(Folder::default()) };
        let nodes = BTreeMap::from([(ROOT, root)]);
        let (changes, open) = (VecDeque::new(), BTreeMap::new());
        Self { names, nodes, changes, committed: 0, open, last: ROOT }
    }

    /// A file or folder.
    ///
    /// # Errors
    /// It is gone.
    pub fn node(&self, id: Id) -> Result<&Node, Errno> {
        self.nodes.get(&id).ok_or(Errno::ESTALE)
    }

    /// The same, to be changed.
    ///
    /// # Errors
    /// It is gone.
    pub fn node_mut(&mut self, id: Id) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&id).ok_or(Errno::ESTALE)
    }

    /// What is in a folder.
    ///
    /// # Errors
    /// It is none.
    pub fn folder(&self, id: Id) -> Result<&Folder, Errno> {
        match &self.node(id)?.body {
            Body::Folder(folder) => Ok(folder),
            Body::File(_) => Err(Errno::ENOTDIR),
        }
    }

    /// What is in a file.
    ///
    /// # Errors
    /// It is none.
    pub fn file(&mut self, id: Id) -> Result<&mut Content, Errno> {
        match &mut self.node_mut(id)?.body {
            Body::File(content) => Ok(content),
            Body::Folder(_) => Err(Errno::EISDIR),
        }
    }

    /// What has this name.
    ///
    /// # Errors
    /// Nothing has.
    pub fn named(&self, folder: Id, name: &OsStr) -> Result<Id, Errno> {
        self.folder(folder)?.live.get(name).copied().ok_or(Errno::ENOENT)
    }

    /// Makes a file or folder.
    ///
    /// # Errors
    /// The name is taken.
    pub fn make(&mut self, folder: Id, name: &OsStr, node: Node) -> Result<Id, Errno> {
        if self.folder(folder)?.live.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let id = self.number();
        self.nodes.insert(id, node);
        self.change(vec![(folder, name.to_owned(), Some(id))], None)?;
        Ok(id)
    }

    /// Takes a name away.
    ///
    /// # Errors
    /// There is none, or a folder is not empty.
    pub fn remove(&mut self, folder: Id, name: &OsStr) -> Result<(), Errno> {
        let id = self.named(folder, name)?;
        self.is_no_full_folder(id)?;
        self.change(vec![(folder, name.to_owned(), None)], None)
    }

    /// Gives something another name; what had it is gone.
    ///
    /// # Errors
    /// There is nothing, or what had the name is a folder with something in it.
    pub fn rename(&mut self, from: (Id, &OsStr), to: (Id, &OsStr)) -> Result<(), Errno> {
        let id = self.named(from.0, from.1)?;
        let replaced = self.named(to.0, to.1).ok();
        if let Some(replaced) = replaced {
            self.is_no_full_folder(replaced)?;
        }
        let data = match (self.names, replaced, self.file(id)) {
            (Names::WithFiles, Some(_), Ok(content)) => Some((id, content.mark())),
            (Names::WithFiles | Names::WithFolders, _, _) => None,
        };
        let names = vec![(from.0, from.1.to_owned(), None), (to.0, to.1.to_owned(), Some(id))];
        self.change(names, data)
    }

    fn is_no_full_folder(&self, id: Id) -> Result<(), Errno> {
        let full = self.folder(id).is_ok_and(|folder| !folder.live.is_empty());
        if full { Err(Errno::ENOTEMPTY) } else { Ok(()) }
    }

    /// Somebody uses it from here on, also when it has no name any more.
    pub fn open(&mut self, id: Id) -> u64 {
        let handle = self.number();
        self.open.insert(handle, id);
        handle
    }

    /// They do not any longer.
    pub fn close(&mut self, handle: u64) {
        self.open.remove(&handle);
        self.forget();
    }

    /// What a sync of this file or folder that begins now makes durable.
    ///
    /// # Errors
    /// It is gone.
    pub fn mark(&self, id: Id) -> Result<Mark, Errno> {
        let data = match &self.node(id)?.body {
            Body::File(content) => content.mark(),
            Body::Folder(_) => 0,
        };
        Ok(Mark { id, data, names: self.committed + self.changes.len() as u64 })
    }

    /// Makes it durable.
    pub fn sync(&mut self, mark: Mark) {
        let is_file = self.file(mark.id).map(|content| content.sync(mark.data)).is_ok();
        match (self.names, is_file) {
            (Names::WithFiles, _) => self.commit(mark.names),
            (Names::WithFolders, true) => {}
            (Names::WithFolders, false) => {
                let of = |change: &Change| change.names.iter().any(|(id, ..)| *id == mark.id);
                let before = usize::try_from(mark.names.saturating_sub(self.committed));
                let before = self.changes.iter().take(before.unwrap_or(usize::MAX));
                let last = before.enumerate().rfind(|(_, change)| of(change));
                self.commit(self.committed + last.map_or(0, |(n, _)| n as u64 + 1));
            }
        }
    }

    /// Power is lost: from here on there is what survived, and nobody uses it.
    pub fn lose(&mut self, fate: Fate, dice: &mut Dice) -> Loss {
        let names = match fate {
            Fate::Lost => 0,
            Fate::Drawn => dice.below(self.changes.len() + 1),
        };
        let unsynced = |node: &Node| match &node.body {
            Body::File(content) => content.unsynced(),
            Body::Folder(_) => 0,
        };
        let writes = self.nodes.values().map(unsynced).sum();
        let loss = Loss { writes, names: self.changes.len() };
        self.commit(self.committed + names as u64);
        self.committed += self.changes.len() as u64;
        self.changes.clear();
        self.open.clear();
        for node in self.nodes.values_mut() {
            match &mut node.body {
                Body::Folder(folder) => folder.live.clone_from(&folder.durable),
                Body::File(content) => content.lose(fate, dice),
            }
        }
        self.forget();
        loss
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn change(
        &mut self,
        names: Vec<(Id, OsString, Option<Id>)>,
        data: Option<(Id, u64)>,
    ) -> Result<(), Errno> {
        for (folder, ..) in &names {
            self.folder(*folder)?;
        }
        for (folder, name, id) in &names {
            self.set(*folder, name, *id, |folder| &mut folder.live);
        }
        self.changes.push_back(Change { names, data });
        Ok(())
    }

    fn set(
        &mut self,
        folder: Id,
        name: &OsStr,
        id: Option<Id>,
        of: fn(&mut Folder) -> &mut BTreeMap<OsString, Id>,
    ) {
        let Some(Node { body: Body::Folder(folder), .. }) = self.nodes.get_mut(&folder) else {
            return;
        };
        match id {
            Some(id) => of(folder).insert(name.to_owned(), id),
            None => of(folder).remove(name),
        };
    }

    /// Makes changes of names durable up to this one.
    fn commit(&mut self, end: u64) {
        let mut some = false;
        while self.committed < end
            && let Some(change) = self.changes.pop_front()
        {
            self.committed += 1;
            some = true;
            if let Some((id, mark)) = change.data {
                let _ = self.file(id).map(|content| content.sync(mark));
            }
            for (folder, name, id) in change.names {
                self.set(folder, &name, id, |folder| &mut folder.durable);
            }
        }
        if some {
            self.forget();
        }
    }

    /// Nodes that nobody can come to.
    fn forget(&mut self) {
        let mut found: BTreeSet<Id> = self.open.values().copied().collect();
        found.insert(ROOT);
        for change in &self.changes {
            found.extend(change.names.iter().filter_map(|(.., id)| *id));
        }
        for node in self.nodes.values() {
            if let Body::Folder(folder) = &node.body {
                found.extend(folder.live.values().chain(folder.durable.values()));
            }
        }
        self.nodes.retain(|id, _| found.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: fn() -> Node = || Node {
        mode: 0o600,
        changed: SystemTime::UNIX_EPOCH,
        body: Body::File(Content::default()),
    };

    fn folder() -> Node {
        Node { body: Body::Folder(Folder::default()), ..FILE() }
    }

    fn write(tree: &mut Tree, name: &str, text: &str) -> Id {
        let id = tree.make(ROOT, OsStr::new(name), FILE()).unwrap();
        tree.file(id).unwrap().write(0, text.as_bytes());
        id
    }

    fn sync(tree: &mut Tree, id: Id) {
        tree.sync(tree.mark(id).unwrap());
    }

    fn rename(tree: &mut Tree, from: &str, to: &str) {
        tree.rename((ROOT, OsStr::new(from)), (ROOT, OsStr::new(to))).unwrap();
    }

    /// All that is in the root after a loss of everything that can be lost.
    fn left(mut tree: Tree) -> Vec<(String, String)> {
        tree.lose(Fate::Lost, &mut Dice::new(1));
        let names = tree.folder(ROOT).unwrap().live.clone();
        let text = |id| String::from_utf8_lossy(tree.file(id).unwrap().read(0, 99)).into_owned();
        let mut text = text;
        names.into_iter().map(|(name, id)| (name.into_string().unwrap(), text(id))).collect()
    }

    fn pair(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    fn tree(names: Names) -> Tree {
        Tree::new(names, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn a_file_that_is_not_synced_is_gone_with_its_name() {
        let mut tree = tree(Names::WithFiles);
        write(&mut tree, "a", "one");
        assert_eq!(left(tree), []);
    }

    #[test]
    fn a_name_becomes_durable_with_its_file_or_only_with_its_folder() {
        for (names, stays) in [(Names::WithFiles, true), (Names::WithFolders, false)] {
            let mut tree = tree(names);
            let file = write(&mut tree, "a", "one");
            sync(&mut tree, file);
            assert_eq!(left(tree) == [pair("a", "one")], stays, "{names:?}");
        }
        let mut tree = tree(Names::WithFolders);
        let file = write(&mut tree, "a", "one");
        sync(&mut tree, file);
        sync(&mut tree, ROOT);
        assert_eq!(left(tree), [pair("a", "one")]);
    }

    #[test]
    fn a_file_that_was_replaced_is_back_where_the_name_is_not_durable() {
        for names in [Names::WithFiles, Names::WithFolders] {
            let mut tree = tree(names);
            let old = write(&mut tree, "a", "old");
            sync(&mut tree, old);
            sync(&mut tree, ROOT);
            let new = write(&mut tree, "a.new", "new");
            sync(&mut tree, new);
            rename(&mut tree, "a.new", "a");
            assert_eq!(tree.named(ROOT, OsStr::new("a")), Ok(new));
            let left = left(tree);
            assert!(left.contains(&pair("a", "old")), "{names:?} {left:?}");
        }
    }

    #[test]
    fn who_replaces_a_file_without_sync_may_find_it_empty() {
        for (names, text) in [(Names::WithFiles, "new"), (Names::WithFolders, "")] {
            let mut tree = tree(names);
            let old = write(&mut tree, "a", "old");
            sync(&mut tree, old);
            write(&mut tree, "a.new", "new");
            rename(&mut tree, "a.new", "a");
            sync(&mut tree, ROOT);
            assert_eq!(left(tree), [pair("a", text)], "{names:?}");
        }
    }

    #[test]
    fn a_removed_file_is_back_until_that_is_durable() {
        let mut tree = tree(Names::WithFiles);
        let file = write(&mut tree, "a", "one");
        sync(&mut tree, file);
        tree.remove(ROOT, OsStr::new("a")).unwrap();
        assert_eq!(tree.named(ROOT, OsStr::new("a")), Err(Errno::ENOENT));
        assert_eq!(left(tree), [pair("a", "one")]);
    }

    #[test]
    fn a_sync_of_one_folder_is_none_of_a_later_change_in_another() {
        let mut tree = tree(Names::WithFolders);
        let one = tree.make(ROOT, OsStr::new("one"), folder()).unwrap();
        tree.make(one, OsStr::new("in it"), FILE()).unwrap();
        sync(&mut tree, ROOT);
        tree.lose(Fate::Lost, &mut Dice::new(1));
        assert_eq!(tree.named(ROOT, OsStr::new("one")), Ok(one));
        assert_eq!(tree.named(one, OsStr::new("in it")), Err(Errno::ENOENT));
    }

    #[test]
    fn what_nobody_can_come_to_takes_no_room() {
        let mut tree = tree(Names::WithFiles);
        let file = write(&mut tree, "a", "one");
        let handle = tree.open(file);
        tree.remove(ROOT, OsStr::new("a")).unwrap();
        sync(&mut tree, ROOT);
        assert!(tree.file(file).is_ok());
        tree.close(handle);
        assert_eq!(tree.file(file).err(), Some(Errno::ESTALE));
    }
}
