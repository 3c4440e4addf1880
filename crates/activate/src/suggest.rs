//! The nearest known word to a misspelt one, for messages that say how to mend a definition.

/// `; did you mean "x"?` where a known word is near, else nothing.
pub(crate) fn suggestion(word: &str, known: &[&str]) -> String {
    kith_expr::nearest(word, known).map_or_else(String::new, |name| format!("; did you mean {name:?}?"))
}

#[cfg(test)]
mod tests {
    use super::suggestion;

    #[test]
    fn a_near_word_is_named_and_a_far_one_is_not() {
        assert_eq!(
            suggestion("sbject", &["subject", "text"]),
            "; did you mean \"subject\"?"
        );
        assert_eq!(suggestion("colour", &["subject", "text"]), "");
    }
}
