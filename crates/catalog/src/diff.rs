//! The difference of two texts, line by line, for people to read.
//!
//! The longest common subsequence by dynamic programming (Wagner and Fischer, 1974), after equal lines at both ends are
//! set aside. Texts beyond a bound are shown as replaced.

/// The most cells of the table; beyond it everything between the equal ends counts as changed.
const CELLS_MAX: usize = 1_000_000;
/// How many equal lines are shown around a change.
const CONTEXT_LINES: usize = 3;

/// The lines of the difference: `- ` removed, `+ ` added, two blanks for the equal lines around them, `…` for more of
/// these. Nothing for equal texts.
#[must_use]
pub fn line_diff(old: &str, new: &str) -> Vec<String> {
    if old == new {
        return Vec::new();
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..]
        .iter()
        .rev()
        .zip(new[head..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (old_middle, new_middle) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut marked: Vec<(char, &str)> = old[..head].iter().map(|line| (' ', *line)).collect();
    marked.extend(middle(old_middle, new_middle));
    marked.extend(old[old.len() - tail..].iter().map(|line| (' ', *line)));
    with_context(&marked)
}

fn middle<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let replaced = || {
        old.iter()
            .map(|line| ('-', *line))
            .chain(new.iter().map(|line| ('+', *line)))
            .collect()
    };
    if old.len().saturating_mul(new.len()) > CELLS_MAX {
        return replaced();
    }
    let width = new.len() + 1;
    // common[i * width + j] is the length of the longest common subsequence of old[i..] and new[j..].
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = match old[i] == new[j] {
                true => common[(i + 1) * width + j + 1] + 1,
                false => common[(i + 1) * width + j].max(common[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut marked = Vec::with_capacity(old.len() + new.len());
    while i < old.len() && j < new.len() {
        if old[i] == new[j] {
            marked.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if common[(i + 1) * width + j] >= common[i * width + j + 1] {
            marked.push(('-', old[i]));
            i += 1;
        } else {
            marked.push(('+', new[j]));
            j += 1;
        }
    }
    marked.extend(old[i..].iter().map(|line| ('-', *line)));
    marked.extend(new[j..].iter().map(|line| ('+', *line)));
    marked
}

fn with_context(marked: &[(char, &str)]) -> Vec<String> {
    let changed = |at: usize| marked[at].0 != ' ';
    let near = |at: usize| (at.saturating_sub(CONTEXT_LINES)..=(at + CONTEXT_LINES).min(marked.len() - 1)).any(changed);
    let mut lines = Vec::new();
    let mut skipped = false;
    for (at, (mark, line)) in marked.iter().enumerate() {
        if near(at) {
            lines.push(format!("{mark} {line}"));
            skipped = false;
        } else if !skipped {
            lines.push("  …".to_owned());
            skipped = true;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_change_is_shown_with_the_lines_around_it() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni";
        let lines = line_diff(old, "a\nb\nc\nd\ne\nf\ng\nH\ni");
        assert_eq!(lines, ["  …", "  e", "  f", "  g", "- h", "+ H", "  i"]);
        assert_eq!(line_diff(old, old), Vec::<String>::new());
        assert_eq!(line_diff("", "x\ny"), ["+ x", "+ y"]);
        assert_eq!(line_diff("x", ""), ["- x"]);
    }

    proptest! {
        #[test]
        fn both_texts_can_be_read_from_the_difference(old in prop::collection::vec("[ab]{0,1}", 0..12), new in prop::collection::vec("[ab]{0,1}", 0..12)) {
            let (old, new): (Vec<&str>, Vec<&str>) = (old.iter().map(String::as_str).collect(), new.iter().map(String::as_str).collect());
            let marked = middle(&old, &new);
            let without = |mark| marked.iter().filter(|(found, _)| *found != mark).map(|(_, line)| *line).collect::<Vec<_>>();
            prop_assert_eq!(without('+'), old);
            prop_assert_eq!(without('-'), new);
        }
    }
}
