//! Matches rows of votes with the images of a data set, and their columns with its classes.

use super::protocol::{Unusable, processed};
use super::read::{Votes, canonical};
use crate::config::VoteMode;
use crate::data::dataset::{Dataset, NumberedSplit, Split};
use crate::data::error::DataError;
use crate::data::image_key::matched;

/// The votes on the images of a data set.
#[derive(Clone, Debug)]
pub struct ImageVotes {
    votes: Votes,
    /// For each image, its row of the votes.
    rows: Vec<Option<usize>>,
    /// For each column of the votes, the class of the data set.
    classes: Vec<Option<usize>>,
}

impl Votes {
    /// The votes on each image of a data set: by its row, by the number that is its file name, or by
    /// its file name or path.
    ///
    /// # Errors
    /// When the votes are for no image of the data set, for several images with the same name, in
    /// another order than the data set, or have no column for one of its classes.
    pub fn matched(self, dataset: &Dataset) -> Result<ImageVotes, DataError> {
        let path = self.path.clone();
        let refuse = |reason| DataError::Votes { path, reason };
        let classes = match columns(&self, dataset) {
            Ok(classes) => classes,
            Err(reason) => return Err(refuse(reason)),
        };
        match rows(&self, dataset) {
            Ok(rows) => Ok(ImageVotes { votes: self, rows, classes }),
            Err(reason) => Err(refuse(reason)),
        }
    }
}

impl ImageVotes {
    /// The classes that have a column, in its order.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        self.votes.classes()
    }

    /// The class of the data set that a column is about, if it has it.
    #[must_use]
    pub fn class_of_column(&self, column: usize) -> Option<usize> {
        self.classes[column]
    }

    /// The counts of an image: of each column's class, then `unknown`, then not a face; `None` where
    /// there are no votes on it.
    #[must_use]
    pub fn counts(&self, image: usize) -> Option<&[f32]> {
        self.rows[image].map(|row| self.votes.counts(row))
    }

    /// The distribution of the votes over the data set's classes, by FER+'s protocol; `None` where
    /// there are no votes on the image.
    pub fn distribution(&self, image: usize, classes: usize, mode: VoteMode) -> Option<Result<Vec<f32>, Unusable>> {
        let found = processed(self.counts(image)?, mode);
        Some(found.and_then(|shares| self.over_classes(&shares, classes)))
    }

    /// The share of each class of the data set in the votes without single votes and those for other
    /// classes; 0 where no votes remain.
    #[must_use]
    pub fn shares(&self, image: usize, classes: usize) -> Vec<f64> {
        let mut row = vec![0.0; classes];
        for (&count, class) in self.counts(image).unwrap_or_default().iter().zip(&self.classes) {
            if let (Some(class), true) = (class, count > 1.0) {
                row[*class] = f64::from(count);
            }
        }
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|share| *share /= sum.max(1.0));
        row
    }

    /// Shares of the columns as shares of the data set's classes. The most frequent class must be one
    /// of them.
    fn over_classes(&self, shares: &[f32], classes: usize) -> Result<Vec<f32>, Unusable> {
        let mut row = vec![0.0; classes];
        let most = shares.iter().copied().fold(0.0, f32::max);
        let mut largest = 0.0;
        for (share, class) in shares.iter().zip(&self.classes) {
            if let Some(class) = class {
                row[*class] = *share;
                largest = share.max(largest);
            }
        }
        if largest < most {
            return Err(Unusable::OtherClass);
        }
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|share| *share /= sum);
        Ok(row)
    }

    /// The column with the majority of the votes on an image; `None` where there are no votes on it.
    #[must_use]
    pub fn majority(&self, image: usize) -> Option<Result<usize, Unusable>> {
        let found = processed(self.counts(image)?, VoteMode::Majority);
        Some(found.map(|shares| shares.iter().position(|&share| share > 0.0).unwrap_or(0)))
    }
}

/// The class of the data set for each column of the votes.
fn columns(votes: &Votes, dataset: &Dataset) -> Result<Vec<Option<usize>>, String> {
    let names: Vec<String> = dataset.classes.iter().map(|class| canonical(class)).collect();
    let found: Vec<Option<usize>> =
        votes.classes.iter().map(|column| names.iter().position(|name| name == column)).collect();
    let missing: Vec<&str> =
        (0..names.len()).filter(|class| !found.contains(&Some(*class))).map(|class| &*dataset.classes[class]).collect();
    if missing.is_empty() {
        return Ok(found);
    }
    Err(format!("it has votes for {}, but not for {} of the data", votes.classes.join(", "), missing.join(", ")))
}

