//! The network at the beginning of a training: random weights or those of a model, and frozen layers.

use super::error::TrainError;
use super::job::Job;
use super::record::Event;
use moue::model::weights::transfer;
use moue::model::{Model, build, built_layers};
use moue_engine::{Network, Parameter};

/// The network with its initial weights.
pub fn network(job: &Job<'_>, observe: &mut dyn FnMut(Event<'_>)) -> Result<Network, TrainError> {
    let config = job.config;
    if config.train.freeze > 0 && job.init.is_none() && !job.resume {
        return Err(TrainError::FrozenRandom(config.train.freeze));
    }
    let mut network = build(&config.model, job.dataset.classes.len(), config.train.seed)?;
    network.set_precision(config.train.precision.into());
    let frozen = freeze(job, &mut network)?;
    if let Some(init) = job.init {
        let new = start_from(init, &mut network, observe)?;
        if let Some(layer) = new.iter().find(|layer| frozen.contains(layer)) {
            return Err(TrainError::FrozenNew(layer.clone()));
        }
    }
    Ok(network)
}

/// Freezes the layers that `train.freeze` counts; returns the names of those that have parameters.
pub fn freeze(job: &Job<'_>, network: &mut Network) -> Result<Vec<String>, TrainError> {
    let count = job.config.train.freeze;
    network.freeze(built_layers(&job.config.model, count)?);
    let mut is_trained = false;
    network.visit(|parameter| is_trained |= parameter.is_trained());
    if is_trained { Ok(layers(network, |parameter| parameter.frozen)) } else { Err(TrainError::AllFrozen(count)) }
}

/// Copies the weights of a model, and returns the names of the layers that it does not have.
fn start_from(
    init: &Model,
    network: &mut Network,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<Vec<String>, TrainError> {
    let fresh = transfer(init.network(), network);
    let all = layers(network, |_| true);
    let new = layers(network, |parameter| fresh.contains(&parameter.name));
    let (kept, of, model) = (all.len() - new.len(), all.len(), init.architecture().name.clone());
    if 2 * kept < of {
        return Err(TrainError::OtherArchitecture { model, kept, of, new: new.join(", ") });
    }
    let listed = if new.is_empty() { String::new() } else { format!("; new layers: {}", new.join(", ")) };
    observe(Event::Note(format!(
        "the weights of {kept} of {of} layers are those of the given model ({model}){listed}"
    )));
    Ok(new)
}

/// The names of the layers that have such a parameter.
fn layers(network: &Network, is_wanted: impl Fn(&Parameter) -> bool) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    network.visit(|parameter| {
        let layer = parameter.name.rsplit_once('.').map_or(&*parameter.name, |(layer, _)| layer);
        if is_wanted(parameter) && names.last().is_none_or(|last| last != layer) {
            names.push(layer.to_owned());
        }
    });
    names
}
