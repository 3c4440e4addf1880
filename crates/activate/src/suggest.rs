//! The nearest known word to a misspelt one, for messages that say how to mend a definition. It never guesses what is
//! further than two letters away.

/// `; did you mean "x"?` where a known word is near, else nothing.
pub(crate) fn suggestion(word: &str, known: &[&str]) -> String {
    let near = known.iter().map(|name| (distance(word, name), name)).min();
    match near {
        Some((distance, name)) if distance <= 2 && distance < word.len().max(2) => format!("; did you mean {name:?}?"),
        _ => String::new(),
    }
}

/// The edits from one word to the other: letters put in, left out, replaced (Levenshtein), over the first 40 letters.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(40).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, letter) in left.chars().take(40).enumerate() {
        let mut corner = row[0];
        row[0] = above + 1;
        for (at, other) in right.iter().enumerate() {
            let cost = corner + usize::from(letter != *other);
            corner = row[at + 1];
            row[at + 1] = cost.min(row[at] + 1).min(corner + 1);
        }
    }
    row[right.len()]
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
