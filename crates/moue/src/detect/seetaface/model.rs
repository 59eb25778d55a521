//! Reads SeetaFace's model file: little-endian 32-bit numbers, one classifier after the other in
//! the order of their use.

use super::lab::Boosted;
use super::surf::{FEATURE, Layer, Patch, StageNetwork, patches};
use super::window::WINDOW;
use std::sync::OnceLock;

pub(super) const FILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/seetaface.bin"));

/// Kinds of classifiers.
const BOOSTED: i32 = 0;
const NETWORK: i32 = 1;

/// Networks that are applied to the same candidates, one after the other.
pub struct Cascade {
    /// Indices of the results of the previous level that are its candidates.
    pub sources: Vec<usize>,
    /// Each network processes the candidates that the previous one accepted.
    pub stages: Vec<StageNetwork>,
}

/// The whole cascade.
pub struct Model {
    /// Boosted classifiers, each applied to all windows.
    pub boosted: Vec<Boosted>,
    /// Cascades by level.
    pub levels: Vec<Vec<Cascade>>,
}

impl Model {
    /// The bundled model; `None` when it is damaged, which the build excludes.
    pub fn embedded() -> Option<&'static Self> {
        static MODEL: OnceLock<Option<Model>> = OnceLock::new();
        MODEL.get_or_init(|| Self::read(FILE)).as_ref()
    }

    fn read(file: &[u8]) -> Option<Self> {
        let (mut numbers, pool) = (Numbers(file), patches());
        let (mut boosted, mut levels) = (Vec::new(), Vec::new());
        for level in 0..numbers.count()? {
            let mut cascades = Vec::new();
            for _ in 0..numbers.count()? {
                let mut stages = Vec::new();
                for _ in 0..numbers.count()? {
                    match numbers.whole()? {
                        BOOSTED if level == 0 => boosted.push(numbers.boosted()?),
                        NETWORK if level > 0 => stages.push(numbers.network(&pool)?),
                        _ => return None,
                    }
                }
                // -1 where there are none.
                let sources = (0..numbers.whole()?).map(|_| numbers.index()).collect::<Option<_>>()?;
                cascades.push(Cascade { sources, stages });
            }
            if level > 0 {
                levels.push(cascades);
            }
        }
        Some(Self { boosted, levels })
    }
}

/// The unread part of the file.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn word(&mut self) -> Option<[u8; 4]> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*word)
    }

    fn whole(&mut self) -> Option<i32> {
        self.word().map(i32::from_le_bytes)
    }

    fn index(&mut self) -> Option<usize> {
        usize::try_from(self.whole()?).ok()
    }

    /// A number of following items, each of which has at least one word.
    fn count(&mut self) -> Option<usize> {
        self.index().filter(|&count| count <= self.0.len())
    }

    fn reals(&mut self, count: usize) -> Option<Vec<f32>> {
        (0..count).map(|_| self.word().map(f32::from_le_bytes)).collect()
    }

    fn boosted(&mut self) -> Option<Boosted> {
        let (count, largest) = (self.count()?, self.count()?);
        let inside = |at: usize| at < WINDOW;
        let feature = |numbers: &mut Self| {
            let [x, y] = [numbers.index()?, numbers.index()?];
            (inside(x) && inside(y)).then_some([x, y])
        };
        let features = (0..count).map(|_| feature(self)).collect::<Option<Vec<_>>>()?;
        let least = self.reals(count)?;
        let tables =
            (0..count).map(|_| self.reals(largest + 1)?.try_into().ok()).collect::<Option<Vec<[f32; 256]>>>()?;
        (count > 0).then_some(Boosted { features, least, tables })
    }

    fn network(&mut self, pool: &[Patch]) -> Option<StageNetwork> {
        let (layers, features) = (self.count()?, self.count()?);
        // Patches are counted from 1.
        let patches = (0..features).map(|_| pool.get(self.index()?.checked_sub(1)?).copied());
        let patches = patches.collect::<Option<Vec<_>>>()?;
        let threshold = f32::from_le_bytes(self.word()?);
        let mut inputs = self.count()?;
        if inputs != FEATURE * patches.len() {
            return None;
        }
        let mut read = Vec::new();
        for _ in 1..layers {
            let outputs = self.count()?;
            read.push(Layer { weights: self.reals(inputs.checked_mul(outputs)?)?, biases: self.reals(outputs)? });
            inputs = outputs;
        }
        Some(StageNetwork { patches, threshold, layers: read })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_model_is_read_completely_and_truncated_models_are_rejected() {
        let model = Model::read(FILE).unwrap();
        assert!(!model.boosted.is_empty() && !model.levels.is_empty());
        for part in [0, 3, 1000, FILE.len() / 2, FILE.len() - 1] {
            assert!(Model::read(&FILE[..part]).is_none(), "{part}");
        }
    }
}
