//! What is listed more than once.

/// The values, other than zero, that `list` has more than once, in ascending order.
pub(crate) fn shared<T: Copy + Default + Ord>(list: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = list.into_iter().filter(|&value| value != T::default()).collect();
    values.sort_unstable();
    let mut shared: Vec<T> = values.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    shared.dedup();
    shared
}
