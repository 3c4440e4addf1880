//! How the memory for filters is shared by the spaces of a server.

/// Shares `total` among those who want so much: who wants less than an even share gets it, the others share the rest evenly.
pub(crate) fn shares(total: usize, wanted: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_unstable_by_key(|at| wanted[*at]);
    let (mut left, mut given) = (total, vec![0; wanted.len()]);
    for (done, at) in order.into_iter().enumerate() {
        given[at] = wanted[at].min(left / (wanted.len() - done));
        left -= given[at];
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cln_2_filters_of_a_small_space_are_not_driven_out_by_those_of_a_large_one() {
        assert_eq!(shares(100, &[]), Vec::<usize>::new());
        assert_eq!(shares(100, &[500, 10, 0, 400]), [45, 10, 0, 45]);
        assert_eq!(shares(100, &[20, 10]), [20, 10]);
        assert_eq!(shares(0, &[20, 10]), [0, 0]);
    }
}
