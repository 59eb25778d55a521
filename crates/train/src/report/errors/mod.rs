//! The report of an evaluation: the sections that it shares with trainings, and an analysis of errors.
//!
//! The page contains a table of its images, their saliency maps as a few values each, and thumbnails on sheets; its script
//! shows the images of a cell, of a list, or of a part of the map.

mod card;
mod tables;

pub use card::error_section;

use super::classes::matrix;
use super::evaluation::{headline, sections};
use super::page::{data_element, page};
use super::sheet;
use crate::data::{ImageVotes, Split};
use crate::evaluate::{Disagreement, Errors, EvaluationView, ImageList, ImageMap, ShownImage};
use maud::{Markup, PreEscaped, html};
use moue::explain::Explanation;
use moue::render::CLASS_COLORS;
use serde_json::{Value, json};

/// The folder of the thumbnails next to a page.
pub const ASSETS: &str = "report-assets";

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");
const MAP: &str = include_str!("map.js");

/// Steps of a coordinate of the map.
const STEPS: f32 = 4095.0;

/// The page and the files next to it, by their paths in the folder of the report. The page comes last.
#[must_use]
pub fn evaluation(report: &EvaluationView<'_>, errors: &Errors, votes: Option<&ImageVotes>) -> Vec<(String, Vec<u8>)> {
    let images: Vec<usize> = errors.images.iter().map(|shown| shown.image).collect();
    let (sheets, mut files) = sheet::placed(report.dataset, &images, ASSETS, images.len() < sheet::MANY);
    let data = data(report, errors, votes, &sheets);
    let body = html! {
        style { (PreEscaped(sheet::STYLE)) (PreEscaped(STYLE)) }
        h1 { (report.title) }
        (headline(report, None))
        (sections(report, &confusion(report), &further(report, errors)))
        (data_element(&data))
        script { (PreEscaped(sheet::SCRIPT)) (PreEscaped(SCRIPT)) (PreEscaped(MAP)) }
    };
    files.push(("report.html".to_owned(), page(report.title, &body).into_bytes()));
    files
}

fn data(report: &EvaluationView<'_>, errors: &Errors, votes: Option<&ImageVotes>, sheets: &[String]) -> Value {
    let dataset = report.dataset;
    let map = errors.images.iter().find_map(|shown| shown.saliency.as_ref());
    let list = |list: &ImageList| json!([list.of, list.images]);
    let cells: Vec<Vec<Value>> = errors.cells.iter().map(|row| row.iter().map(list).collect()).collect();
    json!({
        "classes": dataset.classes(),
        "colors": CLASS_COLORS,
        "splits": Split::ALL.map(Split::name),
        "votes": votes.map(|votes| votes.classes().iter().map(String::as_str).chain(["unknown", "no face"]).collect::<Vec<_>>()),
        "shape": dataset.shape(),
        "saliency": map.map(|map| [map.height, map.width]),
        "items": errors.images.iter().map(|shown| item(report, shown, votes)).collect::<Vec<_>>(),
        "sheets": sheets,
        "side": sheet::side(dataset),
        "columns": sheet::ACROSS,
        "cells": cells,
        "loss": list(&errors.highest_loss),
        "disagreements": errors.disagreements.iter().flat_map(lists).collect::<Vec<_>>(),
        "map": errors.map.as_ref().map(points),
    })
}

/// One image, in the order in which the script reads the fields.
fn item(report: &EvaluationView<'_>, shown: &ShownImage, votes: Option<&ImageVotes>) -> Value {
    let (dataset, image) = (report.dataset, shown.image);
    let rounded = |p: f32| (f64::from(p) * 1e3).round() / 1e3;
    json!([
        dataset.ids()[image],
        dataset.splits()[image] as usize,
        dataset.labels()[image],
        shown.predicted,
        (shown.loss * 100.0).round() / 100.0,
        shown.probabilities.iter().copied().map(rounded).collect::<Vec<_>>(),
        votes.and_then(|votes| votes.counts(image)),
        shown.saliency.as_ref().map(digits),
    ])
}

/// The values of a saliency map, a digit to the base 36 each.
fn digits(map: &Explanation) -> String {
    let digit = |value: f32| char::from_digit((value.clamp(0.0, 1.0) * 35.0).round() as u32, 36).unwrap_or('0');
    map.values.iter().map(|&value| digit(value)).collect()
}

/// The two lists of a disagreement: number, images, and for each the class of the other model with its probability.
fn lists(found: &Disagreement) -> [Value; 2] {
    let (first, second) = found.predicted.split_at(found.only_this.images.len().min(found.predicted.len()));
    let list = |list: &ImageList, predicted: &[(usize, f32)]| {
        let rounded = |&(class, p): &(usize, f32)| json!([class, (f64::from(p) * 1e3).round() / 1e3]);
        json!([list.of, list.images, predicted.iter().map(rounded).collect::<Vec<_>>(), found.model])
    };
    [list(&found.only_this, first), list(&found.only_other, second)]
}

/// The points of the map, on a square grid.
fn points(map: &ImageMap) -> Value {
    let placed = |points: &[[f32; 2]]| {
        let extent = |axis: usize| {
            let values = || points.iter().map(|point| point[axis]);
            (values().fold(f32::INFINITY, f32::min), values().fold(f32::NEG_INFINITY, f32::max))
        };
        let ranges = [extent(0), extent(1)];
        let widest = ranges.iter().map(|(low, high)| high - low).fold(f32::MIN_POSITIVE, f32::max);
        let place = |point: &[f32; 2], axis: usize| {
            let (low, high) = ranges[axis];
            ((0.5 + (point[axis] - (low + high) / 2.0) / widest) * STEPS).round() as i64
        };
        points.iter().flat_map(|point| [place(point, 0), place(point, 1)]).collect::<Vec<_>>()
    };
    json!({ "images": map.images, "pca": placed(&map.embedding.pca), "tsne": placed(&map.embedding.tsne) })
}

/// The confusion matrix, whose cells open their images.
fn confusion(report: &EvaluationView<'_>) -> Markup {
    let labels = &report.metrics.labels;
    let cell = |label: usize, predicted: usize, count: usize| {
        let name = format!("{count} images of {} predicted as {}", labels[label], labels[predicted]);
        html! {
            @if count > 0 { button.cell data-cell=(format!("{label},{predicted}")) aria-label=(name) { (count) } }
            @else { (count) }
        }
    };
    html! {
        div #matrix { (matrix(report.metrics, &cell)) }
        p.soft { "A cell opens its images. Arrow keys move between cells." }
        div #cell.images {}
        (tables::pairs(report.metrics))
    }
}

fn further(report: &EvaluationView<'_>, errors: &Errors) -> Markup {
    html! {
        h2 { "Highest loss" }
        p {
            "The misclassified images with the least probability of their label: they contribute the most to NLL. Each card has the "
            "face, the saliency map of the predicted class (Grad-CAM), and the probabilities (that of the label in another color)"
            @if report.votes.is_some() { ", and people's votes" } "."
        }
        div #loss.images {}
        @if let Some(votes) = report.error_votes {
            h2 { "Errors and votes" }
            (tables::error_votes(votes))
        }
        @if !errors.disagreements.is_empty() {
            h2 { "Where the models disagree" }
            (tables::disagreements(report, errors))
        }
        @if !report.slices.is_empty() {
            h2 { "Slices of the split" }
            (tables::slices(report))
        }
        @if let Some(map) = &errors.map {
            h2 { "Map of the images" }
            (tables::map(report, map))
        }
    }
}
