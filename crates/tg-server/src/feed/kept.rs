//! The JSON of events that were read before. An event never changes; the name of its project may, so
//! an entry holds only for the name it was written with. Knows no scope: which events a page holds is
//! always found in the table.

use std::{collections::HashMap, mem};

use axum::body::Bytes;

/// What lies around an entry, in bytes.
const OVERHEAD: usize = 128;

/// Written events, up to a number of bytes. Those not asked for in a while are forgotten.
pub struct Kept {
    young: HashMap<i64, Entry>,
    old: HashMap<i64, Entry>,
    young_bytes: usize,
    /// Bytes of each of the two halves.
    half: usize,
}

#[derive(Clone)]
struct Entry {
    project_name: Box<str>,
    json: Bytes,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.json.len() + self.project_name.len() + OVERHEAD
    }
}

impl Kept {
    /// Room for so many bytes.
    pub fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_bytes: 0, half: most / 2 }
    }

    /// The JSON array of these events (sequence number, name of the project now); `None` unless all
    /// are here.
    pub fn array<'a>(&mut self, keys: impl ExactSizeIterator<Item = (i64, &'a str)>) -> Option<Vec<u8>> {
        let mut body = Vec::with_capacity(2 + keys.len() * 640);
        body.push(b'[');
        for (seq, project_name) in keys {
            if body.len() > 1 {
                body.push(b',');
            }
            body.extend_from_slice(self.get(seq, project_name)?);
        }
        body.push(b']');
        Some(body)
    }

    /// Keeps an event as it was written with this name of its project.
    pub fn put(&mut self, seq: i64, project_name: &str, json: Bytes) {
        let entry = Entry { project_name: project_name.into(), json };
        if self.young_bytes + entry.bytes() > self.half {
            self.old = mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += entry.bytes();
        if let Some(before) = self.young.insert(seq, entry) {
            self.young_bytes -= before.bytes();
        }
    }

    fn get(&mut self, seq: i64, project_name: &str) -> Option<&[u8]> {
        if !self.young.contains_key(&seq) {
            let entry = self.old.remove(&seq)?;
            self.put(seq, &entry.project_name, entry.json);
        }
        self.young.get(&seq).filter(|entry| *entry.project_name == *project_name).map(|entry| &*entry.json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(kept: &mut Kept, keys: &[(i64, &str)]) -> Option<String> {
        kept.array(keys.iter().copied()).map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn a_page_is_whole_or_not_given() {
        let mut kept = Kept::new(10_000);
        assert_eq!(array(&mut kept, &[]).as_deref(), Some("[]"));
        kept.put(1, "a", Bytes::from_static(b"{\"seq\":1}"));
        kept.put(2, "", Bytes::from_static(b"{\"seq\":2}"));
        assert_eq!(array(&mut kept, &[(2, ""), (1, "a")]).as_deref(), Some("[{\"seq\":2},{\"seq\":1}]"));
        assert_eq!(array(&mut kept, &[(2, ""), (3, "a")]), None);
        assert_eq!(array(&mut kept, &[(1, "renamed")]), None, "the name was another one");
        kept.put(1, "renamed", Bytes::from_static(b"{}"));
        assert_eq!(array(&mut kept, &[(1, "renamed")]).as_deref(), Some("[{}]"));
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_forgotten() {
        let mut kept = Kept::new(100_000);
        let json = Bytes::from(vec![b'1'; 1000]);
        kept.put(0, "", json.clone());
        for seq in 1..1000 {
            kept.put(seq, "", json.clone());
            assert!(kept.array([(0, "")].into_iter()).is_some(), "asked for at {seq}");
            let bytes: usize = kept.young.values().chain(kept.old.values()).map(Entry::bytes).sum();
            assert!(bytes <= 100_000, "{bytes} bytes after {seq}");
        }
        assert!(kept.array([(5, "")].into_iter()).is_none());
        assert!(kept.array([(998, "")].into_iter()).is_some());
    }
}
