//! Parzen estimators in the unit interval, for the sampler: a mixture of truncated normal distributions around the
//! observed positions, and of the uniform distribution, as in Bergstra, Bardenet, Bengio, Kégl: "Algorithms for
//! Hyper-Parameter Optimization" (NIPS 2011).

use moue_engine::random::Stream;

/// The density of a parameter's positions.
pub enum Density {
    /// Positions, each with its standard deviation.
    Mixture(Vec<(f64, f64)>),
    /// The probability of each choice.
    Choices(Vec<f64>),
}

impl Density {
    /// For a number: the standard deviation of each normal distribution is the distance of the farther neighbor, at
    /// least 1 / min(100, n + 2).
    pub fn of_positions(positions: &[f64]) -> Self {
        let mut sorted = positions.to_vec();
        sorted.sort_by(f64::total_cmp);
        let least = 1.0 / (sorted.len() as f64 + 2.0).min(100.0);
        let neighbor =
            |index: Option<usize>, edge: f64| index.and_then(|index| sorted.get(index)).copied().unwrap_or(edge);
        let around = sorted.iter().enumerate().map(|(index, &at)| {
            let (below, above) = (neighbor(index.checked_sub(1), 0.0), neighbor(Some(index + 1), 1.0));
            (at, (at - below).max(above - at).clamp(least, 1.0))
        });
        Self::Mixture(around.collect())
    }

    /// For choices: counts, to each of which 1 / choices is added.
    pub fn of_choices(positions: &[f64], choices: usize) -> Self {
        let prior = 1.0 / choices as f64;
        let mut weights = vec![prior; choices];
        for &at in positions {
            weights[choice(at, choices)] += 1.0;
        }
        let sum: f64 = weights.iter().sum();
        Self::Choices(weights.into_iter().map(|weight| weight / sum).collect())
    }

    /// A position at random.
    pub fn draw(&self, stream: &mut Stream) -> f64 {
        match self {
            Self::Mixture(around) => {
                // The last component is the uniform distribution.
                let Some(&(at, deviation)) = around.get(stream.below(around.len() + 1)) else {
                    return f64::from(stream.uniform());
                };
                let tries = (0..100).map(|_| at + deviation * f64::from(stream.normal()));
                tries.into_iter().find(|drawn| (0.0..=1.0).contains(drawn)).unwrap_or(at)
            }
            Self::Choices(shares) => {
                let mut left = f64::from(stream.uniform());
                let index = shares.iter().position(|share| {
                    left -= share;
                    left < 0.0
                });
                (index.unwrap_or(shares.len() - 1) as f64 + 0.5) / shares.len() as f64
            }
        }
    }

    /// The logarithm of the density at a position.
    pub fn log(&self, at: f64) -> f64 {
        match self {
            Self::Mixture(around) => {
                let density = |&(mean, deviation): &(f64, f64)| {
                    let normal = |x: f64| 0.5 * (1.0 + libm::erf(x / std::f64::consts::SQRT_2));
                    let inside = normal((1.0 - mean) / deviation) - normal(-mean / deviation);
                    let z = (at - mean) / deviation;
                    libm::exp(-0.5 * z * z) / (deviation * (std::f64::consts::TAU).sqrt() * inside)
                };
                libm::log((around.iter().map(density).sum::<f64>() + 1.0) / (around.len() as f64 + 1.0))
            }
            Self::Choices(shares) => libm::log(shares[choice(at, shares.len())]),
        }
    }
}

/// The choice at a position.
fn choice(at: f64, choices: usize) -> usize {
    ((at * choices as f64) as usize).min(choices - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn densities_integrate_to_one() {
        for positions in [vec![], vec![0.0], vec![0.2, 0.21, 0.9, 1.0]] {
            let density = Density::of_positions(&positions);
            let sum: f64 = (0..10_000).map(|i| density.log((f64::from(i) + 0.5) / 10_000.0).exp() / 10_000.0).sum();
            assert!((sum - 1.0).abs() < 1e-3, "{positions:?}: {sum}");
        }
    }

    #[test]
    fn draws_are_where_the_density_is_high() {
        let mut stream = Stream::new(5);
        let near = Density::of_positions(&[0.3, 0.31, 0.29, 0.3, 0.32]);
        let close = (0..1000).filter(|_| (near.draw(&mut stream) - 0.3).abs() < 0.3).count();
        assert!(close > 700 && near.log(0.3) > near.log(0.9) + 1.0, "{close}");
        let choices = Density::of_choices(&[0.5, 0.5, 0.5, 0.1], 3);
        let middle = (0..1000).filter(|_| choices.draw(&mut stream) == 0.5).count();
        assert!((600..730).contains(&middle), "{middle}");
        assert!((choices.log(0.5).exp() - (3.0 + 1.0 / 3.0) / 5.0).abs() < 1e-12);
    }
}
