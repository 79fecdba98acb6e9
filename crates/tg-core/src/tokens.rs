//! Token estimate for texts whose usage no engine reported.

/// Estimate for a text: characters / 4, rounded up, at least 1.
pub fn estimate(text: &str) -> u64 {
    estimate_characters(text.chars().count())
}

/// Estimate for a number of characters.
pub fn estimate_characters(characters: usize) -> u64 {
    (characters as u64).div_ceil(4).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_values() {
        for (characters, tokens) in [(0, 1), (4, 1), (5, 2), (9, 3)] {
            assert_eq!(estimate_characters(characters), tokens);
        }
    }
}
