//! A number for each host cluster, in little memory.

/// Clusters in a page.
const PAGE: usize = 4096;

/// One number for each host cluster, zero until it is set.
///
/// A page takes no memory while all its numbers are zero, one byte a number while they are small, and eight bytes a
/// number otherwise.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pages: Vec<Page>,
}

#[derive(Debug, Default)]
enum Page {
    #[default]
    Zeros,
    Narrow(Box<[u8; PAGE]>),
    Wide(Box<[u64; PAGE]>),
}

impl Counts {
    pub(crate) fn get(&self, cluster: u64) -> u64 {
        let at = cluster as usize % PAGE;
        match self.pages.get(cluster as usize / PAGE) {
            None | Some(Page::Zeros) => 0,
            Some(Page::Narrow(numbers)) => u64::from(numbers[at]),
            Some(Page::Wide(numbers)) => numbers[at],
        }
    }

    pub(crate) fn set(&mut self, cluster: u64, count: u64) {
        let (page, at) = (cluster as usize / PAGE, cluster as usize % PAGE);
        if page >= self.pages.len() {
            if count == 0 {
                return;
            }
            self.pages.resize_with(page + 1, Page::default);
        }
        let page = &mut self.pages[page];
        match (&mut *page, u8::try_from(count)) {
            (Page::Zeros, Ok(0)) => {}
            (Page::Zeros, Ok(count)) => {
                let mut numbers = Box::new([0; PAGE]);
                numbers[at] = count;
                *page = Page::Narrow(numbers);
            }
            (Page::Narrow(numbers), Ok(count)) => numbers[at] = count,
            (Page::Wide(numbers), _) => numbers[at] = count,
            (Page::Zeros, Err(_)) => {
                let mut numbers = Box::new([0; PAGE]);
                numbers[at] = count;
                *page = Page::Wide(numbers);
            }
            (Page::Narrow(narrow), Err(_)) => {
                let mut numbers = Box::new([0; PAGE]);
                narrow.iter().zip(numbers.iter_mut()).for_each(|(narrow, wide)| *wide = u64::from(*narrow));
                numbers[at] = count;
                *page = Page::Wide(numbers);
            }
        }
    }

    pub(crate) fn add(&mut self, cluster: u64, more: u64) {
        self.set(cluster, self.get(cluster).saturating_add(more));
    }

    /// The end of the clusters that have a number other than zero.
    pub(crate) fn end(&self) -> u64 {
        for (page, numbers) in self.pages.iter().enumerate().rev() {
            let last = match numbers {
                Page::Zeros => None,
                Page::Narrow(numbers) => numbers.iter().rposition(|&number| number != 0),
                Page::Wide(numbers) => numbers.iter().rposition(|&number| number != 0),
            };
            if let Some(last) = last {
                return (page * PAGE + last + 1) as u64;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size_are_kept() {
        let mut counts = Counts::default();
        assert_eq!((counts.get(1 << 30), counts.end()), (0, 0));
        counts.set(9000, 0);
        assert!(counts.pages.is_empty());
        for (cluster, count) in [(5, 1), (6, 255), (7, 256), (8, u64::MAX), (9000, 2), (9001, 300)] {
            counts.set(cluster, count);
            assert_eq!(counts.get(cluster), count);
        }
        assert_eq!([4, 5, 6, 7, 8, 9].map(|cluster| counts.get(cluster)), [0, 1, 255, 256, u64::MAX, 0]);
        assert_eq!(counts.end(), 9002);
        counts.add(8, 1);
        counts.add(5, 2);
        counts.set(9001, 0);
        assert_eq!((counts.get(8), counts.get(5), counts.end()), (u64::MAX, 3, 9001));
    }
}
