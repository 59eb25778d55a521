//! Means of few values with their uncertainty.

/// 97.5 % quantiles of Student's t distribution for 1 to 30 degrees of freedom.
const QUANTILES: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// The mean of values, and their standard deviation; `None` for fewer than two values.
#[must_use]
pub fn mean_and_deviation(values: &[f64]) -> Option<(f64, f64)> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (values.len() > 1).then(|| (mean, (squares / (count - 1.0)).sqrt()))
}

/// 95 % confidence interval of the mean (Student 1908); `None` for fewer than two values.
#[must_use]
pub fn student(values: &[f64]) -> Option<[f64; 2]> {
    let (mean, deviation) = mean_and_deviation(values)?;
    let freedom = values.len() - 1;
    // Beyond the table, the first terms of the expansion for many degrees of freedom.
    let expanded = |freedom: f64| 1.960 + 2.372 / freedom + 2.823 / (freedom * freedom);
    let quantile = QUANTILES.get(freedom - 1).copied().unwrap_or_else(|| expanded(freedom as f64));
    let half = quantile * deviation / (values.len() as f64).sqrt();
    Some([mean - half, mean + half])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_equals_a_manual_computation() {
        // Mean 2, deviation 1, n = 3: half of the interval is 4.303 / √3.
        let [low, high] = student(&[1.0, 2.0, 3.0]).unwrap();
        assert!((high - 2.0 - 2.4843).abs() < 1e-3 && (low + high - 4.0).abs() < 1e-12);
        assert_eq!(student(&[1.0]), None);
        assert_eq!(student(&[]), None);
    }

    #[test]
    fn the_expansion_continues_the_table() {
        // 61 values, 60 degrees of freedom: 2.000.
        let values: Vec<f64> = (0..61).map(f64::from).collect();
        let (mean, deviation) = mean_and_deviation(&values).unwrap();
        let quantile = (student(&values).unwrap()[1] - mean) / deviation * 61f64.sqrt();
        assert!((quantile - 2.0003).abs() < 1e-3, "{quantile}");
    }
}
