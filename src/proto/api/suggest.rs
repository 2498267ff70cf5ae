//! "Did you mean": the known name that is nearest to a wrong one.

/// The nearest name, if one is near enough to be meant.
pub fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    if wrong.len() > LONGEST {
        return None;
    }
    // Of two letters any other name is as near as the one that was meant.
    let limit = (wrong.len() / 3).min(3);
    known
        .into_iter()
        .filter(|name| name.len() <= LONGEST)
        .map(|name| (distance(&wrong.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= limit && *name != wrong)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Letters to change, add, leave out or swap with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let changed = rows[i][j] + usize::from(a != b);
            let mut best = changed.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

/// The hint that names it.
pub fn hint<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    closest(wrong, known).map(|name| format!("did you mean '{name}'?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_not() {
        let fields = ["dstport", "srcport", "seq", "window_size"];
        assert_eq!(closest("destport", fields), Some("dstport"));
        assert_eq!(closest("scrport", fields), Some("srcport"));
        assert_eq!(closest("windowsize", fields), Some("window_size"));
        assert_eq!(closest("none", fields), None);
        assert_eq!(closest("ip", ["id"]), None);
        assert_eq!(closest("DSTPORT", fields), Some("dstport"));
    }
}