/// The row of the votes for each image.
fn rows(votes: &Votes, dataset: &Dataset) -> Result<Vec<Option<usize>>, String> {
    let found = matched(votes.rows.iter().map(|row| &row.image), &dataset.ids)?;
    if found.iter().all(Option::is_none) {
        let own = dataset.ids.first().map_or("", String::as_str);
        return Err(format!("none of its rows ({} …) is for an image of this data ({own} …)", votes.rows[0].image));
    }
    check_order(votes, dataset, &found)?;
    Ok(found)
}

/// Votes whose official split is not that of their image belong to other images.
fn check_order(votes: &Votes, dataset: &Dataset, rows: &[Option<usize>]) -> Result<(), String> {
    let official = dataset.split_names[Split::Train as usize].as_deref() == Some("Training");
    if !official || dataset.numbered == Some(NumberedSplit::AsGiven) {
        return Ok(());
    }
    for (image, row) in rows.iter().enumerate() {
        let Some((row, usage)) = row.and_then(|row| Some((row, votes.rows[row].usage.as_deref()?))) else { continue };
        if Split::from_name(usage).is_some_and(|split| split != dataset.splits[image]) {
            return Err(format!(
                "its row {row} is of {usage}, but the image {} is of {}; the votes must be for the rows of this data",
                dataset.ids[image],
                dataset.describe(dataset.splits[image])
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::LabeledImage;

    fn dataset(ids: &[&str]) -> Dataset {
        let image = |id: &&str| LabeledImage { id: (*id).into(), label: 0, split: Split::Train, pixels: vec![0] };
        Dataset::from_images(&["happy", "Sadness"].map(str::to_owned), [1, 1, 1], ids.iter().map(image)).unwrap()
    }

    fn matched(text: &str, ids: &[&str]) -> Result<Vec<Option<f32>>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("votes.csv");
        std::fs::write(&path, text).unwrap();
        let votes = Votes::open(&path).unwrap().matched(&dataset(ids)).map_err(|error| error.to_string())?;
        Ok((0..ids.len()).map(|image| votes.counts(image).map(|counts| counts[0])).collect())
    }

    #[test]
    fn images_are_found_by_row_number_and_name() {
        let by_row = "row,happy,sad\n2,9,0\n0,7,0\n";
        assert_eq!(matched(by_row, &["0", "1", "2"]), Ok(vec![Some(7.0), None, Some(9.0)]));
        assert_eq!(matched(by_row, &["train/sad/2.jpg", "train/happy/0.jpg"]), Ok(vec![Some(9.0), Some(7.0)]));
        let by_name = "path,happy,sad\nsad/a.png,9,0\nb.png,7,0\n";
        assert_eq!(
            matched(by_name, &["x/happy/b.png", "x/sad/a.png", "x/c.png"]),
            Ok(vec![Some(7.0), Some(9.0), None])
        );
    }

    #[test]
    fn votes_for_other_images_or_classes_are_refused() {
        let refused = |text: &str, ids: &[&str], part: &str| {
            let message = matched(text, ids).unwrap_err();
            assert!(message.contains(part), "{message}");
        };
        refused("row,happy,sad\n5,1,1\n", &["0"], "none of its rows (row 5 …) is for an image of this data (0 …)");
        refused(
            "file,happy,sad\n1.png,1,1\n",
            &["a/1.png", "b/1.png"],
            "1.png is the image a/1.png and the image b/1.png",
        );
        refused("row,happy,sad\n0,1,1\n0,1,1\n", &["0"], "its rows 0 and 1 are for the same image, row 0");
        refused("row,happy,calm\n0,1,1\n", &["0"], "votes for happy, calm, but not for Sadness of the data");
    }

    #[test]
    fn votes_of_another_split_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("votes.csv");
        std::fs::write(&path, "row,Usage,happy,sad\n0,PublicTest,3,0\n").unwrap();
        let mut data = dataset(&["0"]);
        data.split_names[0] = Some("Training".into());
        let message = Votes::open(&path).unwrap().matched(&data).unwrap_err().to_string();
        assert!(message.contains("its row 0 is of PublicTest, but the image 0 is of train (Training)"), "{message}");
    }

    #[test]
    fn votes_for_other_classes_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("votes.csv");
        std::fs::write(&path, "row,happy,contempt,sadness\n0,4,6,0\n1,6,3,0\n2,4,2,4\n").unwrap();
        let votes = Votes::open(&path).unwrap().matched(&dataset(&["0", "1", "2"])).unwrap();
        let row = |image| votes.distribution(image, 2, VoteMode::CrossEntropy).unwrap();
        // The classes of the data set are in alphabetical order: Sadness, happy.
        assert_eq!((row(0), row(1), row(2)), (Err(Unusable::OtherClass), Ok(vec![0.0, 1.0]), Ok(vec![0.5, 0.5])));
    }
}
