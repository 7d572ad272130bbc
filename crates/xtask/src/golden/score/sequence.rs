//! Which exchange of one recording belongs to which of the other.
//!
//! Two sequences are aligned by their longest common runs, found again to the left and right of each; between two such
//! anchors a second time by a looser key, so that generated names do not tear pairs apart.

use std::collections::HashMap;
use std::hash::Hash;

use super::exchange::Exchange;

/// A stretch: `left` of one side against `right` of the other.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stretch {
    equal: bool,
    left: (usize, usize),
    right: (usize, usize),
}

/// The stretches of two sequences, alternately equal and not.
fn stretches<K: Eq + Hash>(a: &[K], b: &[K]) -> Vec<Stretch> {
    let mut places: HashMap<&K, Vec<usize>> = HashMap::new();
    for (at, key) in b.iter().enumerate() {
        places.entry(key).or_default().push(at);
    }
    let mut blocks = Vec::new();
    let mut todo = vec![((0, a.len()), (0, b.len()))];
    while let Some((left, right)) = todo.pop() {
        let (i, j, size) = longest(a, &places, left, right);
        if size == 0 {
            continue;
        }
        blocks.push((i, j, size));
        todo.push(((left.0, i), (right.0, j)));
        todo.push(((i + size, left.1), (j + size, right.1)));
    }
    blocks.sort_unstable();
    blocks.push((a.len(), b.len(), 0));
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    for (to_i, to_j, size) in blocks {
        if i < to_i || j < to_j {
            out.push(Stretch { equal: false, left: (i, to_i), right: (j, to_j) });
        }
        (i, j) = (to_i + size, to_j + size);
        if size > 0 {
            out.push(Stretch { equal: true, left: (to_i, i), right: (to_j, j) });
        }
    }
    out
}

/// The longest common run within two ranges: the first of several in `a`, then in `b`.
fn longest<K: Eq + Hash>(
    a: &[K],
    places: &HashMap<&K, Vec<usize>>,
    left: (usize, usize),
    right: (usize, usize),
) -> (usize, usize, usize) {
    let mut best = (left.0, right.0, 0);
    let mut ending: HashMap<usize, usize> = HashMap::new();
    for (i, key) in a.iter().enumerate().take(left.1).skip(left.0) {
        let mut next = HashMap::new();
        for &j in places.get(key).into_iter().flatten().filter(|j| (right.0..right.1).contains(j)) {
            let size = 1 + j.checked_sub(1).and_then(|before| ending.get(&before)).copied().unwrap_or(0);
            next.insert(j, size);
            if size > best.2 {
                best = (i + 1 - size, j + 1 - size, size);
            }
        }
        ending = next;
    }
    best
}

/// Pairs of places; none where one side lacks the exchange.
pub(super) fn align(a: &[Exchange], b: &[Exchange]) -> Vec<(Option<usize>, Option<usize>)> {
    let keys = |side: &[Exchange]| side.iter().map(|x| x.key.clone()).collect::<Vec<_>>();
    let mut pairs = Vec::new();
    for outer in stretches(&keys(a), &keys(b)) {
        if outer.equal {
            pairs.extend((outer.left.0..outer.left.1).map(Some).zip((outer.right.0..outer.right.1).map(Some)));
            continue;
        }
        let loose = |side: &[Exchange]| side.iter().map(loose).collect::<Vec<_>>();
        let left = loose(&a[outer.left.0..outer.left.1]);
        let right = loose(&b[outer.right.0..outer.right.1]);
        for inner in stretches(&left, &right) {
            let i = (inner.left.0..inner.left.1).map(|i| Some(i + outer.left.0));
            let j = (inner.right.0..inner.right.1).map(|j| Some(j + outer.right.0));
            if inner.equal {
                pairs.extend(i.zip(j));
            } else {
                pairs.extend(i.map(|i| (i, None)));
                pairs.extend(j.map(|j| (None, j)));
            }
        }
    }
    pairs
}

/// The same method and note, and the same path but for a generated name at its end.
fn loose(x: &Exchange) -> (String, String, usize, String) {
    let path = &x.key.path;
    let base = path.split('?').next().unwrap_or_default();
    let parent = base.rsplit_once('/').map_or("", |(parent, _)| parent);
    (x.method.clone(), x.key.note.clone(), path.matches('/').count(), parent.to_owned())
}

#[cfg(test)]
mod test {
    use std::fmt::Write as _;

    use super::*;

    fn shown(a: &str, b: &str) -> String {
        let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
        let mut out = String::new();
        for s in stretches(&a, &b) {
            let (left, right) = (s.left.1 - s.left.0, s.right.1 - s.right.0);
            let _ = write!(out, "{}{left}:{right} ", if s.equal { "=" } else { "x" });
        }
        out
    }

    #[test]
    fn what_only_one_side_has_shifts_nothing() {
        assert_eq!(shown("abcd", "xbcd"), "x1:1 =3:3 ");
        assert_eq!(shown("abcd", "abxcd"), "=2:2 x0:1 =2:2 ");
        assert_eq!(shown("abcd", "ad"), "=1:1 x2:0 =1:1 ");
        assert_eq!(shown("", "ab"), "x0:2 ");
    }

    #[test]
    fn the_longest_run_is_the_anchor() {
        // The long run wins over the earlier short one.
        assert_eq!(shown("abxyz", "xyzab"), "x2:0 =3:3 x0:2 ");
    }
}
