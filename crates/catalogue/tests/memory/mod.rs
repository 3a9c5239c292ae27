//! A web of documents in memory.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use catalogue::transport::{Error, Progress};
use catalogue::{Cache, Download, Entry, Transport};

/// Documents by their addresses, and what was asked for.
#[derive(Default)]
pub(crate) struct Memory {
    /// What each answer is; the last one is given again and again.
    documents: RefCell<BTreeMap<String, VecDeque<Vec<u8>>>>,
    asked: RefCell<Vec<String>>,
}

impl Memory {
    /// From now on, `url` has `bytes`.
    pub(crate) fn put(&self, url: &str, bytes: impl Into<Vec<u8>>) {
        self.documents.borrow_mut().insert(url.to_owned(), VecDeque::from([bytes.into()]));
    }

    /// After what there is, `url` has `bytes`.
    pub(crate) fn then(&self, url: &str, bytes: impl Into<Vec<u8>>) {
        self.documents.borrow_mut().entry(url.to_owned()).or_default().push_back(bytes.into());
    }

    pub(crate) fn remove(&self, url: &str) {
        assert!(self.documents.borrow_mut().remove(url).is_some(), "{url}");
    }

    /// What was asked for since this was called last.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.take()
    }
}

impl Transport for Memory {
    fn small(&self, url: &str, limit_bytes: u64) -> Result<Vec<u8>, Error> {
        self.asked.borrow_mut().push(url.to_owned());
        let mut documents = self.documents.borrow_mut();
        let Some(answers) = documents.get_mut(url) else {
            return Err(Error::Status { url: url.to_owned(), status: 404, retry_after_seconds: None });
        };
        let bytes = if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() };
        assert!(bytes.len() as u64 <= limit_bytes);
        Ok(bytes)
    }

    fn fetch(&self, download: &Download, _: &Cache, _: &dyn Progress) -> Result<Entry, Error> {
        panic!("nobody should fetch {download:?}")
    }
}
