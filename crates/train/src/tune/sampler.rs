//! Proposes configurations: at random, or by tree-structured Parzen estimators (Bergstra et al. 2011), with the rules of
//! BOHB for trials of different length (Falkner, Klein, Hutter: "BOHB: Robust and Efficient Hyperparameter Optimization
//! at Scale", ICML 2018): the estimators are fitted to the longest trainings of which there are enough, and one proposal
//! in three is random.
//!
//! The algorithm is implemented here because its numbers must not change with the version of a library: a search that is
//! repeated proposes the same trials.

use super::parameter::{Parameter, Values};
use super::parzen::Density;
use super::results::SamplerName;
use super::space::Space;
use moue_engine::random::Stream;

/// Share of the observations that count as good (γ).
const GOOD: f64 = 0.15;

/// Minimum number of observations after the same number of epochs.
const LEAST: usize = 6;

/// Number of candidates, of which the best is proposed.
const CANDIDATES: usize = 24;

/// Share of random proposals (ρ).
const RANDOM: f32 = 1.0 / 3.0;

/// What a trial has reached after a number of epochs.
pub struct Observed<'a> {
    pub values: &'a Values,
    pub epochs: usize,
    /// Greater is better.
    pub score: f64,
}

/// Values for a new trial.
pub fn propose(sampler: SamplerName, space: &Space, observed: &[Observed<'_>], stream: &mut Stream) -> Values {
    let is_random = stream.chance(RANDOM);
    let longest = comparable(observed);
    if sampler == SamplerName::Random || is_random || longest.is_empty() {
        return space.draw(stream);
    }
    let mut sorted = longest;
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    let good = ((GOOD * sorted.len() as f64).ceil() as usize).max(2);
    let (good, bad) = sorted.split_at(good.min(sorted.len()));
    let values = space.parameters.iter().map(|parameter| (parameter.name.clone(), best(parameter, good, bad, stream)));
    let values = values.collect();
    space.active(&values)
}

/// The observations after the largest number of epochs that enough trials have reached.
fn comparable<'a, 'b>(observed: &'a [Observed<'b>]) -> Vec<&'a Observed<'b>> {
    let mut epochs: Vec<usize> = observed.iter().map(|one| one.epochs).collect();
    epochs.sort_unstable();
    epochs.dedup();
    let of = |epochs: usize| observed.iter().filter(|one| one.epochs == epochs).collect::<Vec<_>>();
    epochs.into_iter().rev().map(of).find(|found| found.len() >= LEAST).unwrap_or_default()
}

/// The candidate that is much more likely among the good observations than among the others. Both only count where
/// the parameter was active.
fn best(parameter: &Parameter, good: &[&Observed<'_>], bad: &[&Observed<'_>], stream: &mut Stream) -> toml::Value {
    let density = |observed: &[&Observed<'_>]| {
        let values = observed.iter().filter_map(|one| one.values.get(&parameter.name));
        let positions: Vec<f64> = values.map(|value| parameter.position(value)).collect();
        match parameter.count().filter(|_| parameter.is_categorical()) {
            Some(choices) => Density::of_choices(&positions, choices),
            None => Density::of_positions(&positions),
        }
    };
    let (good, bad) = (density(good), density(bad));
    let candidates = (0..CANDIDATES).map(|_| good.draw(stream));
    let rated = candidates.map(|at| (at, good.log(at) - bad.log(at)));
    let (at, _) = rated.reduce(|best, next| if next.1 > best.1 { next } else { best }).unwrap_or((0.5, 0.0));
    parameter.at(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use moue_engine::random::key;

    fn space() -> Space {
        let text = "[space]\ntrain.learning_rate = { min = 0.0001, max = 1.0, log = true }\n\
            train.optimizer = { choices = [\"sgd\", \"adam\"] }\n\
            train.momentum = { min = 0.0, max = 0.9, when = { \"train.optimizer\" = \"sgd\" } }";
        Space::parse("space", text, Some(&Config::open("tiny").unwrap())).unwrap()
    }

    /// Greatest for SGD with a learning rate of 0.01 and a momentum of 0.6.
    fn score(values: &Values) -> f64 {
        let rate = values["train.learning_rate"].as_float().unwrap();
        let momentum = values.get("train.momentum").and_then(toml::Value::as_float);
        -(rate.log10() + 2.0).abs() - momentum.map_or(1.0, |momentum| (momentum - 0.6).abs())
    }

    fn search(sampler: SamplerName, seed: u64) -> f64 {
        let space = space();
        let mut all: Vec<(Values, f64)> = Vec::new();
        for trial in 0..40 {
            let observed: Vec<Observed<'_>> =
                all.iter().map(|(values, score)| Observed { values, epochs: 9, score: *score }).collect();
            let values = propose(sampler, &space, &observed, &mut Stream::new(key(&[seed, trial])));
            let score = score(&values);
            all.push((values, score));
        }
        all.iter().map(|(_, score)| *score).fold(f64::NEG_INFINITY, f64::max)
    }

    #[test]
    fn parzen_estimators_find_a_better_configuration_than_random_draws() {
        let mean = |sampler| (0..30).map(|seed| search(sampler, seed)).sum::<f64>() / 30.0;
        let (tpe, random) = (mean(SamplerName::Tpe), mean(SamplerName::Random));
        assert!(tpe > random / 1.5, "{tpe} {random}");
    }

    #[test]
    fn the_longest_trainings_count_if_there_are_enough() {
        let values = Values::new();
        let of = |epochs, score| Observed { values: &values, epochs, score };
        let mut observed: Vec<Observed<'_>> = (0..9).map(|i| of(2, f64::from(i))).collect();
        observed.extend((0..5).map(|i| of(5, f64::from(i))));
        assert_eq!(comparable(&observed).len(), 9);
        observed.push(of(5, 1.0));
        assert_eq!(comparable(&observed).len(), 6);
        assert!(comparable(&observed[..5]).is_empty());
    }

    #[test]
    fn a_proposal_depends_only_on_its_key_and_the_observations() {
        let space = space();
        let propose = || propose(SamplerName::Tpe, &space, &[], &mut Stream::new(7));
        assert_eq!(propose(), propose());
    }
}
