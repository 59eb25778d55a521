//! Regression forests (Breiman: "Random Forests", Machine Learning 2001): the metric of a trial as a function of its
//! parameters.

use moue_engine::random::{Stream, key};

/// Number of trees.
const TREES: usize = 100;

/// Minimum number of rows at a leaf.
const LEAF: usize = 2;

/// A column of a table: whether its numbers are names of choices.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub is_categorical: bool,
}

/// Rows of numbers with a target each. An inactive parameter is NaN.
pub struct Rows {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<f64>>,
    pub targets: Vec<f64>,
}

enum Node {
    Leaf(f64),
    Split { column: usize, at: f64, is_categorical: bool, yes: Box<Node>, no: Box<Node> },
}

/// A fitted forest.
pub struct Forest {
    trees: Vec<Tree>,
}

struct Tree {
    root: Node,
    /// The rows that it was not fitted to.
    left_out: Vec<usize>,
}

impl Forest {
    /// Fits a forest; draws are keyed by the seed.
    pub fn fit(rows: &Rows, seed: u64) -> Self {
        let tree = |number: usize| {
            let mut stream = Stream::new(key(&[seed, u64::from_le_bytes(*b"forest\0\0"), number as u64]));
            let count = rows.rows.len();
            let drawn: Vec<usize> = (0..count).map(|_| stream.below(count)).collect();
            let left_out = (0..count).filter(|row| !drawn.contains(row)).collect();
            Tree { root: grow(rows, &drawn, &mut stream), left_out }
        };
        Self { trees: (0..TREES).map(tree).collect() }
    }

    /// The prediction for a row.
    pub fn predict(&self, row: &[f64]) -> f64 {
        self.trees.iter().map(|tree| tree.root.predict(row)).sum::<f64>() / self.trees.len().max(1) as f64
    }

    /// The mean squared error on the rows that each tree was not fitted to.
    pub fn error(&self, rows: &Rows) -> f64 {
        self.error_with(rows, None, 0)
    }

    /// The same error after the values of a column are exchanged among the rows (permutation importance).
    pub fn permuted_error(&self, rows: &Rows, column: usize, seed: u64) -> f64 {
        self.error_with(rows, Some(column), seed)
    }

    fn error_with(&self, rows: &Rows, column: Option<usize>, seed: u64) -> f64 {
        let (mut sum, mut count) = (0.0, 0);
        for (number, tree) in self.trees.iter().enumerate() {
            let mut others = tree.left_out.clone();
            if let Some(column) = column {
                let parts = [seed, u64::from_le_bytes(*b"permute\0"), column as u64, number as u64];
                Stream::new(key(&parts)).shuffle(&mut others);
            }
            for (&row, &other) in tree.left_out.iter().zip(&others) {
                let mut values = rows.rows[row].clone();
                if let Some(column) = column {
                    values[column] = rows.rows[other][column];
                }
                let error = tree.root.predict(&values) - rows.targets[row];
                sum += error * error;
                count += 1;
            }
        }
        sum / f64::from(count.max(1))
    }
}

/// Whether a row belongs to the first part of a split; an inactive parameter belongs to the second.
fn is_yes(value: f64, at: f64, is_categorical: bool) -> bool {
    if is_categorical { value == at } else { value <= at }
}

impl Node {
    fn predict(&self, row: &[f64]) -> f64 {
        match self {
            Self::Leaf(mean) => *mean,
            Self::Split { column, at, is_categorical, yes, no } => {
                let next = if is_yes(row[*column], *at, *is_categorical) { yes } else { no };
                next.predict(row)
            }
        }
    }
}

fn grow(rows: &Rows, own: &[usize], stream: &mut Stream) -> Node {
    let target = |&row: &usize| rows.targets[row];
    let mean = own.iter().map(target).sum::<f64>() / own.len().max(1) as f64;
    let Some((column, at)) = split(rows, own, stream) else { return Node::Leaf(mean) };
    let is_categorical = rows.columns[column].is_categorical;
    let (yes, no): (Vec<usize>, Vec<usize>) =
        own.iter().partition(|&&row| is_yes(rows.rows[row][column], at, is_categorical));
    let (yes, no) = (Box::new(grow(rows, &yes, stream)), Box::new(grow(rows, &no, stream)));
    Node::Split { column, at, is_categorical, yes, no }
}

