//! Work on several threads whose results come in order.

use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

use crate::error::Result;

/// The results of the work on some items, in the order of the items.
///
/// Item number `n` is the work of thread `n % threads`, and each thread has its own channel of one
/// result: the order needs no sorting, and memory is bounded by a few results a thread.
pub(crate) struct InOrder<T> {
    threads: Vec<Receiver<Result<T>>>,
    next: usize,
}

impl<T: Send> InOrder<T> {
    /// Starts `threads` threads in `scope` on `items`. Each thread makes its own worker, which may keep buffers, and
    /// stops at its first error.
    pub(crate) fn start<'scope, I, W>(
        scope: &'scope Scope<'scope, '_>,
        threads: NonZeroUsize,
        items: I,
        make_worker: impl Fn() -> Result<W> + Clone + Send + 'scope,
    ) -> Self
    where
        I: Iterator + Clone + Send + 'scope,
        W: FnMut(I::Item) -> Result<T>,
        T: 'scope,
    {
        let threads = threads.get();
        let start = |thread| {
            let (sender, receiver) = sync_channel(1);
            let mine = items.clone().skip(thread).step_by(threads);
            let make_worker = make_worker.clone();
            scope.spawn(move || {
                // An error of sending, here and below, means that the receiver is gone.
                let mut work = match make_worker() {
                    Ok(work) => work,
                    Err(error) => return drop(sender.send(Err(error))),
                };
                for item in mine {
                    let result = work(item);
                    let is_error = result.is_err();
                    if sender.send(result).is_err() || is_error {
                        return;
                    }
                }
            });
            receiver
        };
        Self { threads: (0..threads).map(start).collect(), next: 0 }
    }
}

impl<T> Iterator for InOrder<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        // A thread that closes its channel without an error has no item left, and then the other threads have none.
        let result = self.threads[self.next % self.threads.len()].recv().ok()?;
        self.next += 1;
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn run(threads: usize, items: u64, fail_at: u64) -> Vec<Option<u64>> {
        std::thread::scope(|scope| {
            let work = move |item| if item == fail_at { Err(Error::unsupported("it")) } else { Ok(item * 10) };
            let make_worker = move || Ok(work);
            let threads = NonZeroUsize::new(threads).unwrap();
            InOrder::start(scope, threads, 0..items, make_worker).take(items as usize).map(Result::ok).collect()
        })
    }

    #[test]
    fn results_come_in_the_order_of_the_items() {
        for threads in [1, 2, 3, 7] {
            for items in [0, 1, 2, 6, 7, 100] {
                assert_eq!(run(threads, items, u64::MAX), (0..items).map(|item| Some(item * 10)).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn an_error_comes_where_its_item_would() {
        for threads in [1, 2, 3] {
            let results = run(threads, 50, 10);
            assert_eq!(results.iter().position(Option::is_none), Some(10), "threads={threads}");
        }
    }

    #[test]
    fn a_worker_that_cannot_be_made_is_an_error() {
        std::thread::scope(|scope| {
            let make_worker = || Err::<fn(u64) -> Result<u64>, _>(Error::unsupported("it"));
            let mut results = InOrder::start(scope, NonZeroUsize::MIN, 0..3_u64, make_worker);
            assert!(results.next().is_some_and(|result| result.is_err()));
            assert!(results.next().is_none());
        });
    }
}
