//! A small cache of things that were read and decoded.

use std::collections::HashMap;
use std::sync::Arc;

/// The most things that a cache keeps, whatever their size: making room looks at all of them.
const CACHE_MAX: u64 = 512;

/// Things by their offset in the file. The one that has not been used for the longest time makes room.
#[derive(Debug)]
pub(crate) struct Cache<T> {
    things: HashMap<u64, (u64, Arc<T>)>,
    capacity: usize,
    time: u64,
}

impl<T> Cache<T> {
    pub(crate) fn new(capacity: u64) -> Self {
        Self { things: HashMap::new(), capacity: capacity.clamp(1, CACHE_MAX) as usize, time: 0 }
    }

    pub(crate) fn get(&mut self, offset: u64) -> Option<Arc<T>> {
        self.time += 1;
        let (used, thing) = self.things.get_mut(&offset)?;
        *used = self.time;
        Some(Arc::clone(thing))
    }

    pub(crate) fn insert(&mut self, offset: u64, thing: Arc<T>) {
        if self.things.len() >= self.capacity
            && let Some(oldest) = self.things.iter().min_by_key(|(_, (used, _))| *used).map(|(&offset, _)| offset)
        {
            self.things.remove(&oldest);
        }
        self.time += 1;
        self.things.insert(offset, (self.time, thing));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thing_that_was_not_used_for_longest_makes_room() {
        let mut cache = Cache::new(2);
        cache.insert(1, Arc::new("one"));
        cache.insert(2, Arc::new("two"));
        assert!(cache.get(1).is_some());
        cache.insert(3, Arc::new("three"));
        assert!(cache.get(2).is_none() && cache.get(1).is_some() && cache.get(3).is_some());
        assert_eq!(cache.things.len(), 2);
    }
}