/// The split with the least sum of squares, among a third of the columns, at least two, at random, as is usual for regression.
fn split(rows: &Rows, own: &[usize], stream: &mut Stream) -> Option<(usize, f64)> {
    if own.len() < 2 * LEAF {
        return None;
    }
    let mut columns: Vec<usize> = (0..rows.columns.len()).collect();
    stream.shuffle(&mut columns);
    let tried = columns.len().div_ceil(3).max(2);
    let squares = |sum: f64, count: usize| sum * sum / count.max(1) as f64;
    let total: f64 = own.iter().map(|&row| rows.targets[row]).sum();
    let mut best = (squares(total, own.len()) + 1e-12, None);
    for (number, column) in columns.into_iter().enumerate() {
        // Where the first columns do not split these rows, others may.
        if number >= tried && best.1.is_some() {
            break;
        }
        let mut values: Vec<f64> =
            own.iter().map(|&row| rows.rows[row][column]).filter(|value| !value.is_nan()).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let is_categorical = rows.columns[column].is_categorical;
        let ends: Vec<f64> = match is_categorical {
            true => values,
            // The largest value separates active from inactive rows.
            false => values.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).chain(values.last().copied()).collect(),
        };
        for at in ends {
            let (mut sum, mut count) = (0.0, 0);
            for &row in own {
                if is_yes(rows.rows[row][column], at, is_categorical) {
                    sum += rows.targets[row];
                    count += 1;
                }
            }
            if count < LEAF || own.len() - count < LEAF {
                continue;
            }
            let explained = squares(sum, count) + squares(total - sum, own.len() - count);
            if explained > best.0 {
                best = (explained, Some((column, at)));
            }
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The target depends on the first column, on a choice, and not on the third.
    fn rows() -> Rows {
        let mut stream = Stream::new(1);
        let rows: Vec<Vec<f64>> = (0..120)
            .map(|_| vec![f64::from(stream.uniform()), stream.below(3) as f64, f64::from(stream.uniform())])
            .collect();
        let targets = rows.iter().map(|row| 3.0 * row[0] + if row[1] == 1.0 { 1.0 } else { 0.0 }).collect();
        let columns = [false, true, false].map(|is_categorical| Column { is_categorical }).to_vec();
        Rows { columns, rows, targets }
    }

    #[test]
    fn predictions_follow_the_target() {
        let rows = rows();
        let forest = Forest::fit(&rows, 0);
        assert!((forest.predict(&[0.1, 0.0, 0.5]) - 0.3).abs() < 0.3);
        assert!((forest.predict(&[0.9, 1.0, 0.5]) - 3.7).abs() < 0.4);
        assert!(forest.error(&rows) < 0.2, "{}", forest.error(&rows));
    }

    #[test]
    fn importance_orders_the_columns() {
        let rows = rows();
        let forest = Forest::fit(&rows, 0);
        let lost: Vec<f64> =
            (0..3).map(|column| forest.permuted_error(&rows, column, 0) - forest.error(&rows)).collect();
        assert!(lost[0] > lost[1] && lost[1] > 5.0 * lost[2].abs(), "{lost:?}");
    }

    #[test]
    fn inactive_values_are_separated() {
        let rows = Rows {
            columns: vec![Column { is_categorical: false }],
            rows: [0.1, 0.9, 0.5, f64::NAN, f64::NAN, f64::NAN, 0.3].map(|value| vec![value]).to_vec(),
            targets: vec![1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        };
        let forest = Forest::fit(&rows, 0);
        assert!(forest.predict(&[f64::NAN]) < 0.3 && forest.predict(&[0.4]) > 0.7);
    }
}
